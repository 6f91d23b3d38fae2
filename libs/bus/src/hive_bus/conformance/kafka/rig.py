"""What tests of the Kafka bus share: buses with topics of their own, keys of one partition, members as processes."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count, islice
from zlib import crc32

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from hive_bus import Options
from hive_bus.conformance.suite import PATIENCE, eventually
from hive_bus.kafka import Hooks, KafkaBus
from hive_bus.kafka.bus import TEST_PARTITIONS
from hive_bus.topics import route_of
from hive_runtime.clock import SystemClock
from modelhive.probe.v1.probe_pb2 import ProbeEvent, ProbeRequest, ProbeState

SESSION = "?session_ms=2000&max_poll_ms=1000"


class Reports:
    """What a bus has reported."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def __call__(self, name: str, error: BaseException) -> None:
        self.errors.append(error)


@asynccontextmanager
async def opened(
    url: str,
    *,
    wait: float = 10.0,
    create: bool = True,
    hooks: Hooks = Hooks(),
    reports: Reports | None = None,
) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(
        url,
        SystemClock(),
        reports or Reports(),
        create_topics=create,
        subscribe_seconds=wait,
        hooks=hooks,
    )
    await bus.start()
    try:
        yield bus
    finally:
        await bus.close()


def in_lane(lane: str, concurrency: int = 256) -> Options:
    return Options(fields={"lane": lane}, concurrency=concurrency)


def request(lane: str, number: int, size: int = 4) -> ProbeRequest:
    return ProbeRequest(id=str(number), lane=lane, body=bytes(size))


def event(lane: str, key: str, sequence: int) -> ProbeEvent:
    return ProbeEvent(lane=lane, key=key, sequence=sequence)


def state(lane: str, key: str, value: str) -> ProbeState:
    return ProbeState(lane=lane, key=key, value=value)


def events_topic(lane: str) -> str:
    return route_of(ProbeEvent).topic_with({"lane": lane})


def keys_of_one_partition(amount: int) -> list[str]:
    """Keys whose records lie behind one another."""

    def together() -> Iterator[str]:
        for number in count():
            if crc32(f"key-{number}".encode()) % TEST_PARTITIONS == 0:
                yield f"key-{number}"

    return list(islice(together(), amount))


async def committed(broker: str, group: str, topic: str) -> int:
    """The sum of a group's offsets: how many records are behind it, where the topic began at 0."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    try:
        await admin.start()
        offsets = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    return sum(each.offset for place, each in offsets.items() if place.topic == topic and each.offset > 0)


async def until_committed(broker: str, group: str, topic: str, amount: int) -> None:
    found = -1
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while found != amount:
                found = await committed(broker, group, topic)
                await asyncio.sleep(0.02)
    assert found == amount


async def write(broker: str, topic: str, key: bytes, value: bytes) -> None:
    """A record that no bus would publish."""
    producer = AIOKafkaProducer(bootstrap_servers=broker)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value, key=key)
    finally:
        await producer.stop()


async def on_topic(broker: str, topic: str) -> list[bytes]:
    """The values of all records that stand on a topic now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, group_id=None, auto_offset_reset="earliest")
    await consumer.start()
    try:
        cluster = await consumer._client.fetch_all_metadata()
        places = [TopicPartition(topic, number) for number in cluster.partitions_for_topic(topic)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: list[bytes] = []
        while any([await consumer.position(place) < ends[place] for place in places]):
            for records in (await consumer.getmany(timeout_ms=100)).values():
                found += [record.value for record in records]
        return found
    finally:
        await consumer.stop()


class MemberProcess:
    """`member.py` as a process; `lines` is what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.lines: list[str] = []
        self._process = process
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    @asynccontextmanager
    async def running(cls, broker: str, lane: str, group: str, delivery: str) -> AsyncIterator[MemberProcess]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "hive_bus.conformance.kafka.member",
            f"kafka://{broker}{SESSION}",
            lane,
            group,
            delivery,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        member = cls(process)
        try:
            await member.until("ready")
            yield member
        finally:
            await member._end()

    async def until(self, line: str) -> None:
        await eventually(lambda: line in self.lines, f"{line!r} from the member, which said {self.lines}")

    async def allow(self, amount: int) -> None:
        """Let so many handlers go on."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n" * amount)
        await self._process.stdin.drain()

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()

    def began(self) -> list[int]:
        return [int(line.removeprefix("began ")) for line in self.lines if line.startswith("began ")]

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.lines.append(line.decode().strip())

    async def _end(self) -> None:
        with suppress(ProcessLookupError):
            self.resume()
            self._process.kill()
        await self._process.wait()
        await self._reading
        if self._process.stdin is not None:
            self._process.stdin.close()
