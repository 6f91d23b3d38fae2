"""EVENT in memory: the newest records of a topic, and per consumer group what it has not finished yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, islice
from typing import Protocol

from google.protobuf.message import Message

from hive_bus.memory.room import Bounds, Room
from hive_runtime.clock import Clock


@dataclass(slots=True, eq=False)
class Record:
    """One published message: `number` grows with each of the topic, `since` is when, in monotonic seconds."""

    message: Message
    key: str
    size: int
    number: int
    since: float


class Member(Protocol):
    """A subscription as its group sees it."""

    def offer(self) -> bool:
        """Take from the group what it has ready; true where something was taken."""
        ...


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

    def group(self, name: str) -> EventGroup:
        """The group; a new one has everything to do that is still kept."""
        if name not in self._groups:
            self._groups[name] = group = EventGroup(self, name, Room(self._queue))
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

    def freed(self) -> None:
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


class Lane:
    """The unfinished records of one key, oldest first; the first `taken` of them are with one member."""

    __slots__ = ("records", "taken")

    def __init__(self, record: Record) -> None:
        self.records = deque((record,))
        self.taken = 0


class EventGroup:
    """Members that share the records, each key in order: its lane is with one member at a time."""

    def __init__(self, topic: EventTopic, name: str, room: Room) -> None:
        self.topic = topic
        self.name = name
        self.room = room
        self.ready = 0
        """How many records wait in lanes that no member works on."""
        self._lanes: dict[str, Lane] = {}
        self._idle: deque[Lane] = deque()
        self._members: deque[Member] = deque()

    def put(self, record: Record) -> None:
        self.room.add(record.size)
        lane = self._lanes.get(record.key)
        if lane is None:
            self._lanes[record.key] = lane = Lane(record)
            self._idle.append(lane)
        else:
            lane.records.append(record)
        if not lane.taken:
            self.ready += 1
            self.offer()

    def offer(self) -> None:
        """Let members in turn take what is ready, until there is nothing or nobody takes."""
        refused = 0
        while self.ready and refused < len(self._members):
            member = self._members[0]
            self._members.rotate(-1)
            refused = 0 if member.offer() else refused + 1

    def take(self, limit: int) -> list[Record]:
        """Up to `limit` ready records as they were published; their keys are the taker's until given back."""
        taken: list[Record] = []
        while self._idle and len(taken) < limit:
            lane = self._idle.popleft()
            self.ready -= len(lane.records)
            lane.taken = min(len(lane.records), limit - len(taken))
            taken.extend(islice(lane.records, lane.taken))
        if len(taken) > 1:
            taken.sort(key=lambda record: record.number)
        return taken

    def oldest(self) -> float:
        """When the oldest ready record was published, in monotonic seconds."""
        return min(lane.records[0].since for lane in self._idle)

    def finish(self, record: Record) -> None:
        """The record is done with, which is always the first of its lane."""
        lane = self._lanes[record.key]
        lane.records.popleft()
        self.room.remove(record.size)
        self._give_back(lane, record.key)
        self.topic.freed()

    def release(self, record: Record) -> None:
        """The record is not done: it stays first in its lane, for whoever takes it next."""
        self._give_back(self._lanes[record.key], record.key)

    def join(self, member: Member) -> None:
        self._members.append(member)
        self.offer()

    def leave(self, member: Member) -> None:
        self._members.remove(member)

    def _give_back(self, lane: Lane, key: str) -> None:
        lane.taken -= 1
        if lane.taken:
            return
        if lane.records:
            self.ready += len(lane.records)
            self._idle.append(lane)
        else:
            del self._lanes[key]
