"""What is asked of aiokafka beyond its public interface. Each use stands here, so that an upgrade is checked here.

Its logger is quietened: while a broker is away it writes an error at every attempt, and the bus says that once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, OffsetAndMetadata
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, KafkaError

DISPOSE_SECONDS = 5.0


async def to_the_end(work: Coroutine[Any, Any, object]) -> None:
    """Await what cleans up, whatever it raises. A caller that is cancelled meanwhile hears of it afterwards."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if not task.cancelled():
        task.exception()
    if cancelled:
        raise asyncio.CancelledError


def quieten() -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def is_member(consumer: AIOKafkaConsumer) -> bool:
    """Whether the group still knows this consumer, as far as it has heard."""
    coordinator = consumer._coordinator
    return coordinator is not None and coordinator.generation > 0


async def commit_once(consumer: AIOKafkaConsumer, offsets: Mapping[Any, int]) -> None:
    """One attempt, as the member that this consumer is at this moment. Raises KafkaError.

    Its own `commit` tries for ever, shielded from whoever has no more patience: by then as another member.
    """
    coordinator = consumer._coordinator
    await coordinator.ensure_coordinator_known()
    if not is_member(consumer):
        raise CommitFailedError("not a member of the group any more")
    noted = {partition: OffsetAndMetadata(offset, "") for partition, offset in offsets.items()}
    await coordinator._do_commit_offsets(consumer._subscription.subscription.assignment, noted)


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    """The topic's partitions, asked of the broker; empty where there is no such topic. Raises KafkaError."""
    cluster = await consumer._client.fetch_all_metadata()
    return cluster.partitions_for_topic(topic) or set()


async def knows_controller(admin: AIOKafkaAdminClient) -> bool:
    """Whether requests to change topics have somebody to go to: a cluster that just starts has nobody."""
    if admin._client.cluster.controller is None:
        await admin._client.force_metadata_update()
    return admin._client.cluster.controller is not None


class Sending:
    """The requests that a producer has under way, so that they can be given up."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._send: Callable[..., Awaitable[None]] = producer._sender._send_produce_req
        producer._sender._send_produce_req = self._tracked

    async def _tracked(self, node: int, batches: dict[Any, Any]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._send(node, batches)
        finally:
            self._tasks.discard(task)

    def give_up(self) -> None:
        for task in self._tasks:
            task.cancel()


async def abandon(producer: AIOKafkaProducer, sending: Sending, error: Exception) -> None:
    """End a producer at once: what it holds fails with `error` and is never sent, unless it already was.

    Its own `stop` would wait for what it holds, and an idempotent producer holds that for ever. Not to be cancelled.
    """
    sender = producer._sender
    if sender.sender_task is not None:
        sender.sender_task.cancel()
    sending.give_up()
    _fail_all(producer._message_accumulator, error)
    producer._closed = True
    for ending in (producer.client.close(), sender.close()):
        with suppress(Exception, asyncio.CancelledError):
            await asyncio.wait_for(ending, DISPOSE_SECONDS)


def _fail_all(accumulator: Any, error: Exception) -> None:
    """Each record's own future tells of it. Those of whole batches have nobody who looks at them: nobody need."""
    queued, sent = [*chain.from_iterable(accumulator._batches.values())], accumulator._pending_batches
    # One that is queued again after a failure is taken out of these when it ends, whether or not it is in them.
    sent.update(batch for batch in queued if batch.retry_count)
    batches = {*queued, *sent}
    accumulator.fail_all(error)
    for batch in batches:
        for future in (batch.future, batch._drain_waiter):
            if future.done() and not future.cancelled():
                future.exception()


async def dispose(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer, leaving its group where that can be said; bounded in time. Not to be cancelled."""
    with suppress(Exception, asyncio.CancelledError):
        async with asyncio.timeout(DISPOSE_SECONDS):
            await consumer.stop()
            return
    coordinator, fetcher = consumer._coordinator, consumer._fetcher
    for name in ("_coordination_task", "_heartbeat_task", "_commit_refresh_task", "_reset_committed_task"):
        task = getattr(coordinator, name, None)
        if task is not None:
            task.cancel()
    for ending in (*([fetcher.close()] if fetcher is not None else []), consumer._client.close()):
        with suppress(Exception, asyncio.CancelledError):
            await asyncio.wait_for(ending, DISPOSE_SECONDS)


ABSENCE = (KafkaError, OSError, TimeoutError, RuntimeError)
"""What a call of the library ends with where the broker is away. RuntimeError: the event loop has no other word for
a connection that was closed under the library's hands."""


def is_absence(error: Exception) -> bool:
    """Whether an error says that the broker is away, and not that something of ours is wrong."""
    if isinstance(error, RuntimeError):
        return "handler is closed" in str(error)
    return isinstance(error, ABSENCE)
