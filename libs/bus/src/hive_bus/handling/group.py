"""The records that a consumer group has not finished: one lane per key, shared by its members."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from operator import attrgetter
from typing import Any, Protocol

import msgspec

from hive_bus.handling.room import Room

_number, _size, _records = attrgetter("number"), attrgetter("size"), attrgetter("records")


class Record(msgspec.Struct, eq=False):
    """One published message: `number` grows with each of the topic, `since` is when, in monotonic seconds.

    unreadable: why there is no message but only its `payload`, None where there is one.
    lost: it belongs to another process by now; who has it in hand may finish, and tries no more.
    around: what its handler runs within.
    """

    message: Any
    key: str
    size: int
    number: int
    since: float
    unreadable: Exception | None = None
    payload: bytes = b""
    lost: bool = False
    around: Callable[[], AbstractContextManager[object]] | None = None


class Member(Protocol):
    """A subscription as its group sees it.

    enough: so many ready records are worth an offer. The group hears by `reconsider` that it is another number.
    """

    enough: int

    def offer(self) -> bool:
        """Take from the group what it has ready; true where something was taken."""
        ...


class Lane(msgspec.Struct, eq=False):
    """The unfinished records of one key, oldest first; the first `taken` of them are with one member."""

    # A list and no deque: most keys have one record, and an empty deque is ten times as large.
    records: list[Record]
    taken: int = 0


class EventGroup:
    """Members that share the records, each key in order: its lane is with one member at a time.

    freed: hears of the records that are finished. is_open: whether records may be given out at the moment.
    """

    def __init__(
        self,
        topic: str,
        name: str,
        room: Room,
        freed: Callable[[Sequence[Any]], None],
        is_open: Callable[[], bool] | None = None,
    ) -> None:
        self.topic = topic
        self.name = name
        self.room = room
        self.taken = 0
        """How many records are with members."""
        self._freed = freed
        self._is_open = is_open
        self._ready = 0
        self._enough = sys.maxsize
        self._lanes: dict[str, Lane] = {}
        self._idle: deque[Lane] = deque()
        self._members: deque[Member] = deque()

    @property
    def ready(self) -> int:
        """How many records may be taken now: they wait in lanes that no member works on."""
        if self._is_open is not None and not self._is_open():
            return 0
        return self._ready

    def put(self, records: Sequence[Record]) -> None:
        """Take these in, in the order of their numbers."""
        lanes, idle, held = self._lanes, self._idle, 0
        for record in records:
            lane = lanes.get(record.key)
            if lane is None:
                lanes[record.key] = lane = Lane([record])
                idle.append(lane)
            else:
                lane.records.append(record)
                held += lane.taken > 0
        self._ready += len(records) - held
        self.room.add(sum(map(_size, records)), len(records))
        if self._ready >= self._enough:
            self.offer()

    def offer(self) -> None:
        """Let members in turn take what is ready, until there is nothing or nobody takes."""
        refused = 0
        while refused < len(self._members) and self.ready:
            member = self._members[0]
            self._members.rotate(-1)
            refused = 0 if member.offer() else refused + 1

    def take(self, limit: int) -> list[Record]:
        """Up to `limit` ready records as they were published; their keys are the taker's until given back."""
        taken: list[Record] = []
        if self._ready <= limit:
            taken += chain.from_iterable(map(_records, self._idle))
            for lane in self._idle:
                lane.taken = len(lane.records)
            self._ready = 0
            self._idle.clear()
        while self._idle and len(taken) < limit:
            lane = self._idle.popleft()
            self._ready -= len(lane.records)
            lane.taken = min(len(lane.records), limit - len(taken))
            taken += lane.records[: lane.taken]
        self.taken += len(taken)
        taken.sort(key=_number)
        return taken

    def oldest(self) -> float:
        """When the oldest ready record was published, in monotonic seconds."""
        return min(lane.records[0].since for lane in self._idle)

    def finish(self, records: Sequence[Record]) -> None:
        """These are done with: each of them, in this order, is the first of its lane."""
        lanes = self._lanes
        for record in records:
            lane = lanes.pop(record.key)
            if len(lane.records) > 1:
                lanes[record.key] = lane
                del lane.records[0]
                self._give_back(lane, record.key)
        self.taken -= len(records)
        self.room.remove(sum(map(_size, records)), len(records))
        self._freed(records)

    def release(self, record: Record) -> None:
        """The record is not done: it stays first in its lane, for whoever takes it next, unless it is lost."""
        lane = self._lanes[record.key]
        if record.lost:
            lane.records.remove(record)
            self.room.remove(record.size)
        self.taken -= 1
        self._give_back(lane, record.key)

    def lose(self, is_lost: Callable[[Any], bool]) -> None:
        """Forget the records that others have now; those with members are marked, and go when given back."""
        idle: deque[Lane] = deque()
        self._ready = 0
        for key, lane in list(self._lanes.items()):
            kept: list[Record] = []
            for place, record in enumerate(lane.records):
                if not is_lost(record):
                    kept.append(record)
                elif place < lane.taken:
                    record.lost = True
                    kept.append(record)
                else:
                    self.room.remove(record.size)
            lane.records = kept
            if not kept:
                del self._lanes[key]
            elif not lane.taken:
                idle.append(lane)
                self._ready += len(kept)
        self._idle = idle

    def join(self, member: Member) -> None:
        self._members.append(member)
        self.reconsider()
        self.offer()

    def leave(self, member: Member) -> None:
        self._members.remove(member)
        self.reconsider()

    def reconsider(self) -> None:
        """To some member another number of records is worth an offer than before."""
        self._enough = min((member.enough for member in self._members), default=sys.maxsize)

    def _give_back(self, lane: Lane, key: str) -> None:
        lane.taken -= 1
        if lane.taken:
            return
        if lane.records:
            self._ready += len(lane.records)
            self._idle.append(lane)
        else:
            del self._lanes[key]
