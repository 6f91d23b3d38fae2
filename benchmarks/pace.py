"""The open loop's schedule: when requests are sent does not depend on when answers come."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def schedule(rate: float, seconds: float, seed: int) -> list[float]:
    """Send times in seconds from the start: one at a random moment of each interval of 1/rate.

    The jitter keeps the load from falling into step with what the gateway does at fixed intervals.
    """
    moments = random.Random(seed)
    return [(place + moments.random()) / rate for place in range(int(rate * seconds))]


def interleave(lanes: Sequence[tuple[T, Iterable[float]]]) -> Iterator[tuple[float, T]]:
    """The schedules of several lanes as one, in order of time."""
    tagged = ([(moment, place) for moment in moments] for place, (_, moments) in enumerate(lanes))
    for moment, place in heapq.merge(*tagged):
        yield moment, lanes[place][0]


def keep_pace(
    due: Iterable[tuple[float, T]],
    now: Callable[[], float],
    sleep: Callable[[float], None],
    send: Callable[[float, T], None],
) -> None:
    """Call `send(scheduled time, lane)` for each entry as soon as it is due.

    After a late wake-up all that is overdue goes out at once under its own scheduled time: a stall makes
    the requests behind it slow, it does not make them disappear.
    """
    for moment, lane in due:
        while (left := moment - now()) > 0:
            sleep(left)
        send(moment, lane)
