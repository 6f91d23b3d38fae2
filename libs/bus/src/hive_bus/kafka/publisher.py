"""Brings records to the broker: batched by aiokafka, acknowledged by all replicas, refused at once while none is there.

A publish that was not acknowledged in time fails, and so does everything that waits with it: the producer is
given up with what it holds, so that nothing of it is sent later. What was already on its way may arrive all
the same, and no client can know. A new producer is made in the background.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from typing import Any
from zlib import crc32

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from hive_bus.kafka.client import Client
from hive_bus.kafka.library import ABSENCE, DISPOSE_SECONDS, Sending, abandon, is_absence, to_the_end
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks

MOST_RECORDS = 10_000
MOST_BYTES = 64 << 20
# The broker's own bound (1 MiB as it comes) is for a whole batch.
BATCH_BYTES = 512 << 10
RETRY_AFTER = 1.0
CHECK_SECONDS = 0.1
START_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
# How long a topic is believed to be missing before the broker is asked again.
MISSING_SECONDS = 1.0
MOST_MISSING = 1_000
# How long a topic that was just made may take until every broker knows it.
MADE_SECONDS = 10.0


Headers = list[tuple[str, bytes]]


class GivenUp(KafkaError):  # type: ignore[misc]
    """The producer was given up with what it held."""

    retriable = False


class _Sent:
    """A record that a producer has. delivered: a future, until the broker has it too."""

    __slots__ = ("delivered", "number", "producer", "size", "topic")

    def __init__(self, number: int, producer: Any, topic: str, size: int) -> None:
        self.number = number
        self.producer = producer
        self.topic = topic
        self.size = size
        self.delivered: Any = None


class Publisher:
    """One producer at a time. `patience`: seconds that the broker may take for a record."""

    def __init__(self, name: str, client: Client, patience: float) -> None:
        self._name = name
        self._address = client.address
        self._client_id = client.instance
        self._patience = patience
        self._reach = client.reach
        self._clock = client.clock
        self._create = client.create
        self._tasks = Tasks(client.on_failure)
        self._ends = Tasks(client.on_failure)
        self._producer: Any = None
        self._sending: Sending | None = None
        self._needed = asyncio.Event()
        self._needed.set()
        self._opened = asyncio.Event()
        self._numbers = count()
        self._pending: dict[int, float] = {}
        self._some = asyncio.Event()
        self._bytes = 0
        self._turn = count()
        self._missing: dict[str, float] = {}
        self._learning = asyncio.Lock()
        self._reach.lost.append(self._give_up)

    def start(self) -> None:
        self._tasks.spawn(self._keep_open(), f"{self._name} producer")
        self._tasks.spawn(self._watch(), f"{self._name} patience")

    async def opened(self) -> None:
        """Returns when there is a producer."""
        await self._opened.wait()

    async def close(self) -> None:
        """What waits has a last moment to get through."""
        producer, sending = self._producer, self._sending
        self._producer = None
        await self._tasks.close()
        await self._ends.settle(3 * DISPOSE_SECONDS)
        await self._ends.close()
        if producer is not None and sending is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    await producer.flush()
            await to_the_end(abandon(producer, sending, GivenUp("the bus is closed")))

    async def publish(
        self, topic: str, key: bytes, value: bytes | None, headers: Headers, ordered: bool
    ) -> None:
        """Returns when the broker has it. ordered: the key decides where it goes, else it goes where it is quiet.

        Raises HiveError: `unavailable` with `retry_after` where too much waits, without it where the broker
        cannot be reached or has no such topic; `too_large`.
        """
        await self._acknowledged(await self._handed(topic, key, value, headers, ordered))

    async def publish_all(self, records: Iterable[tuple[str, bytes, bytes, Headers]]) -> int:
        """How many of the first ones the broker has; each by its key. Raises as `publish` does where it has none."""
        sent: deque[_Sent] = deque()
        taken = 0
        try:
            refusal = await self._all_handed(records, sent)
            while sent:
                await self._acknowledged(sent.popleft())
                taken += 1
            if refusal is not None:
                raise refusal
        except Exception:
            if not taken:
                raise
        finally:
            for one in sent:  # nobody waits for these
                one.delivered.cancel()
                self._settled(one)
        return taken

    async def _all_handed(
        self, records: Iterable[tuple[str, bytes, bytes, Headers]], sent: deque[_Sent]
    ) -> Exception | None:
        """Hand them to the producer, in their order, up to the first that is refused; gives why that is."""
        try:
            for topic, key, value, headers in records:
                sent.append(await self._handed(topic, key, value, headers, ordered=True))
        except Exception as error:
            return error
        return None

    async def _handed(
        self, topic: str, key: bytes, value: bytes | None, headers: Headers, ordered: bool
    ) -> _Sent:
        """Give it to the producer; it has to be `_settled`."""
        producer = self._producer
        if producer is None:
            raise self._reach.error()
        partitions = producer.client.cluster.partitions_for_topic(topic)
        if not partitions:
            partitions = await self._learn(producer, topic)
        size = len(key) + len(value or b"") + 100
        self._require_room(size)
        partition = (crc32(key) if ordered else next(self._turn)) % len(partitions)
        sent = _Sent(next(self._numbers), producer, topic, size)
        self._pending[sent.number] = self._clock.monotonic()
        self._some.set()
        self._bytes += size
        try:
            sent.delivered = await producer.send(topic, value, key, partition, None, headers)
        except BaseException as error:
            self._settled(sent)
            if isinstance(error, KafkaError):
                raise self._refusal(topic, size, error) from error
            raise
        return sent

    def _settled(self, sent: _Sent) -> None:
        del self._pending[sent.number]
        self._bytes -= sent.size

    async def _acknowledged(self, sent: _Sent) -> None:
        try:
            await sent.delivered
        except KafkaError as error:
            if sent.producer is self._producer and not isinstance(error, TopicAuthorizationFailedError):
                # The broker counts records per producer: after one that failed, none is in order.
                self._give_up()
            raise self._refusal(sent.topic, sent.size, error) from error
        except RuntimeError as error:
            if not is_absence(error):
                raise
            self._give_up()
            raise self._reach.error() from error
        finally:
            self._settled(sent)

    def _refusal(self, topic: str, size: int, error: KafkaError) -> HiveError:
        if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
            return HiveError(
                Kind.TOO_LARGE,
                f"A record of {size} bytes is too large for {topic}: "
                f"at most {self._address.request_bytes} bytes travel on this bus, and no more than its brokers take.",
            )
        if self._reach.trouble is not None or isinstance(error, GivenUp):
            return self._reach.error()
        return HiveError(Kind.UNAVAILABLE, f"The broker refused a record for {topic}: {error}.")

    def _require_room(self, size: int) -> None:
        if len(self._pending) >= MOST_RECORDS or (self._pending and self._bytes + size > MOST_BYTES):
            raise HiveError(
                Kind.UNAVAILABLE,
                f"{len(self._pending)} records ({self._bytes} bytes) wait for the broker already: "
                f"try again in {RETRY_AFTER:g} s.",
                retry_after=RETRY_AFTER,
            )

    # Topics

    async def _learn(self, producer: Any, topic: str) -> set[int]:
        """The topic's partitions, from the broker. Raises HiveError where it has no such topic."""
        async with self._learning:
            partitions: set[int] | None = producer.client.cluster.partitions_for_topic(topic)
            if not partitions and not self._was_missing_just_now(topic):
                partitions = await self._asked(producer, topic)
        if partitions:
            return partitions
        if producer is not self._producer:
            raise self._reach.error()
        raise HiveError(
            Kind.UNAVAILABLE, f"The broker has no topic {topic}: `modelhive topics` makes what is missing."
        )

    async def _asked(self, producer: Any, topic: str) -> set[int] | None:
        try:
            if self._create is not None:
                await self._create(topic)
            async with asyncio.timeout(self._patience if self._create is None else MADE_SECONDS):
                partitions: set[int] = await producer.partitions_for(topic)
                return partitions
        except ABSENCE:
            self._reach.doubt()
        if len(self._missing) > MOST_MISSING:
            self._missing.clear()
        self._missing[topic] = self._clock.monotonic()
        return None

    def _was_missing_just_now(self, topic: str) -> bool:
        since = self._missing.get(topic)
        return since is not None and self._clock.monotonic() - since < MISSING_SECONDS

    # The producer's life

    async def _keep_open(self) -> None:
        pause = FIRST_PAUSE
        while True:
            await self._needed.wait()
            await self._reach.there.wait()
            if await self._open():
                pause = FIRST_PAUSE
                continue
            self._reach.doubt()
            await self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _open(self) -> bool:
        producer = AIOKafkaProducer(
            **self._address.connection(self._client_id),
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            max_request_size=self._address.request_bytes,
            request_timeout_ms=int(1000 * max(self._patience, START_SECONDS)),
            retry_backoff_ms=50,
        )
        sending = Sending(producer)
        try:
            async with asyncio.timeout(START_SECONDS):
                await producer.start()
        except ABSENCE:
            await to_the_end(abandon(producer, sending, GivenUp("it could not be opened")))
            return False
        except BaseException:
            await to_the_end(abandon(producer, sending, GivenUp("the bus is closed")))
            raise
        self._producer, self._sending = producer, sending
        self._needed.clear()
        self._opened.set()
        return True

    def _give_up(self) -> None:
        """Fail what waits, refuse what comes, and make a new producer."""
        producer, sending = self._producer, self._sending
        if producer is None or sending is None:
            return
        self._producer = self._sending = None
        self._opened.clear()
        self._needed.set()
        error = GivenUp("no answer of the broker")
        self._ends.spawn(abandon(producer, sending, error), f"{self._name} producer's end")

    async def _watch(self) -> None:
        """Give the producer up where the oldest record has waited too long."""
        while True:
            if not self._pending:
                self._some.clear()
                await self._some.wait()
            await self._clock.sleep(CHECK_SECONDS)
            oldest = next(iter(self._pending.values()), None)
            if oldest is not None and self._clock.monotonic() - oldest > self._patience:
                self._reach.doubt()
                self._give_up()
