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

from hive_bus.kafka.library import abandon, is_absence

SECONDS = 5.0
WHERE = TopicPartition("topic", 0)


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
        future: asyncio.Future[Any] = await self._message_accumulator.add_message(
            WHERE, b"key", b"value", SECONDS
        )
        return future

    def fail_and_try_again(self) -> None:
        """As the sender does where the broker's connection breaks."""
        self._message_accumulator.reenqueue(self._message_accumulator._pop_batch(WHERE))


@pytest.fixture
async def complaints() -> AsyncIterator[list[str]]:
    """What the event loop complains of."""
    found: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.append(context["message"]))
    yield found
    loop.set_exception_handler(None)


@pytest.mark.parametrize("failures", [0, 1, 2])
async def test_a_producer_that_is_abandoned_tells_its_senders_and_nobody_else(
    complaints: list[str], failures: int
) -> None:
    producer = Holding()
    records = [await producer.send(), await producer.send()]
    for _ in range(failures):
        producer.fail_and_try_again()
    await abandon(producer, SimpleNamespace(give_up=lambda: None), ConnectionError("away"))  # type: ignore[arg-type]
    for record in records:
        with pytest.raises(ConnectionError):
            await record
    del producer
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


def test_a_connection_closed_under_the_librarys_hands_is_an_absence_and_a_mistake_is_none() -> None:
    torn = (
        "unable to perform operation on <TCPTransport closed=True reading=False 0x1>; the handler is closed"
    )
    assert is_absence(RuntimeError(torn)) and is_absence(ConnectionResetError())
    assert not is_absence(RuntimeError("dictionary changed size during iteration"))
    assert not is_absence(ValueError(torn))
