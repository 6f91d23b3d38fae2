"""All usage told once more, from the first record on and in another order: the books and the figures must not move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from hive_testing.cluster import Cluster
from hive_testing.proofs import posted
from hive_testing.servers.kafka import Kafka

TOPIC = "hive.usage"
DEAD_LETTERS = ".dlq"
SECONDS = 120.0
PAUSE_SECONDS = 0.2
QUESTIONS = ("usage", "spend", "requests", "tokens", "errors", "attempts", "top_keys")


async def replay_usage(kafka: Kafka, seed: int) -> int:
    """Publish every record of the topic again, shuffled; returns how many, when all groups have read them."""
    records = await _all_of(kafka)
    Random(seed).shuffle(records)
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        for each in records:
            await producer.send(TOPIC, each.value, key=each.key, headers=[*each.headers])
        await producer.flush()
    await read_by_all(kafka)
    return len(records)


async def read_by_all(kafka: Kafka) -> None:
    """Returns when every consumer group has committed the end of the usage topic; raises TimeoutError."""
    async with _clients(kafka) as (consumer, admin), asyncio.timeout(SECONDS):
        ends = await consumer.end_offsets(await _partitions(admin, TOPIC))
        while [lag async for lag in _lags(admin, ends)]:  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(PAUSE_SECONDS)


async def dead_letters(kafka: Kafka) -> dict[str, int]:
    """How many records lie in each topic of dead letters that has any."""
    async with _clients(kafka) as (consumer, admin):
        found = {}
        for topic in await admin.list_topics():
            if topic.endswith(DEAD_LETTERS):
                ends = await consumer.end_offsets(await _partitions(admin, topic))
                found[topic] = sum(ends.values())
        return {topic: count for topic, count in found.items() if count}


def figures(cluster: Cluster, since: str, until: str) -> dict[str, Any]:
    """What analytics and the books say of a time; equal where nothing has changed."""
    asked = {
        question: cluster.admin("GET", f"/usage?question={question}&from={since}&to={until}")["data"]
        for question in QUESTIONS
    }
    causes = [(each["cause"], each["spent_usd"], each["provider_cost_usd"]) for each in posted(cluster)]
    wallets = cluster.admin("GET", "/wallets")["data"]
    # What is held moves by itself, as leases of processes that died run out.
    settled = [{name: said for name, said in each.items() if name != "held_usd"} for each in wallets]
    return {**asked, "postings": causes, "wallets": settled}


async def _all_of(kafka: Kafka) -> list[ConsumerRecord]:
    found: list[ConsumerRecord] = []
    async with _clients(kafka) as (consumer, admin), asyncio.timeout(SECONDS):
        parts = await _partitions(admin, TOPIC)
        consumer.assign(parts)
        await consumer.seek_to_beginning(*parts)
        ends = await consumer.end_offsets(parts)
        while any([await consumer.position(part) < end for part, end in ends.items()]):
            fetched = await consumer.getmany(timeout_ms=500)
            found += [record for records in fetched.values() for record in records]
    return found


async def _lags(
    admin: AIOKafkaAdminClient, ends: dict[TopicPartition, int]
) -> AsyncIterator[tuple[str, TopicPartition]]:
    """The partitions that a group has not read to these ends."""
    for group, *_ in await admin.list_consumer_groups():
        offsets = await admin.list_consumer_group_offsets(group)
        for part, committed in offsets.items():
            if part in ends and committed.offset < ends[part]:
                yield group, part


async def _partitions(admin: AIOKafkaAdminClient, topic: str) -> list[TopicPartition]:
    (described,) = await admin.describe_topics([topic])
    found = [TopicPartition(topic, each["partition"]) for each in described["partitions"]]
    assert found, f"{topic} has no partitions: {described}"
    return found


@asynccontextmanager
async def _clients(kafka: Kafka) -> AsyncIterator[tuple[AIOKafkaConsumer, AIOKafkaAdminClient]]:
    """A consumer that belongs to no group, and one who asks about groups."""
    async with AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, enable_auto_commit=False) as consumer:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        try:
            yield consumer, admin
        finally:
            await admin.close()
