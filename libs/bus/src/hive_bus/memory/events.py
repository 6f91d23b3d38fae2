"""EVENT in memory: the newest records of a topic, and per consumer group what it has not finished yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count

from google.protobuf.message import Message

from hive_bus.handling.group import EventGroup, Record
from hive_bus.handling.room import Bounds, Room
from hive_runtime.clock import Clock


class EventTopic:
    """Publishing waits up to `patience` seconds for room in every group, then all get the record or none."""

    def __init__(
        self,
        name: str,
        key_of: Callable[[Message], str],
        clock: Clock,
        queue: Bounds,
        kept: Bounds,
        patience: float,
        progress: Callable[[], None],
    ) -> None:
        self.name = name
        self.progress = progress
        self._key_of = key_of
        self._clock = clock
        self._queue = queue
        self._kept_room = Room(kept)
        self._kept: deque[Record] = deque()
        self._patience = patience
        self._groups: dict[str, EventGroup] = {}
        self._numbers = count()
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._freed = asyncio.Event()
        self._closed = False

    @property
    def outstanding(self) -> int:
        return sum(group.room.items for group in self._groups.values())

    def lags(self) -> dict[tuple[str, str], int]:
        """By topic and group: how many records are not finished."""
        return {(self.name, group.name): group.room.items for group in self._groups.values()}

    def group(self, name: str) -> EventGroup:
        """The group; a new one has everything to do that is still kept."""
        if name not in self._groups:
            group = EventGroup(self.name, name, Room(self._queue), self.freed)
            self._groups[name] = group
            group.put([*self._kept])
        return self._groups[name]

    def take(self, messages: Sequence[Message]) -> bool:
        """Publish all of them at once; false where they are to wait for room, and then none of them is."""
        sizes = [message.ByteSize() for message in messages]
        if self._waiting or self._first_full(sum(sizes), len(sizes)) is not None:
            return False
        self._add(messages, sizes)
        return True

    async def publish(self, message: Message) -> None:
        """Publish it, as soon as there is room."""
        size = message.ByteSize()
        if self._waiting or self._first_full(size) is not None:
            await self._wait_for_room(size)
        self._add([message], [size])

    def freed(self, records: Sequence[Record]) -> None:
        """A group has finished these records."""
        self._freed.set()
        self.progress()

    def close(self) -> None:
        """Send those away who wait for room."""
        self._closed = True
        self._freed.set()

    async def _wait_for_room(self, size: int) -> None:
        self._waiting += 1
        try:
            async with asyncio.timeout(self._patience), self._turn:
                while self._first_full(size) is not None and not self._closed:
                    self._freed.clear()
                    await self._freed.wait()
        except TimeoutError:
            if (full := self._first_full(size)) is not None:
                raise full.room.full(self.name, f"group {full.name!r}") from None
        finally:
            self._waiting -= 1
        if self._closed:
            raise RuntimeError(f"the bus was closed while a record waited for room on {self.name}")

    def _first_full(self, size: int, items: int = 1) -> EventGroup | None:
        for group in self._groups.values():
            if not group.room.fits(size, items):
                return group
        return None

    def _add(self, messages: Sequence[Message], sizes: Sequence[int]) -> None:
        since, key_of = self._clock.monotonic(), self._key_of
        records = [
            Record(message, key_of(message), size, number, since)
            for message, size, number in zip(messages, sizes, self._numbers, strict=False)
        ]
        self._keep(records, sum(sizes))
        for group in self._groups.values():
            group.put(records)

    def _keep(self, records: Sequence[Record], size: int) -> None:
        kept, room = self._kept, self._kept_room
        kept.extend(records)
        room.add(size, len(records))
        while len(kept) > 1 and room.overfull:
            room.remove(kept.popleft().size)
