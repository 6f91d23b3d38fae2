"""Who lives, where processes are on many machines and see no folder of each other; on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hive_routing.idempotency import Fresh, IdempotencyStore, Owners, Record, Replay, Scope, hash_body
from hive_routing.idempotency.owners import LEASE_MS, now_ms
from hive_routing.idempotency.tables import owners
from hive_routing.journal import Journal, Living
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_sql import Database

SCOPE = Scope("key-1", "POST", "/v1/chat/completions", "their-secret-key")
BODY = hash_body(b"{}")


class Way:
    """To the database, for a process's signs of life."""

    is_cut = False

    def __init__(self, database: Database) -> None:
        self.read = database.read
        self._database = database

    def transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        if self.is_cut:
            raise HiveError(Kind.UNAVAILABLE, "The database is away.", retry_after=1)
        return self._database.transaction()


class Process:
    """A process of routing on a machine of its own: nobody sees its folder but itself."""

    def __init__(self, database: Database, owner: str, folder: Path | None = None) -> None:
        self.owner = owner
        self.database = database
        known = Living(folder).known if folder is not None else lambda _: None
        self.way = Way(database)
        self.owners = Owners(cast(Database, self.way), owner, known, SystemClock())
        self.records = IdempotencyStore(database, self.owners.is_alive, SystemClock())

    async def claim(self) -> Fresh | Replay:
        return await self.records.claim(SCOPE, BODY, self.owner, round(SystemClock().now() * 1000))

    async def fresh(self) -> Record:
        claim = await self.claim()
        assert isinstance(claim, Fresh)
        return claim.record

    async def refusal(self) -> HiveError:
        with pytest.raises(HiveError) as raised:
            await self.claim()
        return raised.value

    async def sleeps(self, milliseconds: int) -> None:
        """As if it had not said anything for so long."""
        async with self.database.transaction() as connection:
            mine = owners.c.owner == self.owner
            await connection.execute(
                update(owners).where(mine).values(beat_ms=owners.c.beat_ms - milliseconds)
            )


@pytest.fixture
async def start(cluster: Any) -> AsyncIterator[Any]:
    async def start(owner: str, folder: Path | None = None) -> Process:
        process = Process(cluster.database, owner, folder)
        await process.owners.beat()
        return process

    yield start
    async with cluster.database.transaction() as connection:
        await connection.execute(owners.delete())


async def test_one_that_says_that_it_lives_keeps_its_requests(start: Any) -> None:
    one, other = await start("a"), await start("b")
    await one.fresh()
    await one.sleeps(LEASE_MS - 3000)
    assert (await other.refusal()).kind is Kind.CONFLICT
    await one.sleeps(6000)
    await one.owners.beat()
    assert (await other.refusal()).kind is Kind.CONFLICT


async def test_one_that_is_silent_for_too_long_loses_what_it_has_not_sent(start: Any) -> None:
    one, other = await start("a"), await start("b")
    record = await one.fresh()
    await one.sleeps(LEASE_MS + 1)
    taken = await other.fresh()

    # It was not dead: it wakes up.
    await one.owners.beat()
    with pytest.raises(HiveError) as raised:
        await one.records.dispatched(record)
    assert (raised.value.kind, raised.value.retry_after) == (Kind.CONFLICT, 1)
    await one.records.done(record, 200, (), (b"old",), False)
    await one.records.release(record)
    await other.records.dispatched(taken)
    await other.records.done(taken, 200, (), (b"new",), False)
    for each in (one, other):
        claim = await each.claim()
        assert isinstance(claim, Replay) and claim.body == b"new"


async def test_what_a_silent_one_had_sent_is_run_by_nobody_else_and_ended_by_itself(start: Any) -> None:
    one, other = await start("a"), await start("b")
    record = await one.fresh()
    await one.records.dispatched(record)
    await one.sleeps(LEASE_MS + 1)
    error = await other.refusal()
    assert (error.kind, error.reason) == (Kind.INTERNAL, "outcome_unknown")
    await one.records.done(record, 200, (), (b"late",), False)
    claim = await other.claim()
    assert isinstance(claim, Replay) and claim.body == b"late"


async def test_waking_up_and_taking_over_at_once_has_one_winner(start: Any) -> None:
    for _ in range(20):
        one, other = await start("a"), await start("b")
        record = await one.fresh()
        await one.sleeps(LEASE_MS + 1)
        both: list[Coroutine[Any, Any, Any]] = [one.records.dispatched(record), other.claim()]
        sent, taken = await asyncio.gather(*both, return_exceptions=True)
        assert (sent is None) != isinstance(taken, Fresh), (sent, taken)
        await other.records.release(taken.record if isinstance(taken, Fresh) else record)


async def test_one_that_ended_in_order_leaves_its_requests_at_once(start: Any) -> None:
    one, other = await start("a"), await start("b")
    await one.fresh()
    await one.owners.leave()
    await other.fresh()


async def test_one_that_died_on_this_machine_is_dead_at_once(start: Any, tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, "a")
    dead = await start("a")
    await dead.fresh()
    alive = await start("b", tmp_path)
    await dead.sleeps(LEASE_MS + 1)
    assert (await alive.refusal()).kind is Kind.CONFLICT, "its folder is held"
    journal.shut()
    await dead.owners.beat()
    record = await alive.fresh()
    await alive.records.release(record)
    # A start that finds the folder tells the others, who cannot see it.
    await dead.fresh()
    again, elsewhere = await start("c", tmp_path), await start("d")
    assert (await elsewhere.refusal()).kind is Kind.CONFLICT
    await again.owners.forget(Living(tmp_path).ended)
    await elsewhere.fresh()


async def test_silence_while_nobody_reached_the_database_is_no_death(start: Any) -> None:
    one, other = await start("a"), await start("b")
    await one.fresh()
    await one.sleeps(LEASE_MS + 1)
    other.way.is_cut = True
    with pytest.raises(HiveError):
        await other.owners.beat()
    other.way.is_cut = False
    await other.owners.beat()
    assert (await other.refusal()).kind is Kind.CONFLICT


async def test_those_that_are_silent_for_a_day_are_forgotten(start: Any) -> None:
    one, other = await start("a"), await start("b")
    await one.sleeps(24 * 3600 * 1000 + 1)
    assert await other.owners.sweep() == 1
    assert await other.owners.sweep() == 0
    assert await other.owners.is_alive("b") and not await other.owners.is_alive("a")


async def test_the_databases_clock_tells_milliseconds(cluster: Any) -> None:
    async with cluster.database.read() as connection:
        told = (await connection.execute(select(now_ms(connection)))).scalar_one()
        count = (await connection.execute(select(func.count()).select_from(owners))).scalar_one()
    assert isinstance(told, int) and count == 0
    assert abs(told - SystemClock().now() * 1000) < 60_000


async def test_the_living_are_counted(database: Database) -> None:
    one, two = Process(database, "one"), Process(database, "two")
    assert one.owners.living == 1
    await two.owners.beat()
    await one.owners.beat()
    assert one.owners.living == 2
    await two.sleeps(LEASE_MS + 1)
    await one.owners.beat()
    assert one.owners.living == 1
    await two.owners.beat()
    await two.owners.leave()
    await one.owners.beat()
    assert one.owners.living == 1
