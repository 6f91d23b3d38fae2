"""Databases with routing's table, on SQLite and on Postgres, and processes that can die."""

from __future__ import annotations

from collections.abc import AsyncIterator
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


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Every test that asks for it runs on both."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/routing.db"
    database: str = request.getfixturevalue("postgres_database")
    return database


@pytest.fixture
async def cluster(url: str) -> AsyncIterator[Cluster]:
    async with open_database(url, MIGRATIONS, busy_seconds=60) as database:
        yield Cluster(database)
        async with database.transaction() as connection:
            await connection.execute(delete(records))
