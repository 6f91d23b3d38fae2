"""The last events of one stream with their exact bytes, and how far its reader has come in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from hive_routing.providers.sse import EventSplitter, read_event

MOST_BYTES = 4 * 1024 * 1024
"""Of one stream. What its reader has not got yet stays in any case; `ahead` is bounded by who writes."""
TAKE_BYTES = 64 * 1024
"""Given to the reader at once, where one event is not larger."""
PART_BYTES = 128
"""What a part takes beside its bytes, about."""


class Room:
    """Bytes that all buffers of this process hold, and may hold, together.

    evict: forgets one stream that has ended; false where none is left.
    """

    def __init__(self, limit: int, evict: Callable[[], bool]) -> None:
        self.used = 0
        self.waiting: set[asyncio.Event] = set()
        """Set as soon as there is room again."""
        self._limit = limit
        self._evict = evict

    @property
    def excess(self) -> int:
        """Bytes that are too many."""
        return max(0, self.used - self._limit)

    def take(self, size: int) -> None:
        self.used += size
        while self.excess and self._evict():
            pass

    def give(self, size: int) -> None:
        self.used -= size
        if not self.excess:
            for event in self.waiting:
                event.set()


class _Part(NamedTuple):
    """One event. counts: it has data. is_content: see `hive_relay.exchange`."""

    data: bytes
    counts: bool
    is_content: bool


class Buffer:
    """One writer, one reader at a time.

    ahead: bytes that the reader has not got yet. events: those with data, since the stream's first.
    """

    def __init__(self, room: Room, most_bytes: int = MOST_BYTES) -> None:
        self.ahead = 0
        self.events = 0
        self._room = room
        self._most = most_bytes
        self._size = 0
        self._parts: list[_Part] = []
        self._first = 0
        self._next = 0
        self._gone = 0
        """Events with data that are no longer here."""
        self._is_counted = True
        self._splitter = EventSplitter()

    def add(self, data: bytes, is_content: bool) -> None:
        """Bytes of a stream, cut anywhere; an event counts once all of it is here."""
        for event in self._splitter.feed(data):
            self._append(_Part(event, read_event(event)[0] is not None, is_content))

    def end(self) -> None:
        """What came behind the last whole event is a part of the stream all the same."""
        if rest := self._splitter.rest():
            self._append(_Part(rest, False, True))

    def add_whole(self, data: bytes) -> None:
        """Bytes of something that is no stream."""
        if data:
            self._append(_Part(data, False, True))

    def take(self) -> tuple[bytes, bool]:
        """What the reader gets next, empty where it has everything; and whether there is content in it."""
        taken: list[bytes] = []
        size, is_content = 0, False
        for index in range(self._next - self._first, len(self._parts)):
            part = self._parts[index]
            if taken and size + len(part.data) > TAKE_BYTES:
                break
            taken.append(part.data)
            size += len(part.data)
            is_content = is_content or part.is_content
        self._next += len(taken)
        self.ahead -= size
        return taken[0] if len(taken) == 1 else b"".join(taken), is_content

    def go_to(self, events: int) -> bool:
        """Let the reader go on right behind so many events; false where what follows them is gone."""
        if events < self._gone:
            return False
        passed, index = self._gone, 0
        while passed < events and index < len(self._parts):
            passed += self._parts[index].counts
            index += 1
        self._next = self._first + index
        self.ahead = sum(len(part.data) for part in self._parts[index:])
        return True

    def close(self) -> None:
        """The bytes count no longer: whoever reads them still is the last."""
        if self._is_counted:
            self._is_counted = False
            self._room.give(self._size)

    def _append(self, part: _Part) -> None:
        size = len(part.data) + PART_BYTES
        self._parts.append(part)
        self.ahead += len(part.data)
        self.events += part.counts
        self._size += size
        if self._is_counted:
            self._room.take(size)
            if excess := self._room.excess:
                self._drop(self._size - excess)
        if self._size > self._most:
            self._drop(self._most * 3 // 4)  # many at once: to cut a list costs its length

    def _drop(self, down_to: int) -> None:
        """Forget the oldest parts that the reader has had, until so many bytes are left."""
        count = size = 0
        while count < self._next - self._first and self._size - size > down_to:
            part = self._parts[count]
            size += len(part.data) + PART_BYTES
            self._gone += part.counts
            count += 1
        del self._parts[:count]
        self._first += count
        self._size -= size
        if self._is_counted and size:
            self._room.give(size)
