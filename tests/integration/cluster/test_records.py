"""Records of usage that come again, that nobody can read and that nobody can keep; a call longer than a poll may be.

Each topic has one partition here: whatever holds one record up would hold up all behind it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import openai
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from hive_bus.kafka import make_topics
from hive_testing.cluster import SERVICES, Cluster, Ground
from hive_testing.http import eventually
from hive_testing.proofs import examined, posted, prove
from hive_testing.simulator import SimulatorThread
from modelhive.events.v1.dead_letter_pb2 import DeadLetter
from modelhive.events.v1.usage_pb2 import UsageRecorded

pytestmark = pytest.mark.cluster

CREDIT = Decimal(1000)
USAGE = "hive.usage"
LETTERS = f"{USAGE}.dlq"
KEEPERS = ("billing", "analytics")
MAX_POLL_MS = 6_000
LONG = "stream"
"""Its answer takes 20 s: more than three times as long."""
AT_ONCE = 8
RETRIES = openai.DEFAULT_MAX_RETRIES
SHORT = 50
BOUND = 60.0
FLOOD = 15
"""More than 10 of the last 20 are too many; so many more that they come again in the next start are not."""


class OnePartition(Cluster):
    """A cluster whose topics have one partition each."""

    def make_topics(self) -> None:
        asyncio.run(make_topics(self.environment["HIVE_BUS_URL"], partitions=1))


@pytest.fixture(scope="module")
def own(
    catalogue: dict[str, Any], ground: Ground, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    backing = ground.fresh()
    settings = {
        "HIVE_BUS_URL": f"{backing.environment['HIVE_BUS_URL']}&max_poll_ms={MAX_POLL_MS}",
        "HIVE_BOOTSTRAP_CREDIT_USD": str(CREDIT),
        "HIVE_LOCAL_MODELS": "0",
    }
    services = {**SERVICES, "edge": 1, "guardrails": 1}
    folder = tmp_path_factory.mktemp("cluster")
    with OnePartition(folder, backing, catalogue, services, **settings) as running:
        yield running


async def say(client: openai.AsyncOpenAI, text: str, model: str = "plain") -> str:
    answer = await client.chat.completions.create(
        model=model, max_tokens=40, messages=[{"role": "user", "content": text}]
    )
    return answer.choices[0].message.content or ""


async def say_all(cluster: Cluster, count: int) -> None:
    """So many calls, a few at a time; all must be answered."""
    turns = asyncio.Semaphore(AT_ONCE)
    async with cluster.async_client(timeout=60, max_retries=RETRIES) as client:

        async def one(number: int) -> str:
            async with turns:
                return await say(client, f"number {number}")

        said = await asyncio.gather(*map(one, range(count)))
    assert said == [f"Echo: number {number}" for number in range(count)]


@pytest.mark.timeout(240)
async def test_a_call_longer_than_a_poll_may_be_in_front_of_short_ones(
    cluster: Cluster, simulator: SimulatorThread
) -> None:
    async with cluster.async_client(timeout=120, max_retries=RETRIES) as client:
        events = await client.chat.completions.create(
            model=LONG, messages=[{"role": "user", "content": "long"}], stream=True
        )
        first = await anext(events)

        async def to_its_end() -> bool:
            return [event async for event in events][-1].choices[0].finish_reason == "stop"

        long = asyncio.ensure_future(to_its_end())
        said: list[str] = []

        async def short() -> None:
            while not long.done():
                text = f"short {len(said)}"
                assert await say(client, text) == f"Echo: {text}"
                if not long.done():
                    said.append(text)

        await asyncio.gather(*(short() for _ in range(AT_ONCE)))
        assert first.choices and await long
    assert len(said) >= SHORT
    calls = simulator.calls
    runs = Counter(call.header(b"x-client-request-id").rsplit("-", 2)[0] for call in calls)
    assert set(runs.values()) == {1} and len(said) < len(calls) <= len(said) + 1 + AT_ONCE
    proof = await asyncio.to_thread(prove, cluster, simulator.bill, CREDIT)
    print(f"\n{len(said)} short ones were answered while a long one ran; nothing ran twice. {proof}")


@pytest.mark.timeout(240)
async def test_the_whole_topic_once_more(cluster: Cluster, simulator: SimulatorThread) -> None:
    await say_all(cluster, 60)
    await asyncio.to_thread(prove, cluster, simulator.bill, CREDIT)
    before = await asyncio.to_thread(books, cluster)
    records = [(record.key, record.value) for record in await read(cluster, USAGE)]
    assert len(records) >= 60
    random.Random(5).shuffle(records)
    await publish(cluster, USAGE, records)
    await heard(cluster, USAGE)
    assert await asyncio.to_thread(books, cluster) == before
    found = await asyncio.to_thread(examined, cluster)
    assert found["ok"] and not found["problems"]
    proof = await asyncio.to_thread(prove, cluster, simulator.bill, CREDIT)
    print(f"\n{len(records)} records came again in another order, and nothing changed. {proof}")


@pytest.mark.timeout(300)
async def test_poison(cluster: Cluster, simulator: SimulatorThread) -> None:
    cluster.expected += ["hive.usage in group", "a change of the books failed"]
    unread = len(await read(cluster, LETTERS))
    unkeepable = UsageRecorded(request_id="req_poison", attempt=1, call=1, tenant_id="default")
    unkeepable.model, unkeepable.provider, unkeepable.cost_nanos = "no\0name", "sim", 5
    unkeepable.started_unix_ms = 1_795_564_800_000
    poison = [(b"garbage", b"\xff\xff\xff garbage"), (b"req_poison", unkeepable.SerializeToString())]
    await publish(cluster, USAGE, poison)
    await say_all(cluster, 40)
    proof = await asyncio.to_thread(prove, cluster, simulator.bill, CREDIT)
    await heard(cluster, USAGE)
    letters = [DeadLetter.FromString(each.value) for each in (await read(cluster, LETTERS))[unread:]]
    assert {letter.source_topic for letter in letters} == {USAGE}
    payloads = [(letter.group, letter.payload) for letter in letters]
    assert sorted(group for group, payload in payloads if payload == poison[0][1]) == sorted(KEEPERS)
    assert ("billing", poison[1][1]) in payloads
    assert all(replica.is_ready() for replica in cluster.replicas.values())
    print(f"\n{len(letters)} dead letters: {Counter(group for group, _ in payloads)}. {proof}")


@pytest.mark.timeout(300)
async def test_more_poison_than_can_be_true(cluster: Cluster, simulator: SimulatorThread) -> None:
    """Who can read little of the newest stops, and says that it is not ready: perhaps it is itself that is wrong.

    Callers are answered all the same, and once it was started again, nothing is missing.
    """
    cluster.expected += ["hive.usage in group"]
    unread = len(await read(cluster, LETTERS))
    await publish(cluster, USAGE, [(b"garbage", b"\xff\xff\xff flood")] * FLOOD)
    keepers = [cluster.of(service)[0] for service in KEEPERS]
    for keeper in keepers:
        stopped = lambda: keeper.says("/readyz") == 503  # noqa: E731, B023
        await asyncio.to_thread(eventually, stopped, BOUND, f"{keeper.name} says that it has stopped")
        told = (await asyncio.to_thread(keeper.internal.ask, "GET", "/readyz")).body.decode()
        assert "records failed for good" in told, told
    await say_all(cluster, 20)
    for keeper in keepers:
        await asyncio.to_thread(keeper.stop)
        await asyncio.to_thread(keeper.start)
    proof = await asyncio.to_thread(prove, cluster, simulator.bill, CREDIT)
    await heard(cluster, USAGE)
    letters = [DeadLetter.FromString(each.value) for each in (await read(cluster, LETTERS))[unread:]]
    assert Counter(letter.group for letter in letters) == dict.fromkeys(KEEPERS, FLOOD)
    print(f"\n{len(letters)} dead letters of {len(KEEPERS)} groups. {proof}")


def books(cluster: Cluster) -> dict[str, Any]:
    """All that is counted of usage: postings, balances, and what analytics says."""
    questions = ("", "&by=model", "&by=key", "&by=provider")
    return {
        "ledger": list(posted(cluster)),
        "wallet": {
            name: amount
            for name, amount in cluster.admin("GET", "/wallets/default").items()
            if name != "leased_usd"
        },
        "usage": [cluster.admin("GET", f"/usage?question=usage{by}") for by in questions],
    }


async def read(cluster: Cluster, topic: str) -> Sequence[Any]:
    """All records of a topic, oldest first."""
    found: list[Any] = []
    async with consumer(cluster) as reader:
        place = TopicPartition(topic, 0)
        reader.assign([place])
        await reader.seek_to_beginning(place)
        end = (await reader.end_offsets([place]))[place]
        async with asyncio.timeout(BOUND):
            while await reader.position(place) < end:
                for records in (await reader.getmany(timeout_ms=200)).values():
                    found.extend(records)
    return found


async def publish(cluster: Cluster, topic: str, records: Sequence[tuple[bytes, bytes]]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=cluster.backing.kafka.bootstrap)
    await producer.start()
    try:
        async with asyncio.timeout(BOUND):
            sent = [await producer.send(topic, value, key) for key, value in records]
            await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def heard(cluster: Cluster, topic: str) -> None:
    """Wait until all who keep usage have done with all that was published."""
    place = TopicPartition(topic, 0)
    async with consumer(cluster) as reader:
        end = (await reader.end_offsets([place]))[place]
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.backing.kafka.bootstrap)
    await admin.start()
    try:
        async with asyncio.timeout(BOUND):
            for group in KEEPERS:
                while (await admin.list_consumer_group_offsets(group))[place].offset < end:
                    await asyncio.sleep(0.05)
    finally:
        await admin.close()


@asynccontextmanager
async def consumer(cluster: Cluster) -> AsyncIterator[Any]:
    reader = AIOKafkaConsumer(bootstrap_servers=cluster.backing.kafka.bootstrap)
    await reader.start()
    try:
        yield reader
    finally:
        await reader.stop()
