"""pytest fixtures for real servers: each is found or started when the first test asks, and stopped at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from hive_testing.servers.clickhouse import ClickHouse, clickhouse_at, start_clickhouse
from hive_testing.servers.errors import ServerFailed, ServerUnavailable
from hive_testing.servers.kafka import Kafka, kafka_at, start_kafka
from hive_testing.servers.postgres import Postgres, postgres_at, start_postgres
from hive_testing.servers.redis import Redis, redis_at, start_redis
from hive_testing.servers.server import Server
from hive_testing.servers.settings import ServerSettings

SettingsKey = pytest.StashKey[ServerSettings]()
UsedKey = pytest.StashKey[dict[str, str]]()
RunningKey = pytest.StashKey[list[Server]]()
AnyServer = TypeVar("AnyServer", bound=Server)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Before the tests' own conftest clears the environment."""
    config.stash[SettingsKey] = ServerSettings.read()
    config.stash[UsedKey] = {}
    config.stash[RunningKey] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """A server that a test has killed or paused is there again for the next one."""
    try:
        yield
    finally:
        for server in item.config.stash[RunningKey]:
            server.restore()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name, how in config.stash[UsedKey].items():
        terminalreporter.write_line(f"{name}: {how}")


@contextmanager
def provided(
    request: pytest.FixtureRequest,
    name: str,
    at: Callable[[str], AnyServer],
    start: Callable[[Path], AnyServer],
) -> Iterator[AnyServer]:
    """The server at the address in the environment, or in a container, or started here; stopped on leaving."""
    settings, used = request.config.stash[SettingsKey], request.config.stash[UsedKey]
    if address := settings.addresses.get(name):
        server = at(address)
        used[name] = f"{server.how}, {server.url}"
        yield server
        return
    folder = Path(tempfile.mkdtemp(prefix=f"hive-{name}-"))
    try:
        server = start(folder)
    except (ServerUnavailable, ServerFailed) as error:
        shutil.rmtree(folder, ignore_errors=True)
        used[name] = f"MISSING: {error}"
        if settings.require or isinstance(error, ServerFailed):
            pytest.fail(f"NO {name.upper()}: {error}")
        pytest.skip(f"NO {name.upper()}: {error}")
    used[name] = f"{server.how}, {server.url}"
    running = request.config.stash[RunningKey]
    running.append(server)
    try:
        yield server
    finally:
        running.remove(server)
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[Kafka]:
    """A Kafka broker."""
    with provided(request, "kafka", kafka_at, start_kafka) as server:
        yield server


@pytest.fixture(scope="session")
def redis(request: pytest.FixtureRequest) -> Iterator[Redis]:
    """A Redis."""
    with provided(request, "redis", redis_at, start_redis) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """A PostgreSQL server, shared by all tests: `postgres_database` is a test's own."""
    with provided(request, "postgres", postgres_at, start_postgres) as server:
        yield server


@pytest.fixture
def postgres_database(postgres: Postgres) -> Iterator[str]:
    """The URL of an empty database, which is dropped after the test."""
    url = postgres.create_database()
    yield url
    postgres.restore()
    postgres.drop_databases([url])


@pytest.fixture(scope="session")
def clickhouse(request: pytest.FixtureRequest) -> Iterator[ClickHouse]:
    """A ClickHouse, or a front over chDB in its place; shared by all tests: `clickhouse_database` is a test's own."""
    with provided(request, "clickhouse", clickhouse_at, start_clickhouse) as server:
        yield server


@pytest.fixture
def clickhouse_database(clickhouse: ClickHouse) -> Iterator[str]:
    """The URL of an empty database, which is dropped after the test."""
    url = clickhouse.create_database()
    yield url
    clickhouse.restore()
    clickhouse.drop_database(url)
