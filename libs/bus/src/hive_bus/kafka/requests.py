"""REQUEST on a broker: noted as taken before the handler runs, so that nothing is ever handled twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from google.protobuf.message import DecodeError, Message

from hive_bus.handling.subscription import RunningSubscription
from hive_bus.kafka.client import Client
from hive_bus.kafka.member import COMMIT_SECONDS, Fetched, Member
from hive_bus.kafka.subscribed import Consuming
from hive_bus.port import Handler, Options

AGAIN_SECONDS = 0.1


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
            ends = {partition: records[-1].offset + 1 for partition, records in fetched.items()}
            noted = await self._member.commit(ends)
            if share is not self._positions:
                # Another has the partitions. What was noted is lost: whoever waits for it sends it again.
                return
            if not noted:
                # Nothing was handled, so trying again is not twice.
                self._member.go_back({partition: records[0].offset for partition, records in fetched.items()})
                await self._clock.sleep(AGAIN_SECONDS)
                return
            share |= ends
            for records in fetched.values():
                for record in records:
                    self._start(record)

    async def leaving(self, lost: bool) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(COMMIT_SECONDS + 1), self._noting:
                pass
        self._positions = {} if lost else {**self._positions}

    def entered_share(self, positions: dict[Any, int], committed: dict[Any, int | None]) -> dict[Any, int]:
        self._positions = positions
        return positions

    async def verified(self) -> bool:
        return True  # the broker is asked at each take

    def awake(self) -> None:
        pass

    def _leave(self) -> None:
        self._freed.set()

    def _start(self, record: Any) -> None:
        try:
            message = self._kind.FromString(record.value or b"")
        except DecodeError as error:
            self._report(f"{self.name}, offset {record.offset} of partition {record.partition}", error)
            return
        self._free -= 1
        self._spawn(self._run(message, record.headers))

    async def _run(self, message: Message, headers: Any) -> None:
        try:
            if headers:
                with self._client.hooks.context_of(headers):
                    await self._handle(message)
            else:
                await self._handle(message)
        finally:
            self._free += 1
            self._freed.set()

    async def _handle(self, message: Message) -> None:
        if (rest := self._handler(message)) is not None:
            await rest
