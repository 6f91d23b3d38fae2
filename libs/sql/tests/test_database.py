"""The promises of `Database`, on a real file and on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from hive_runtime.errors import HiveError, Kind
from hive_sql import Database, writer_engine

on_a_file = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url, busy_seconds=5)
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE parents (id INTEGER PRIMARY KEY)"))
        await connection.execute(text("CREATE TABLE children (parent INTEGER REFERENCES parents (id))"))
    yield database
    await database.close()


async def count(database: Database, table: str = "parents") -> int:
    async with database.read() as connection:
        return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


async def test_a_transaction_is_committed_at_its_end(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("INSERT INTO parents VALUES (1)"))
        assert await count(database) == 0
    assert await count(database) == 1


async def test_nothing_is_left_of_a_transaction_that_raises_not_even_a_table(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO parents VALUES (1)"))
            await connection.execute(text("CREATE TABLE more (id INTEGER)"))
            raise ZeroDivisionError
    assert await count(database) == 0
    with pytest.raises((OperationalError, ProgrammingError), match=r"no such table|does not exist"):
        await count(database, "more")


async def test_what_a_reader_writes_is_forgotten(database: Database) -> None:
    async with database.read() as connection:
        await connection.execute(text("INSERT INTO parents VALUES (1)"))
    assert await count(database) == 0


async def test_a_reader_sees_one_moment(database: Database) -> None:
    async with database.read() as reader:
        first = (await reader.execute(text("SELECT count(*) FROM parents"))).scalar_one()
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO parents VALUES (1)"))
        second = (await reader.execute(text("SELECT count(*) FROM parents"))).scalar_one()
    assert (first, second) == (0, 0)
    assert await count(database) == 1


async def test_foreign_keys_bind(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO children VALUES (7)"))


@on_a_file
async def test_concurrent_transactions_that_read_before_they_write_lose_nothing(database: Database) -> None:
    async def add_one() -> None:
        async with database.transaction() as connection:
            highest = (await connection.execute(text("SELECT max(id) FROM parents"))).scalar() or 0
            await connection.execute(text("INSERT INTO parents VALUES (:id)"), {"id": highest + 1})

    await asyncio.gather(*(add_one() for _ in range(40)))
    assert await count(database) == 40


async def test_two_processes_can_write_beside_each_other(database: Database, url: str) -> None:
    other = Database(url)

    async def add(target: Database, number: int) -> None:
        async with target.transaction() as connection:
            await connection.execute(text("INSERT INTO parents VALUES (:id)"), {"id": number})

    await asyncio.gather(*(add((database, other)[n % 2], n) for n in range(20)))
    await other.close()
    assert await count(database) == 20


@on_a_file
async def test_a_writer_that_waits_too_long_is_told_to_come_back(database: Database, url: str) -> None:
    hasty = Database(url, busy_seconds=0.05)
    async with database.transaction():
        with pytest.raises(HiveError) as other_connection:
            async with hasty.transaction():
                pass
    async with hasty.transaction():
        with pytest.raises(HiveError) as same_pool:
            async with hasty.transaction():
                pass
    await hasty.close()
    assert other_connection.value.kind is same_pool.value.kind is Kind.UNAVAILABLE


async def test_a_cancelled_transaction_leaves_nothing_and_frees_its_turn(database: Database) -> None:
    inside = asyncio.Event()

    async def hang() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO parents VALUES (1)"))
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.get_running_loop().create_task(hang())
    await asyncio.wait_for(inside.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with database.transaction() as connection:
        await connection.execute(text("INSERT INTO parents VALUES (2)"))
    assert await count(database) == 1


@on_a_file
@pytest.mark.parametrize(("durable", "level"), [(False, 1), (True, 2)])
async def test_durability_is_a_choice(url: str, durable: bool, level: int) -> None:
    engine = writer_engine(url, durable=durable)
    async with engine.begin() as connection:
        assert (await connection.execute(text("PRAGMA journal_mode"))).scalar_one() == "wal"
        assert (await connection.execute(text("PRAGMA synchronous"))).scalar_one() == level
    await engine.dispose()


async def test_an_error_does_not_show_the_row(database: Database) -> None:
    with pytest.raises(IntegrityError) as error:
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO children VALUES (:parent)"), {"parent": 1234567})
    assert "1234567" not in str(error.value)


async def test_closing_twice_is_fine(url: str) -> None:
    database = Database(url)
    async with database.read() as connection:
        await connection.execute(text("SELECT 1"))
    await database.close()
    await database.close()
