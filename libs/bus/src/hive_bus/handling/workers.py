"""EVENT subscriptions: one record per call with keys side by side, or one batch after another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from google.protobuf.message import Message

from hive_bus.failing import attempts, dead_letter
from hive_bus.handling.group import EventGroup, Record
from hive_bus.handling.subscription import RunningSubscription
from hive_bus.port import Batch, Options
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError
from hive_runtime.tasks import OnFailure

Publish = Callable[[Message], Awaitable[None]]


class RecordLost(Exception):
    """The record is another process's by now: there is nothing more to do about it here."""


class EventWorker(RunningSubscription):
    """What both have in common: records are in hand until they are finished, else go back to the group.

    dead_letters: records that were given up, so far. enough: as the group knows it of its members.
    """

    enough = 1

    def __init__(
        self, group: EventGroup, publish: Publish, options: Options, clock: Clock, on_failure: OnFailure
    ) -> None:
        super().__init__(f"{group.topic} in group {group.name}", options, clock, on_failure)
        self._group = group
        self._publish = publish
        self._in_hand: set[Record] = set()
        self.dead_letters = 0

    def _take(self, limit: int) -> list[Record]:
        records = self._group.take(limit)
        self._in_hand.update(records)
        return records

    def _release(self, records: Sequence[Record]) -> None:
        """Give back what of these is still in hand."""
        for record in records if self._in_hand else ():
            if record in self._in_hand:
                self._in_hand.discard(record)
                self._group.release(record)
        self._group.offer()

    def _finish(self, records: Sequence[Record], error: Exception | None = None) -> None:
        self._in_hand.difference_update(records)
        self._group.finish(records)
        self._note(error, len(records))

    async def _bury(self, record: Record, error: Exception, tries: int) -> None:
        """Publish the dead letter, however long that takes: until then the record is not finished."""
        payload = record.payload if record.unreadable else record.message.SerializeToString()
        letter = dead_letter(self._group.topic, record.key, payload, self._group.name, error, tries)
        while not await self._taken(letter):
            await self._pause_for(record, self._options.retry.longest_pause)
        self.dead_letters += 1
        self._report(f"{self.name}, key {record.key!r}", error)
        self._finish([record], error)

    async def _pause_for(self, record: Record, seconds: float) -> None:
        """Wait before another try; in vain where the record is another process's by then."""
        await self._pause(seconds)
        if record.lost:
            raise RecordLost

    async def _taken(self, letter: Message) -> bool:
        try:
            await self._publish(letter)
        except HiveError:
            return False
        return True

    def _leave(self) -> None:
        self._group.leave(self)

    def offer(self) -> bool:
        raise NotImplementedError


class SingleWorker(EventWorker):
    """A task per record, as many at once as the options allow; one that waits for another try counts."""

    def __init__(
        self,
        group: EventGroup,
        handler: Callable[[Any], Awaitable[None]],
        publish: Publish,
        options: Options,
        clock: Clock,
        on_failure: OnFailure,
    ) -> None:
        super().__init__(group, publish, options, clock, on_failure)
        self._handler = handler
        self._free = options.concurrency
        group.join(self)

    def offer(self) -> bool:
        if not self._free:
            return False
        self._free -= 1
        self._spawn(self._run(self._take(1)[0]))
        return True

    async def _run(self, record: Record) -> None:
        try:
            if record.unreadable is not None:
                await self._bury(record, record.unreadable, 0)
            elif (error := await self._handle(record)) is None:
                self._finish([record])
            else:
                await self._bury(record, error, self._options.retry.tries)
        except RecordLost:
            pass
        except Exception as broken:
            self.stop(broken)
        finally:
            self._free += 1
            self._release([record])

    async def _handle(self, record: Record) -> Exception | None:
        pause = partial(self._pause_for, record)
        if record.around is None:
            return await attempts(self._handler, record.message, self._options.retry, pause)
        with record.around():
            return await attempts(self._handler, record.message, self._options.retry, pause)


class BatchWorker(EventWorker):
    """One task that collects a batch, hands it over, and begins again."""

    def __init__(
        self,
        group: EventGroup,
        handler: Callable[[Sequence[Any]], Awaitable[None]],
        batch: Batch,
        publish: Publish,
        options: Options,
        clock: Clock,
        on_failure: OnFailure,
    ) -> None:
        super().__init__(group, publish, options, clock, on_failure)
        self._handler = handler
        self._batch = batch
        self._offered = asyncio.Event()
        self._spawn(self._run())
        group.join(self)

    def offer(self) -> bool:
        if self._group.ready >= self.enough:
            self._offered.set()
        return False

    async def _run(self) -> None:
        while not self.stopped:
            await self._collect()
            records = self._take(self._batch.size)
            try:
                await self._work(await self._readable(records))
            except RecordLost:
                continue
            except Exception as broken:
                self.stop(broken)
            finally:
                self._release(records)

    async def _collect(self) -> None:
        """Return when the group has a whole batch ready, or its oldest ready record is old enough."""
        while not self._group.ready:
            await self._next_offer()
        if self._group.ready >= self._batch.size:
            return
        left = self._group.oldest() + self._batch.seconds - self._clock.monotonic()
        alarm = self._spawn(self._ring(left))
        self._wait_for(self._batch.size)
        try:
            while 0 < self._group.ready < self._batch.size and not alarm.done():
                await self._next_offer()
        finally:
            self._wait_for(1)
            alarm.cancel()

    def _wait_for(self, enough: int) -> None:
        self.enough = enough
        self._group.reconsider()

    async def _next_offer(self) -> None:
        self._offered.clear()
        await self._rest(self._offered.wait())

    async def _ring(self, seconds: float) -> None:
        if seconds > 0:
            await self._clock.sleep(seconds)
        self._offered.set()

    async def _readable(self, records: list[Record]) -> list[Record]:
        unreadable = [record for record in records if record.unreadable is not None]
        for record in unreadable:
            if record.unreadable is not None and not self.stopped:
                await self._bury(record, record.unreadable, 0)
        return [record for record in records if record.unreadable is None] if unreadable else records

    async def _work(self, records: list[Record]) -> None:
        if not records or self.stopped:
            return
        retry = self._options.retry
        error = await self._attempts(records)
        if error is None:
            self._finish(records)
        elif len(records) == 1:
            await self._bury(records[0], error, retry.tries)
        else:
            await self._one_by_one(records)

    async def _one_by_one(self, records: list[Record]) -> None:
        retry = self._options.retry
        for record in records:
            if self.stopped:
                return
            error = await self._attempts([record])
            if error is None:
                self._finish([record])
            else:
                await self._bury(record, error, 2 * retry.tries)

    async def _attempts(self, records: list[Record]) -> Exception | None:
        messages = [record.message for record in records]
        return await attempts(
            self._handler, messages, self._options.retry, partial(self._pause_for_all, records)
        )

    async def _pause_for_all(self, records: list[Record], seconds: float) -> None:
        """Wait before another try of the batch; in vain where all of it is another process's by then."""
        await self._pause(seconds)
        if all(record.lost for record in records):
            raise RecordLost
