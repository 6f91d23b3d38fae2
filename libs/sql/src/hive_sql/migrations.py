"""Brings a database to the schema that the code expects; one folder of Alembic revisions per service.

The folder holds `versions/*.py` and nothing else: no `alembic.ini`, no `env.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from hive_runtime.errors import HiveError, Kind
from hive_sql.engine import BUSY_SECONDS, reader_engine, writer_engine
from hive_sql.postgres import is_postgres, postgres_engine, prepare_migration, refusal, schema_of

T = TypeVar("T")

PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.25

# `alembic.op` is one for the whole process: services that start together take turns.
_turn = Lock()


class SchemaTooNew(Exception):
    """The database was used by a newer release than this one."""


class Waiting:
    """What a start waits for, as a check of the process's health: None once it goes on."""

    def __init__(self) -> None:
        self.words: str | None = None

    def __call__(self) -> str | None:
        return self.words


async def migrate(
    url: str, folder: Path, *, patience: float = PATIENCE_SECONDS, waiting: Waiting | None = None
) -> str | None:
    """Apply the revisions that are missing, all or none; returns the one that the database has now.

    Processes that start together take turns. A server that is away is waited for, `patience` seconds at most: then
    HiveError `unavailable`. Raises SchemaTooNew, and whatever a revision raises.
    """
    return await _patiently(
        lambda: asyncio.to_thread(_migrate_alone, url, folder), patience, waiting or Waiting()
    )


async def await_schema(
    url: str, folder: Path, *, patience: float = PATIENCE_SECONDS, waiting: Waiting | None = None
) -> str | None:
    """Wait until somebody else has brought the database to the newest revision, and return it.

    Changes nothing. Raises HiveError `unavailable` after `patience` seconds, and SchemaTooNew.
    """
    waiting, head = waiting or Waiting(), ScriptDirectory(folder).get_current_head()

    async def look() -> str | None:
        found = await _on_connection(reader_engine(url), lambda it: _known(it, ScriptDirectory(folder)))
        if found != head:
            raise _NotYet(f"the database has schema {found!r}, and {head!r} is needed: run `migrate`")
        return found

    return await _patiently(look, patience, waiting)


async def schema_version(url: str) -> str | None:
    """The revision that the database has; None where it was never migrated."""
    return await _on_connection(reader_engine(url), _revision)


class _NotYet(ConnectionError):
    """Somebody else is still to migrate."""


async def _patiently(work: Callable[[], Awaitable[T]], patience: float, waiting: Waiting) -> T:
    """Until it works; what says that the database is away, or not there yet, is tried again."""
    loop = asyncio.get_running_loop()
    until = loop.time() + patience
    while True:
        try:
            done = await work()
        except (SQLAlchemyError, HiveError, OSError, TimeoutError) as error:
            if refusal(error) is None:
                raise
            waiting.words = f"waits for the database: {_words(error)}"
            if loop.time() > until:
                message = f"Gave up after {patience:g} s: {waiting.words}."
                raise HiveError(Kind.UNAVAILABLE, message, retry_after=1) from error
            await asyncio.sleep(LOOK_SECONDS)
        else:
            waiting.words = None
            return done


def _words(error: BaseException) -> str:
    """Of the first cause: what the server said, or the system."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) if isinstance(error, _NotYet) else f"{type(error).__name__}: {error}"


def _migrate_alone(url: str, folder: Path) -> str | None:
    # Revisions block, and read files: they get a thread and an event loop of their own.
    with _turn:
        return asyncio.run(_migrate(url, ScriptDirectory(folder)))


async def _migrate(url: str, scripts: ScriptDirectory) -> str | None:
    if not is_postgres(url):
        return await _on_connection(writer_engine(url), lambda it: _upgrade(it, scripts))

    def upgrade(connection: Connection) -> str | None:
        prepare_migration(connection, schema_of(url))
        return _upgrade(connection, scripts)

    # A revision may take long, and it holds nobody up who need not wait for it.
    engine = postgres_engine(url, connections=1, busy_seconds=BUSY_SECONDS, statement_seconds=0)
    return await _on_connection(engine, upgrade)


async def _on_connection(engine: AsyncEngine, work: Callable[[Connection], T]) -> T:
    """In one transaction, which is committed."""
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, scripts: ScriptDirectory) -> str | None:
    _known(connection, scripts)

    def steps(revision: Any, _context: MigrationContext) -> Iterable[Any]:
        return scripts._upgrade_revs("head", revision)

    with EnvironmentContext(Config(), scripts, fn=steps) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()
    return _revision(connection)


def _known(connection: Connection, scripts: ScriptDirectory) -> str | None:
    """The database's revision. Raises SchemaTooNew where this release has never heard of it."""
    found = _revision(connection)
    if found is None:
        return None
    try:
        scripts.get_revision(found)
    except CommandError:
        name = connection.engine.url.render_as_string(hide_password=True)
        raise SchemaTooNew(
            f"The database {name} has schema {found!r}; the newest that this release knows is "
            f"{scripts.get_current_head()!r}. Start a release at least as new as the last one that used this "
            "database, or restore a backup."
        ) from None
    return found


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
