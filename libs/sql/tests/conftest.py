"""Databases of a test's own, in a file and on a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hive_testing.servers.postgres import Postgres


@pytest.fixture
def server(postgres: Postgres) -> Iterator[Postgres]:
    """It is up at the end, whatever the test did to it."""
    yield postgres
    if postgres.how == "started here":
        postgres.restore()


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """An empty database."""
    url = postgres.create_database()
    yield url
    if postgres.how == "started here":
        postgres.restore()
    postgres.drop_databases([url])


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Every test that asks for it runs on both."""
    if request.param == "sqlite":
        (tmp_path / "data").mkdir()
        return f"sqlite+aiosqlite:///{tmp_path / 'data' / 'test.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found
