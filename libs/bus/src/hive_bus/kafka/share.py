"""What a process has of a partition: which records are done, up to where that has no gap, and what is in hand."""

from __future__ import annotations

from collections import deque
from typing import Any

from hive_bus.handling.group import Record


class Partition:
    """base: the first offset that is not done, which is what may be committed. next: the first not fetched yet.

    committed: what the broker knows, None where it knows nothing. noted: where a successor would start.
    """

    def __init__(self, place: Any, position: int, committed: int | None) -> None:
        self.place = place
        self.base = position
        self.next = position
        self.committed = committed
        self.noted = position
        self.unfinished = 0
        self.bytes = 0
        self.paused = False
        self._order: deque[int] = deque()
        self._done: set[int] = set()

    @property
    def span(self) -> int:
        """How many records a successor would handle again at most, done or not."""
        return len(self._order)

    def fetched(self, offset: int, size: int) -> None:
        self._order.append(offset)
        self.next = offset + 1
        self.unfinished += 1
        self.bytes += size

    def finished(self, offset: int, size: int) -> None:
        self._done.add(offset)
        self.unfinished -= 1
        self.bytes -= size
        # Offsets have gaps, so the order in which they came is kept.
        while self._order and self._order[0] in self._done:
            self._done.remove(self._order.popleft())
        self.base = self._order[0] if self._order else self.next


class Fetched(Record, eq=False):
    """A record with its place on the broker."""

    partition: Partition | None = None
    offset: int = 0
