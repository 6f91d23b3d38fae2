"""What is asked of aiokafka beyond its public interface."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.producer.message_accumulator import MessageAccumulator
from aiokafka.structs import TopicPartition

from hive_bus.kafka.library import abandon

SECONDS = 5.0


class Closed:
    """A part of a producer that is closed without ado."""

    sender_task = None

    async def close(self) -> None:
        """Nothing is open."""


class Holding:
    """A producer that holds records which its broker has not taken yet."""

    def __init__(self) -> None:
        self._message_accumulator = MessageAccumulator(ClusterMetadata(), 16_384, 0, SECONDS)
        self._sender = Closed()
        self.client = Closed()
        self._closed = False

    async def send(self) -> asyncio.Future[Any]:
        where = TopicPartition("topic", 0)
        future: asyncio.Future[Any] = await self._message_accumulator.add_message(
            where, b"key", b"value", SECONDS
        )
        return future


@pytest.fixture
async def complaints() -> AsyncIterator[list[str]]:
    """What the event loop complains of."""
    found: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.append(context["message"]))
    yield found
    loop.set_exception_handler(None)


async def test_a_producer_that_is_abandoned_tells_its_senders_and_nobody_else(complaints: list[str]) -> None:
    producer = Holding()
    records = [await producer.send(), await producer.send()]
    await abandon(producer, SimpleNamespace(give_up=lambda: None), ConnectionError("away"))  # type: ignore[arg-type]
    for record in records:
        with pytest.raises(ConnectionError):
            await record
    del producer
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []
