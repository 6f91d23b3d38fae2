"""Finds the words in decoded JSON, at whatever depth: which members have some, and whose they are, is told for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from hive_routing.dialects.places import Slot
from hive_routing.guarding.port import Origin


class Spot(NamedTuple):
    """A value, by where it stands. within: where words may be in the objects in it."""

    place: Any
    key: Any
    origin: Origin
    within: Callable[[dict[str, Any], Origin], Iterator[Spot]]


def words(spot: Spot) -> Iterator[Slot]:
    """The texts there, in their order."""
    waiting = [spot]
    while waiting:
        place, key, origin, within = waiting.pop()
        value = place[key]
        if isinstance(value, str):
            yield Slot.at(place, key, origin)
        elif isinstance(value, list):
            waiting += [Spot(value, number, origin, within) for number in reversed(range(len(value)))]
        elif isinstance(value, dict):
            waiting += reversed(list(within(value, origin)))


def everywhere(value: dict[str, Any], origin: Origin) -> Iterator[Spot]:
    """All members of an object."""
    yield from (Spot(value, name, origin, everywhere) for name in value)


def label(value: object) -> object:
    """A part of a channel's name: what cannot be one is as good as none."""
    return value if isinstance(value, str | int | float) else None
