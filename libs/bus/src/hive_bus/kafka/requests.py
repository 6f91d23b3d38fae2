"""REQUEST on a broker: noted as taken before the handler runs, so that nothing is ever handled twice.

Handlers that bear a record twice (`Options.again`) do not wait for that, as far as it is surely new: it came when the
partition was this process's already. What lies there from before may have been begun with by another process, which
perhaps did not survive it: that is noted first, so that no record is the end of one process after the other.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from itertools import chain
from typing import Any

from google.protobuf.message import DecodeError, Message

from hive_bus.handling.subscription import RunningSubscription
from hive_bus.kafka.client import Client
from hive_bus.kafka.member import COMMIT_SECONDS, Fetched, Member
from hive_bus.kafka.subscribed import Consuming
from hive_bus.port import Handler, Options

AGAIN_SECONDS = 0.1

Around = Callable[[], AbstractContextManager[Any]]
"""The trace that a record belongs to."""


class KafkaRequests(RunningSubscription):
    """One task per record, as many at once as the options allow; what does not fit stays on the broker."""

    def __init__(
        self,
        client: Client,
        topic: str,
        group: str,
        kind: type[Message],
        handler: Handler[Any],
        options: Options,
    ) -> None:
        super().__init__(f"{topic} in group {group}", options, client.clock, client.on_failure)
        self.topic = topic
        self.group = group
        self._client = client
        self._kind = kind
        self._handler = handler
        self._free = options.concurrency
        self._freed = asyncio.Event()
        self._noting = asyncio.Lock()
        self._positions: dict[Any, int] = {}
        self._member = Member(client, topic, group, self, from_end=True)
        self._consuming = Consuming(self.name, client.on_failure)
        self._consuming.begin(self._member.run())

    @property
    def trouble(self) -> str | None:
        return self._member.trouble

    @property
    def lag(self) -> int:
        ends = {partition: self._member.newest(partition) for partition in self._positions}
        waiting = sum(
            (ends[each] or 0) - at for each, at in self._positions.items() if ends[each] is not None
        )
        return max(0, waiting) + self._running

    @property
    def _running(self) -> int:
        return self._options.concurrency - self._free

    async def entered(self) -> None:
        await self._member.entered.wait()

    async def is_idle(self) -> bool:
        ends = await self._member.ends([*self._positions])
        return not self._running and all(self._positions.get(each, end) >= end for each, end in ends.items())

    async def close(self) -> None:
        self.stop()
        async with self._noting:
            pass  # what is being taken is handled
        await asyncio.gather(super().close(), self._consuming.end())

    # The member's calls

    def busy_first(self) -> Iterable[int]:
        return [partition.partition for partition in self._positions]

    def room(self) -> int:
        return 0 if self.stopped else self._free

    async def wait_for_room(self) -> None:
        self._freed.clear()
        await self._freed.wait()

    async def take(self, fetched: Fetched) -> None:
        async with self._noting:
            if self.stopped:
                return
            share = self._positions
            new, rest = self._parted(fetched)
            share |= _ends(new)
            for record in chain.from_iterable(new.values()):
                self._start(record, self._handler)
            noted = await self._member.commit(_ends(fetched))
            if share is not self._positions:
                # Another has the partitions. What was noted is lost: whoever waits for it sends it again.
                return
            if not noted:
                # Nothing of the rest was handled, so trying again is not twice.
                self._member.go_back({partition: records[0].offset for partition, records in rest.items()})
                await self._clock.sleep(AGAIN_SECONDS)
                return
            share |= _ends(rest)
            for record in chain.from_iterable(rest.values()):
                self._start(record, self._options.again or self._handler)

    def _parted(self, fetched: Fetched) -> tuple[Fetched, Fetched]:
        """What may begin at once, and what has to be noted first."""
        if self._options.again is None or not self._member.is_awake():
            return {}, fetched
        new: dict[Any, Sequence[Any]] = {}
        rest: dict[Any, Sequence[Any]] = {}
        for partition, records in fetched.items():
            since = self._member.entered_at.get(partition, sys.maxsize)
            # A mixture counts as old: there is one at most, in each partition of a new share.
            (new if records[0].offset >= since else rest)[partition] = records
        return new, rest

    async def leaving(self, lost: bool) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(COMMIT_SECONDS + 1), self._noting:
                pass
        self._positions = {} if lost else {**self._positions}

    def entered_share(self, positions: dict[Any, int], committed: dict[Any, int | None]) -> dict[Any, int]:
        self._positions = positions
        return positions

    async def verified(self) -> bool:
        """The broker is asked at each take, but for what may begin before that."""
        if self._options.again is None:
            return True
        async with self._noting:
            return await self._member.commit(self._positions)

    def awake(self) -> None:
        pass

    def _leave(self) -> None:
        self._freed.set()

    def _start(self, record: Any, handler: Handler[Any]) -> None:
        try:
            message = self._kind.FromString(record.value or b"")
        except DecodeError as error:
            self._report(f"{self.name}, offset {record.offset} of partition {record.partition}", error)
            return
        around = partial(self._client.hooks.context_of, record.headers) if record.headers else nullcontext
        try:
            waiting = self._context.copy().run(_handled, handler, message, around)
        except Exception as error:
            self._report(self.name, error)
            return
        if waiting is not None:
            self._free -= 1
            self._spawn(self._run(waiting, around))

    async def _run(self, waiting: Awaitable[None], around: Around) -> None:
        try:
            with around():
                await waiting
        finally:
            self._free += 1
            self._freed.set()


def _handled(handler: Handler[Any], message: Message, around: Around) -> Awaitable[None] | None:
    with around():
        return handler(message)


def _ends(fetched: Fetched) -> dict[Any, int]:
    return {partition: records[-1].offset + 1 for partition, records in fetched.items()}
