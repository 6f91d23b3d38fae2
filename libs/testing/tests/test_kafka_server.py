"""The Kafka of the tests: it answers, comes back with its records, and can be cut off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from hive_testing.servers.kafka import Kafka


@asynccontextmanager
async def producer(bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    made = AIOKafkaProducer(
        bootstrap_servers=bootstrap, enable_idempotence=True, request_timeout_ms=1000, retry_backoff_ms=50
    )
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


@pytest.fixture
async def topic(kafka: Kafka) -> str:
    name = f"test.{uuid4()}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 2, 1)])
    finally:
        await admin.close()
    return name


async def values(bootstrap: str, topic: str, count: int) -> set[bytes]:
    """The first `count` records, read by a new group."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=f"group.{uuid4()}", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        return {(await consumer.getone()).value for _ in range(count)}
    finally:
        await consumer.stop()


async def test_records_go_in_and_come_out(kafka: Kafka, topic: str) -> None:
    assert kafka.url == f"kafka://{kafka.bootstrap}"
    async with producer(kafka.bootstrap) as sender:
        await sender.send_and_wait(topic, b"one", key=b"1")
    assert await values(kafka.bootstrap, topic, 1) == {b"one"}


async def test_a_killed_broker_comes_back_with_its_records(kafka: Kafka, topic: str) -> None:
    async with producer(kafka.bootstrap) as sender:
        await sender.send_and_wait(topic, b"one", key=b"1")
        kafka.kill()
        kafka.start()
        await sender.send_and_wait(topic, b"two", key=b"2")
    assert await values(kafka.bootstrap, topic, 2) == {b"one", b"two"}


async def test_a_stopped_and_a_paused_broker_come_back(kafka: Kafka, topic: str) -> None:
    async with producer(kafka.bootstrap) as sender:
        kafka.stop()
        kafka.start()
        await sender.send_and_wait(topic, b"one")
        kafka.pause()
        waiting = await sender.send(topic, b"two")
        assert not waiting.done()
        kafka.resume()
        await waiting
    assert await values(kafka.bootstrap, topic, 2) == {b"one", b"two"}


async def test_clients_of_a_proxy_can_be_cut_off_alone(kafka: Kafka, topic: str) -> None:
    with kafka.proxied() as proxy:
        bootstrap = proxy.url.removeprefix("kafka://")
        async with producer(kafka.bootstrap) as near, producer(bootstrap) as far:
            await far.send_and_wait(topic, b"one")
            proxy.cut()
            await near.send_and_wait(topic, b"two")
            waiting = await far.send(topic, b"three")
            await near.send_and_wait(topic, b"four")
            assert not waiting.done()
            proxy.restore()
            await waiting
    assert await values(kafka.bootstrap, topic, 4) == {b"one", b"two", b"three", b"four"}
