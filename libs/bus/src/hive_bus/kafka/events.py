"""EVENT on a broker: handled key by key, committed up to the first record that is not done."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

from google.protobuf.message import DecodeError, Message

from hive_bus.handling.group import EventGroup
from hive_bus.handling.room import Bounds, Room
from hive_bus.handling.workers import BatchWorker, EventWorker, Publish, SingleWorker
from hive_bus.kafka.client import Client
from hive_bus.kafka.member import Fetched as Records
from hive_bus.kafka.member import Member
from hive_bus.kafka.share import Fetched, Partition
from hive_bus.kafka.subscribed import Consuming
from hive_bus.port import Batch, Options

COMMIT_EVERY = 0.1
# How long a rebalance waits for the handlers that run: meanwhile the whole group stands still.
LEAVE_SECONDS = 1.0
AT_ONCE = 500
# In hand: what is bounded for each partition, so that one does not stop the others, and for all together.
MOST_RECORDS = 1_000
MOST_BYTES = 8 << 20
MOST_BYTES_OF_ALL = 64 << 20
# Done records behind one that is not: a successor would handle them again.
MOST_SPAN = 100_000
# What waits here is bounded by the partitions that are paused.
UNBOUNDED = Bounds(sys.maxsize, sys.maxsize)


class KafkaEvents:
    """A subscription: a worker that has the handlers, and a member that brings it records."""

    def __init__(
        self,
        client: Client,
        topic: str,
        group: str,
        kind: type[Message],
        worker: Callable[[EventGroup], EventWorker],
        most_records: int = MOST_RECORDS,
    ) -> None:
        self.topic = topic
        self.group = group
        self._client = client
        self._kind = kind
        self._most_records = most_records
        self._partitions: dict[Any, Partition] = {}
        self._numbers = count()
        self._held = True
        self._freed = asyncio.Event()
        self._dirty = asyncio.Event()
        self._committing = asyncio.Lock()
        self._closing = asyncio.Lock()
        self._member = Member(client, topic, group, self, from_end=False)
        self._group = _Group(self._worker_left, topic, group, self._done, self._is_open)
        self._worker = worker(self._group)
        self._consuming = Consuming(self._worker.name, client.on_failure)
        self._consuming.begin(self._member.run())
        self._consuming.begin(self._commit_now_and_then())

    @property
    def failure(self) -> Exception | None:
        return self._worker.failure

    @property
    def stopped(self) -> bool:
        return self._worker.stopped

    @property
    def trouble(self) -> str | None:
        return self._member.trouble

    @property
    def lag(self) -> int:
        found = 0
        for place, partition in self._partitions.items():
            newest = self._member.newest(place)
            ahead = 0 if newest is None else max(0, newest - partition.next)
            found += ahead + partition.unfinished
        return found

    @property
    def dead_letters(self) -> int:
        """Records that were given up, so far."""
        return self._worker.dead_letters

    async def caught_up(self) -> None:
        return

    async def entered(self) -> None:
        await self._member.entered.wait()

    async def is_idle(self) -> bool:
        ends = await self._member.ends([*self._partitions])
        if self._group.room.items or not self._member.entered.is_set():
            return False
        return all(
            self._partitions[each].next >= end for each, end in ends.items() if each in self._partitions
        )

    async def close(self) -> None:
        async with self._closing:
            await self._worker.close()
            await self._commit()
            await self._consuming.end()

    # The member's calls

    def busy_first(self) -> Iterable[int]:
        by_work = sorted(self._partitions.values(), key=lambda each: -each.unfinished)
        return [partition.place.partition for partition in by_work]

    def room(self) -> int:
        if self.stopped or self._group.room.bytes >= MOST_BYTES_OF_ALL:
            return 0
        return AT_ONCE

    async def wait_for_room(self) -> None:
        self._freed.clear()
        await self._freed.wait()

    async def take(self, fetched: Records) -> None:
        for place, records in fetched.items():
            partition = self._partitions[place]
            self._group.put([self._record(partition, record) for record in records])
            if self._is_full(partition):
                partition.paused = True
                self._member.pause(place)

    async def leaving(self, lost: bool) -> None:
        self._held = True
        if lost:
            self._lose(self._partitions)
            self._partitions = {}
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                while self._group.taken:
                    await self.wait_for_room()
        await self._commit()

    def entered_share(self, positions: dict[Any, int], committed: dict[Any, int | None]) -> dict[Any, int]:
        before, self._partitions = self._partitions, {}
        for place, position in positions.items():
            kept = before.get(place)
            if kept is not None and kept.committed == committed[place]:
                # Nobody had it in between, so what is in hand is ours still.
                self._partitions[place] = before.pop(place)
                kept.paused = False
            else:
                self._partitions[place] = Partition(place, position, committed[place])
        self._lose(before)
        self._held = False
        self._group.offer()
        return {place: partition.next for place, partition in self._partitions.items()}

    async def verified(self) -> bool:
        """Committing again what is committed does nothing but ask whether this is a member still."""
        return await self._commit(anew=True)

    def awake(self) -> None:
        self._group.offer()

    def _lose(self, partitions: dict[Any, Partition]) -> None:
        lost = {id(partition) for partition in partitions.values()}
        if lost:
            self._group.lose(lambda record: id(record.partition) in lost)

    # Records

    def _record(self, partition: Partition, record: Any) -> Fetched:
        key = (record.key or b"").decode(errors="replace")
        value = record.value or b""
        found = Fetched(
            None,
            key,
            len(value),
            next(self._numbers),
            self._client.clock.monotonic(),
            partition=partition,
            offset=record.offset,
        )
        try:
            found.message = self._kind.FromString(value)
        except DecodeError as error:
            found.unreadable, found.payload = error, value
        if record.headers:
            found.around = partial(self._client.hooks.context_of, record.headers)
        partition.fetched(found.offset, found.size)
        return found

    def _done(self, records: Sequence[Fetched]) -> None:
        """Handlers have finished these, or their dead letters are published."""
        for record in records:
            partition = record.partition
            assert partition is not None
            partition.finished(record.offset, record.size)
            if partition.paused and not self._is_full(partition, 0.5):
                partition.paused = False
                self._member.resume(partition.place)
        self._dirty.set()
        self._freed.set()

    def _is_full(self, partition: Partition, share: float = 1.0) -> bool:
        return (
            partition.unfinished >= share * self._most_records
            or partition.bytes >= share * MOST_BYTES
            or partition.span >= share * MOST_SPAN
        )

    def _is_open(self) -> bool:
        return not self._held and self._member.is_awake()

    # Offsets

    async def _commit_now_and_then(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            # Not during a rebalance: what the new share begins with must not change under its hands.
            if self._held or not await self._commit():
                self._dirty.set()
            await self._client.clock.sleep(COMMIT_EVERY)

    async def _commit(self, anew: bool = False) -> bool:
        """Let the broker note what is done; false where it does not. anew: also where it knows all."""
        if self._client.reach.trouble is not None:
            return False
        async with self._committing:
            due = {
                place: partition
                for place, partition in self._partitions.items()
                if anew or partition.base != partition.noted
            }
            if not due:
                return True
            offsets = {place: partition.base for place, partition in due.items()}
            if not await self._member.commit(offsets):
                return False
            for place, partition in due.items():
                partition.committed = partition.noted = offsets[place]
            return True

    def _worker_left(self) -> None:
        """The worker takes no more: by itself where too much failed, and then the group must hear of it."""
        if self.failure is not None:
            self._client.tasks.spawn(self.close(), f"{self._worker.name}: end")


class _Group(EventGroup):
    """left: hears when a worker takes no more."""

    def __init__(self, left: Callable[[], None], topic: str, name: str, *more: Any) -> None:
        super().__init__(topic, name, Room(UNBOUNDED), *more)
        self._left = left

    def leave(self, member: Any) -> None:
        super().leave(member)
        self._left()


def single(
    client: Client, publish: Publish, handler: Callable[[Any], Awaitable[None]], options: Options
) -> Callable[[EventGroup], EventWorker]:
    return lambda group: SingleWorker(group, handler, publish, options, client.clock, client.on_failure)


def batched(
    client: Client,
    publish: Publish,
    handler: Callable[[Sequence[Any]], Awaitable[None]],
    batch: Batch,
    options: Options,
) -> Callable[[EventGroup], EventWorker]:
    return lambda group: BatchWorker(group, handler, batch, publish, options, client.clock, client.on_failure)
