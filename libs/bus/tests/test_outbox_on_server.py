"""Relays of several processes over one table on a server: one at a time, in order, whoever dies or sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.message import Message
from sqlalchemy import MetaData, func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from hive_bus.conformance.suite import eventually
from hive_bus.memory import MemoryBus
from hive_bus.outbox import Outbox, OutboxRelay, outbox_table
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_testing.servers.postgres import Postgres
from modelhive.probe.v1.probe_pb2 import ProbeEvent

METADATA = MetaData()
TABLE = outbox_table(METADATA)


class SharedBus(MemoryBus):
    """What several processes publish. While `gate` is shut nothing gets through, and `waiting` counts who would."""

    def __init__(self) -> None:
        super().__init__(SystemClock(), lambda name, error: None)
        self.taken: list[int] = []
        self.waiting = 0
        self.refusing = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def publish(self, message: Message) -> None:
        assert isinstance(message, ProbeEvent)
        self.waiting += 1
        await self.gate.wait()
        self.waiting -= 1
        if self.refusing:
            self.refusing -= 1
            raise HiveError(Kind.UNAVAILABLE, "the bus is away")
        self.taken.append(message.sequence)


class Rig:
    def __init__(self, url: str) -> None:
        self.url = url
        self.bus = SharedBus()
        self.outbox = Outbox(TABLE, [ProbeEvent], SystemClock())
        self.engines = [create_async_engine(url)]

    def relay(self) -> OutboxRelay:
        """Of a process of its own."""
        engine = create_async_engine(self.url)
        self.engines.append(engine)
        return OutboxRelay(self.outbox, engine, self.bus, SystemClock(), lambda name, error: None)

    @property
    def engine(self) -> AsyncEngine:
        return self.engines[0]

    async def add(self, numbers: range) -> None:
        for number in numbers:
            async with self.engine.begin() as connection:
                await self.outbox.add(connection, ProbeEvent(lane="l", key="k", sequence=number))

    async def rows(self) -> int:
        async with self.engine.connect() as connection:
            return (await connection.execute(select(func.count()).select_from(TABLE))).scalar_one()

    async def execute(self, statement: str) -> Any:
        async with self.engine.begin() as connection:
            return (await connection.execute(text(statement))).scalar()


@pytest.fixture
async def rig(postgres: Postgres) -> AsyncIterator[Rig]:
    url = postgres.create_database()
    rig = Rig(url)
    async with rig.engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    yield rig
    await rig.bus.close()
    for engine in rig.engines:
        await engine.dispose()
    postgres.drop_databases([url])


async def test_two_relays_tell_everything_once_and_in_order(rig: Rig) -> None:
    relays = rig.relay(), rig.relay()
    for start in range(0, 300, 60):
        await rig.add(range(start, start + 60))
        await asyncio.gather(*(relay.flush() for relay in relays))
    assert rig.bus.taken == [*range(300)]
    assert await rig.rows() == 0


async def test_a_relay_waits_for_the_one_that_is_publishing(rig: Rig) -> None:
    first, second = rig.relay(), rig.relay()
    await rig.add(range(5))
    rig.bus.gate.clear()
    flushing = asyncio.ensure_future(first.flush())
    await eventually(lambda: rig.bus.waiting == 1, "the first one publishes")
    other = asyncio.ensure_future(second.flush())
    async with asyncio.timeout(10):
        while not await rig.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'"):
            await asyncio.sleep(0.01)
    assert rig.bus.waiting == 1
    rig.bus.gate.set()
    await asyncio.gather(flushing, other)
    assert rig.bus.taken == [*range(5)]


async def test_what_the_bus_refuses_is_told_by_the_next(rig: Rig) -> None:
    await rig.add(range(5))
    rig.bus.refusing = 1
    with pytest.raises(HiveError):
        await rig.relay().flush()
    await rig.relay().flush()
    assert rig.bus.taken == [*range(5)]
    assert await rig.rows() == 0


async def test_a_relay_that_lost_its_lock_tells_no_further_row(rig: Rig) -> None:
    """As one that was stopped: the server ends its transaction, and another one publishes what is left."""
    sleeper, other = rig.relay(), rig.relay()
    await rig.add(range(5))
    rig.bus.gate.clear()
    flushing = asyncio.ensure_future(sleeper.flush())
    await eventually(lambda: rig.bus.waiting == 1, "the sleeper publishes")
    ended = await rig.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
    assert ended
    rig.bus.gate.set()
    with pytest.raises(SQLAlchemyError):
        await flushing
    assert rig.bus.taken == [0]
    await other.flush()
    assert rig.bus.taken == [*range(5)]
    assert await rig.rows() == 0
