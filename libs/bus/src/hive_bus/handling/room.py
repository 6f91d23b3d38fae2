"""How much may wait for a consumer group, and the error that says it is too much."""

from __future__ import annotations

from dataclasses import dataclass

from hive_runtime.errors import HiveError, Kind

RETRY_AFTER = 1.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """Largest number of records, and of their bytes on the wire."""

    items: int
    bytes: int


class Room:
    """What is taken of the bounds. Empty room takes any one record, however big."""

    __slots__ = ("_bounds", "bytes", "items")

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.items = 0
        self.bytes = 0

    def fits(self, size: int, items: int = 1) -> bool:
        """size: of all the items together."""
        taken, bounds = self.items + items, self._bounds
        return taken == 1 or (taken <= bounds.items and self.bytes + size <= bounds.bytes)

    @property
    def overfull(self) -> bool:
        return self.items > self._bounds.items or self.bytes > self._bounds.bytes

    def add(self, size: int, items: int = 1) -> None:
        self.items += items
        self.bytes += size

    def remove(self, size: int, items: int = 1) -> None:
        self.items -= items
        self.bytes -= size

    def full(self, topic: str, group: str) -> HiveError:
        """What a publisher is told when the record does not fit."""
        return HiveError(
            Kind.UNAVAILABLE,
            f"The queue of {topic} for {group} is full ({self.items} records, {self.bytes} bytes): "
            f"try again in {RETRY_AFTER:g} s.",
            retry_after=RETRY_AFTER,
        )
