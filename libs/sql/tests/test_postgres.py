"""PostgreSQL: schemas of services, replicas that start together, and a server that goes away in every way."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from hive_runtime.errors import HiveError, Kind
from hive_sql import (
    Database,
    SchemaTooNew,
    Waiting,
    await_schema,
    migrate,
    open_database,
    schema_version,
)

FIRST = """
import sqlalchemy as sa
from alembic import op
revision = "0001"
down_revision = None
def upgrade():
    op.create_table("things", sa.Column("id", sa.Integer, primary_key=True))
"""
SECOND = """
from alembic import op
revision = "0002"
down_revision = "0001"
def upgrade():
    op.execute("INSERT INTO things VALUES (1)")
    op.execute("SELECT pg_sleep(0.2)")
"""
MIGRATE = """
import asyncio, sys
from pathlib import Path
from hive_sql import migrate
print(asyncio.run(migrate(sys.argv[1], Path(sys.argv[2]))))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "0001_first.py").write_text(FIRST)
    (tmp_path / "versions" / "0002_second.py").write_text(SECOND)
    return tmp_path


@pytest.fixture
async def database(postgres_url: str, folder: Path) -> AsyncIterator[Database]:
    async with open_database(postgres_url, folder, busy_seconds=1) as database:
        yield database


async def count(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM things"))).scalar_one())


async def add(database: Database, id: int) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("INSERT INTO things VALUES (:id)"), {"id": id})


async def refused(database: Database) -> HiveError:
    """What a caller is told: that it may come again, in words without the server's own."""
    with pytest.raises(HiveError) as caught:
        await count(database)
    with pytest.raises(HiveError) as writing:
        await add(database, 99)
    for error in (caught.value, writing.value):
        assert (error.kind, error.retry_after) == (Kind.UNAVAILABLE, 1)
        assert "127.0.0.1" not in error.message
    return caught.value


async def test_each_service_has_a_schema_of_its_own(postgres_url: str, folder: Path) -> None:
    mark = "&" if "?" in postgres_url else "?"
    one, other = (f"{postgres_url}{mark}schema={name}" for name in ("billing", "console"))
    async with open_database(one, folder) as ones, open_database(other, folder) as others:
        await add(ones, 7)
        assert (await count(ones), await count(others)) == (2, 1)
        async with ones.read() as connection:
            found = await connection.execute(
                text("SELECT schemaname FROM pg_tables WHERE tablename = 'alembic_version' ORDER BY 1")
            )
            assert found.scalars().all() == ["billing", "console"]
    assert await schema_version(one) == "0002"
    assert await schema_version(postgres_url) is None


async def test_a_schema_with_a_strange_name_is_refused(postgres_url: str, folder: Path) -> None:
    with pytest.raises(ValueError, match="no name of a schema"):
        await migrate(postgres_url + "?schema=a%22;b", folder)


async def test_replicas_that_start_together_migrate_once(postgres_url: str, folder: Path) -> None:
    def start() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", MIGRATE, postgres_url + "?schema=twice", str(folder)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    done = await asyncio.gather(*(asyncio.to_thread(start) for _ in range(3)))
    assert [(each.returncode, each.stdout.strip()) for each in done] == [(0, "0002")] * 3, done
    async with open_database(postgres_url + "?schema=twice", folder) as database:
        assert await count(database) == 1


async def test_who_does_not_migrate_waits_for_who_does(postgres_url: str, folder: Path) -> None:
    waiting = Waiting()
    opened = AsyncExitStack()
    entering = asyncio.ensure_future(
        opened.enter_async_context(open_database(postgres_url, folder, migrate=False, waiting=waiting))
    )
    async with asyncio.timeout(20):
        while waiting() is None:
            await asyncio.sleep(0.01)
    assert "schema None" in str(waiting()) and "'0002'" in str(waiting())
    assert await schema_version(postgres_url) is None
    await migrate(postgres_url, folder)
    assert await count(await entering) == 1
    assert waiting() is None
    await opened.aclose()


async def test_who_waits_in_vain_is_told_so_in_the_end(postgres_url: str, folder: Path) -> None:
    with pytest.raises(HiveError, match="schema None, and '0002' is needed") as caught:
        await await_schema(postgres_url, folder, patience=0.1)
    assert caught.value.kind is Kind.UNAVAILABLE
    await migrate(postgres_url, folder)
    (folder / "versions" / "0002_second.py").unlink()
    with pytest.raises(SchemaTooNew):
        await await_schema(postgres_url, folder, patience=0.1)


