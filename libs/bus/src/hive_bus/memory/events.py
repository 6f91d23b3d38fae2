"""EVENT in memory: the newest records of a topic, and per consumer group what it has not finished yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
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
        clock: Clock,
        queue: Bounds,
        kept: Bounds,
        patience: float,
        progress: Callable[[], None],
    ) -> None:
        self.name = name
        self.progress = progress
        self._clock = clock
        self._queue = queue
        self._kept_room = Room(kept)
        self._kept: deque[Record] = deque()
        self._patience = patience
        self._groups: dict[str, EventGroup] = {}
        self._numbers = count()
        self._turn = asyncio.Lock()
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
            for record in self._kept:
                group.put(record)
        return self._groups[name]

    async def publish(self, message: Message, key: str) -> None:
        size = message.ByteSize()
        if self._turn.locked() or self._first_full(size) is not None:
            await self._wait_for_room(size)
        record = Record(message, key, size, next(self._numbers), self._clock.monotonic())
        self._keep(record)
        for group in self._groups.values():
            group.put(record)

    def freed(self, record: Record) -> None:
        """A group has finished a record."""
        self._freed.set()
        self.progress()

    def close(self) -> None:
        """Send those away who wait for room."""
        self._closed = True
        self._freed.set()

    async def _wait_for_room(self, size: int) -> None:
        try:
            async with asyncio.timeout(self._patience), self._turn:
                while self._first_full(size) is not None and not self._closed:
                    self._freed.clear()
                    await self._freed.wait()
        except TimeoutError:
            if (full := self._first_full(size)) is not None:
                raise full.room.full(self.name, f"group {full.name!r}") from None
        if self._closed:
            raise RuntimeError(f"the bus was closed while a record waited for room on {self.name}")

    def _first_full(self, size: int) -> EventGroup | None:
        for group in self._groups.values():
            if not group.room.fits(size):
                return group
        return None

    def _keep(self, record: Record) -> None:
        while self._kept and not self._kept_room.fits(record.size):
            self._kept_room.remove(self._kept.popleft().size)
        self._kept.append(record)
        self._kept_room.add(record.size)
