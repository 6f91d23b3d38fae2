"""pytest fixtures for real servers: each is found or started when the first test asks, and stopped at the end.

Where tests run in several workers, each worker has servers of its own: tests kill and pause them.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

from hive_testing.servers.clickhouse import (
    ClickHouse,
    clickhouse_at,
    clickhouse_in_container,
    start_clickhouse,
)
from hive_testing.servers.containers import engine_answers
from hive_testing.servers.errors import ServerUnavailable
from hive_testing.servers.jars import cache_folder
from hive_testing.servers.kafka import Kafka, kafka_at, kafka_in_container, start_kafka
from hive_testing.servers.postgres import Postgres, postgres_at, postgres_in_container, start_postgres
from hive_testing.servers.redis import Redis, redis_at, redis_in_container, start_redis
from hive_testing.servers.server import Server
from hive_testing.servers.settings import ServerSettings

SettingsKey = pytest.StashKey[ServerSettings]()
UsedKey = pytest.StashKey[dict[str, str]]()
RunningKey = pytest.StashKey[list[Server]]()
AnyServer = TypeVar("AnyServer", bound=Server)
docker_answers = cache(engine_answers)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Before the tests' own conftest clears the environment; a worker is given what was read there."""
    given = getattr(config, "workerinput", {}).get("servers")
    config.stash[SettingsKey] = ServerSettings(**given) if given else ServerSettings.read()
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


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["servers"] = asdict(node.config.stash[SettingsKey])


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["servers"] = session.config.stash[UsedKey]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker that has died says nothing."""
    for name, how in getattr(node, "workeroutput", {}).get("servers", {}).items():
        node.config.stash[UsedKey][f"{name} of {node.gateway.id}"] = how


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name, how in config.stash[UsedKey].items():
        terminalreporter.write_line(f"{name}: {how}")


@dataclass(frozen=True)
class Source(Generic[AnyServer]):
    """Where a kind of server comes from, in this order."""

    at: Callable[[str], AnyServer]
    in_container: Callable[[], AnyServer]
    start: Callable[[Path], AnyServer]


@contextmanager
def provided(request: pytest.FixtureRequest, name: str, source: Source[AnyServer]) -> Iterator[AnyServer]:
    """A server for all tests, stopped on leaving. Where none can be had: a skip, or a failure where it is required."""
    settings, told = request.config.stash[SettingsKey], request.config.stash[UsedKey]
    running = request.config.stash[RunningKey]
    folder = Path(tempfile.mkdtemp(prefix=f"hive-{name}-"))
    try:
        with in_turn():
            server, remark = found(source, settings.addresses.get(name), folder)
        told[name] = f"{server.how}, {server.url}{remark}"
        running.append(server)
        try:
            yield server
        finally:
            running.remove(server)
            server.control.close()
    except ServerUnavailable as error:
        told[name] = f"MISSING: {error}"
        (pytest.fail if settings.require else pytest.skip)(f"NO {name.upper()}: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def in_turn() -> Iterator[None]:
    """One worker at a time: the first start of a server may make what the next one finds (a user, jars, an archive)."""
    mark = cache_folder() / "servers.lock"
    mark.parent.mkdir(parents=True, exist_ok=True)
    with mark.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def found(source: Source[AnyServer], address: str | None, folder: Path) -> tuple[AnyServer, str]:
    """The server, and what is to be said about where it comes from. Raises ServerUnavailable, ServerFailed."""
    if address:
        return source.at(address), ""
    if not docker_answers():
        return source.start(folder), ""
    try:
        return source.in_container(), ""
    except ServerUnavailable as error:  # an engine without a network has no images
        return source.start(folder), f" ({error})"


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[Kafka]:
    """A Kafka broker."""
    with provided(request, "kafka", Source(kafka_at, kafka_in_container, start_kafka)) as server:
        yield server


@pytest.fixture(scope="session")
def redis(request: pytest.FixtureRequest) -> Iterator[Redis]:
    """A Redis."""
    with provided(request, "redis", Source(redis_at, redis_in_container, start_redis)) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """A PostgreSQL server, shared by all tests: `postgres_database` is a test's own."""
    with provided(request, "postgres", Source(postgres_at, postgres_in_container, start_postgres)) as server:
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
    with provided(
        request, "clickhouse", Source(clickhouse_at, clickhouse_in_container, start_clickhouse)
    ) as server:
        yield server


@pytest.fixture
def clickhouse_database(clickhouse: ClickHouse) -> Iterator[str]:
    """The URL of an empty database, which is dropped after the test."""
    url = clickhouse.create_database()
    yield url
    clickhouse.restore()
    clickhouse.drop_database(url)