async def test_a_start_waits_for_the_server(server: Any, postgres_url: str, folder: Path) -> None:
    server.kill()
    with pytest.raises(HiveError, match=r"Gave up after 0.1 s: .*(refused|Connect)"):
        await migrate(postgres_url, folder, patience=0.1)
    waiting = Waiting()
    migrating = asyncio.ensure_future(migrate(postgres_url, folder, waiting=waiting))
    async with asyncio.timeout(20):
        while waiting() is None:
            await asyncio.sleep(0.01)
    await asyncio.to_thread(server.start)
    assert await migrating == "0002"


async def test_a_server_that_was_away_is_used_again_at_once(server: Any, database: Database) -> None:
    assert await count(database) == 1
    await asyncio.to_thread(server.kill)
    for _ in range(3):
        await refused(database)
    await asyncio.to_thread(server.start)
    await add(database, 2)
    assert await count(database) == 2


async def test_a_restart_that_nobody_saw_is_no_error(server: Any, database: Database) -> None:
    await asyncio.gather(*(count(database) for _ in range(5)), *(add(database, n) for n in range(10, 15)))
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    await asyncio.gather(*(add(database, n) for n in range(20, 25)))
    assert await count(database) == 11


async def test_a_connection_lost_in_mid_transaction_commits_nothing(server: Any, database: Database) -> None:
    with pytest.raises(HiveError) as caught:
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO things VALUES (2)"))
            await asyncio.to_thread(server.kill)
            await connection.execute(text("INSERT INTO things VALUES (3)"))
    assert (caught.value.kind, caught.value.retry_after) == (Kind.UNAVAILABLE, 1)
    await asyncio.to_thread(server.start)
    assert await count(database) == 1


async def test_a_connection_lost_before_the_commit_commits_nothing(server: Any, database: Database) -> None:
    with pytest.raises(HiveError) as caught:
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO things VALUES (2)"))
            await asyncio.to_thread(server.kill)
    assert caught.value.kind is Kind.UNAVAILABLE
    await asyncio.to_thread(server.start)
    assert await count(database) == 1


async def test_a_stopped_server_is_waited_for_a_bounded_time(server: Any, database: Database) -> None:
    await count(database)
    server.pause()
    async with asyncio.timeout(30):
        await refused(database)
    server.resume()
    await add(database, 2)
    assert await count(database) == 2


async def test_too_many_clients_are_told_to_come_back(postgres_url: str, folder: Path) -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(60):
        first = await stack.enter_async_context(open_database(postgres_url, folder))
        with pytest.raises(HiveError) as caught:
            while True:
                crowd = Database(postgres_url)
                stack.push_async_callback(crowd.close)
                for _ in range(5):
                    await stack.enter_async_context(crowd.read())
        assert (caught.value.kind, caught.value.retry_after) == (Kind.UNAVAILABLE, 1)
        del first


async def test_a_pool_has_a_bound(database: Database) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(database.read())
        with pytest.raises(HiveError) as caught:
            await count(database)
    assert (caught.value.kind, caught.value.retry_after) == (Kind.UNAVAILABLE, 1)
    assert await count(database) == 1


async def test_a_statement_has_a_bound(database: Database) -> None:
    with pytest.raises(HiveError) as caught:
        async with database.transaction() as connection:
            await connection.execute(text("SET LOCAL statement_timeout = 50"))
            await connection.execute(text("SELECT pg_sleep(60)"))
    assert caught.value.kind is Kind.UNAVAILABLE
    assert await count(database) == 1


async def test_a_transaction_that_lies_still_is_ended_by_the_server(database: Database) -> None:
    with pytest.raises(HiveError) as caught:
        async with database.transaction() as connection:
            await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 50"))
            await connection.execute(text("INSERT INTO things VALUES (2)"))
            async with asyncio.timeout(10):
                while await open_transactions(database):
                    await asyncio.sleep(0.01)
            await connection.execute(text("INSERT INTO things VALUES (3)"))
    assert caught.value.kind is Kind.UNAVAILABLE
    assert await count(database) == 1


async def open_transactions(database: Database) -> int:
    async with database.read() as connection:
        idle = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
        return int((await connection.execute(text(idle))).scalar_one())
