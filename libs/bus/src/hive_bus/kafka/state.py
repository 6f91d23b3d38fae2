"""STATE on a broker: each subscriber reads the whole topic, hears the last value of each key, then every change."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from google.protobuf.message import DecodeError, Message

from hive_bus.failing import attempts
from hive_bus.handling.subscription import RunningSubscription
from hive_bus.kafka.client import Client
from hive_bus.kafka.library import dispose, to_the_end
from hive_bus.kafka.subscribed import Consuming
from hive_bus.port import Options, StateChange

POLL_MS = 500
ANSWER_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


class KafkaState(RunningSubscription):
    """One task reads, one hands over. After the reader had to begin anew, keys that vanished are retired.

    What waits is compacted, so its bound is the number of keys.
    """

    def __init__(
        self,
        client: Client,
        topic: str,
        kind: type[Message],
        handler: Callable[[StateChange[Any]], Awaitable[None]],
        options: Options,
    ) -> None:
        super().__init__(topic, options, client.clock, client.on_failure)
        self.topic = topic
        self.group = ""
        self.trouble: str | None = "it has not met its broker yet"
        self._client = client
        self._kind = kind
        self._handler = handler
        self._consumer: Any = None
        self._positions: dict[Any, int] = {}
        self._waiting: OrderedDict[str, Any] = OrderedDict()
        self._known: set[str] = set()
        self._replay: set[str] | None = None
        self._busy = False
        self._told = asyncio.Event()
        self._replayed = asyncio.Event()
        self._found = asyncio.Event()
        self._consuming = Consuming(topic, client.on_failure)
        self._consuming.begin(self._read())
        self._spawn(self._hand_over_all())

    @property
    def lag(self) -> int:
        return len(self._waiting) + self._busy

    async def entered(self) -> None:
        await self._found.wait()

    async def caught_up(self) -> None:
        await self._replayed.wait()
        if self._replay is None or self._replay:
            raise self.failure or RuntimeError(f"the subscription of {self.name} ended before its replay did")

    async def is_idle(self) -> bool:
        consumer = self._consumer
        if consumer is None or self._waiting or self._busy:
            return False
        async with asyncio.timeout(ANSWER_SECONDS):
            ends = await consumer.end_offsets([*self._positions])
        return all(self._positions[each] >= end for each, end in ends.items())

    async def close(self) -> None:
        self.stop()
        await asyncio.gather(super().close(), self._consuming.end())

    def stop(self, failure: Exception | None = None) -> None:
        super().stop(failure)
        self._replayed.set()

    def _leave(self) -> None:
        if self.failure is not None:
            self._client.tasks.spawn(self._consuming.end(), f"{self.name}: end")

    # Reading

    async def _read(self) -> None:
        pause = FIRST_PAUSE
        while not self.stopped:
            began = self._client.clock.monotonic()
            try:
                await self._session()
            except Exception as error:
                if not isinstance(error, KafkaError | OSError | TimeoutError):
                    self._client.on_failure(f"{self.topic}: consumer", error)
                self.trouble = str(error) or type(error).__name__
                self._client.reach.doubt()
            if self._client.clock.monotonic() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            await self._client.clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _session(self) -> None:
        client = self._client
        await client.reach.there.wait()
        consumer = AIOKafkaConsumer(
            **client.address.connection(client.instance),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            request_timeout_ms=client.address.session_ms + 4_000,
            retry_backoff_ms=200,
            check_crcs=False,
        )
        try:
            await consumer.start()
            found = await client.partitions_of(consumer, self.topic)
            partitions = [TopicPartition(self.topic, number) for number in sorted(found)]
            await self._replay_all(consumer, partitions)
            self.trouble = None
            while not self.stopped:
                for place, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                    for record in records:
                        self._tell(record)
                    self._positions[place] = records[-1].offset + 1
                if consumer.partitions_for_topic(self.topic) not in (None, found):
                    raise KafkaError(f"{self.topic} has got other partitions")
        except OffsetOutOfRangeError:
            self.trouble = f"{self.topic} was cut off: it is read anew"
            self._positions = {}
        finally:
            self._consumer = None
            await to_the_end(dispose(consumer))

    async def _replay_all(self, consumer: Any, partitions: list[Any]) -> None:
        """Read up to what stands there now, then let the last value of each key be handed over."""
        consumer.assign(partitions)
        async with asyncio.timeout(ANSWER_SECONDS):
            starts = await consumer.beginning_offsets(partitions)
            ends = await consumer.end_offsets(partitions)
        for place in partitions:
            consumer.seek(place, starts[place])
            if self._positions.get(place, 0) > ends[place]:
                self._positions = {}  # it is another topic of the same name
        self._consumer = consumer
        self._found.set()
        last: OrderedDict[str, Any] = OrderedDict()
        while any([await consumer.position(place) < ends[place] for place in partitions]):
            for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                for record in records:
                    key = _key(record)
                    last[key] = record
                    last.move_to_end(key)
        self._settle(last)
        self._positions = {place: await consumer.position(place) for place in partitions}

    def _settle(self, last: OrderedDict[str, Any]) -> None:
        """Hand over what is new to the handler; what it knows and the topic has no more is retired."""
        for record in last.values():
            place = TopicPartition(record.topic, record.partition)
            is_new = record.offset >= self._positions.get(place, 0)
            if is_new and (record.value is not None or _key(record) in self._known):
                self._tell(record)
        gone = self._known - {key for key, record in last.items() if record.value is not None}
        for key in sorted(gone):
            self._append(key, None)
        if self._replay is None:
            self._replay = set(self._waiting)
        self._told.set()

    def _tell(self, record: Any) -> None:
        self._append(_key(record), record)
        self._told.set()

    def _append(self, key: str, record: Any) -> None:
        self._waiting[key] = record
        self._waiting.move_to_end(key)
        if record is None or record.value is None:
            self._known.discard(key)
        else:
            self._known.add(key)

    # Handing over

    async def _hand_over_all(self) -> None:
        while not self.stopped:
            if self._replay is not None and not self._replay:
                self._replayed.set()
            if not self._waiting:
                self._told.clear()
                await self._rest(self._told.wait())
                continue
            key, record = self._waiting.popitem(last=False)
            await self._hand_over(key, record)
            if self._replay:
                self._replay.discard(key)
            # A handler need not wait for anything: a long replay must let others run.
            await asyncio.sleep(0)

    async def _hand_over(self, key: str, record: Any) -> None:
        self._busy = True
        try:
            error = await self._attempt(key, record)
            if error is not None:
                self._report(f"{self.name}, key {key!r}", error)
            self._note(error)
        finally:
            self._busy = False

    async def _attempt(self, key: str, record: Any) -> Exception | None:
        message, order = None, 0
        if record is not None:
            order = record.offset
            if record.value is not None:
                try:
                    message = self._kind.FromString(record.value)
                except DecodeError as error:
                    return error
        change = StateChange(key, message, order)
        return await attempts(self._handler, change, self._options.retry, self._pause)


def _key(record: Any) -> str:
    key: bytes = record.key or b""
    return key.decode(errors="replace")
