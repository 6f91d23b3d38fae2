"""Brings a database to the schema that the code expects; one folder of Alembic revisions per service.

The folder holds `versions/*.py` and nothing else: no `alembic.ini`, no `env.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from hive_runtime.errors import HiveError, Kind
from hive_sql.asynchronous import AsyncEngine
from hive_sql.engine import BUSY_SECONDS, reader_engine, writer_engine
from hive_sql.postgres import is_postgres, postgres_engine, prepare_migration, refusal, schema_of
from hive_sql.revisions import Revisions, revision_of, revisions_in

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
    revisions = await asyncio.to_thread(revisions_in, folder)

    async def bring_up_to_date() -> str | None:
        if revisions.newest is not None and await schema_version(url) == revisions.newest:
            return revisions.newest
        return await asyncio.to_thread(_migrate_alone, url, folder, revisions)

    return await _patiently(bring_up_to_date, patience, waiting or Waiting())


async def await_schema(
    url: str, folder: Path, *, patience: float = PATIENCE_SECONDS, waiting: Waiting | None = None
) -> str | None:
    """Wait until somebody else has brought the database to the newest revision, and return it.

    Changes nothing. Raises HiveError `unavailable` after `patience` seconds, and SchemaTooNew.
    """
    revisions = await asyncio.to_thread(revisions_in, folder)

    async def look() -> str | None:
        found = await _on_connection(reader_engine(url), partial(_known, revisions=revisions))
        if found != revisions.newest:
            needed = f"{revisions.newest!r} is needed: run `migrate`"
            raise _NotYet(f"the database has schema {found!r}, and {needed}")
        return found

    return await _patiently(look, patience, waiting or Waiting())


async def schema_version(url: str) -> str | None:
    """The revision that the database has; None where it was never migrated."""
    return await _on_connection(reader_engine(url), revision_of)


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


def _migrate_alone(url: str, folder: Path, revisions: Revisions) -> str | None:
    # Revisions block, and read files: they get a thread and an event loop of their own.
    with _turn:
        return asyncio.run(_migrate(url, folder, revisions))


async def _migrate(url: str, folder: Path, revisions: Revisions) -> str | None:
    from hive_sql.upgrading import upgrade  # brings Alembic, which hardly a start needs

    def bring_up_to_date(connection: Connection) -> str | None:
        if is_postgres(url):
            prepare_migration(connection, schema_of(url))
        _known(connection, revisions)
        upgrade(connection, folder)
        return revision_of(connection)

    if not is_postgres(url):
        return await _on_connection(writer_engine(url), bring_up_to_date)
    # A revision may take long, and it holds nobody up who need not wait for it.
    engine = postgres_engine(url, connections=1, busy_seconds=BUSY_SECONDS, statement_seconds=0)
    return await _on_connection(engine, bring_up_to_date)


async def _on_connection(engine: AsyncEngine, work: Callable[[Connection], T]) -> T:
    """In one transaction, which is committed."""
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()


def _known(connection: Connection, revisions: Revisions) -> str | None:
    """The database's revision. Raises SchemaTooNew where this release has never heard of it."""
    found = revision_of(connection)
    if found is None or found in revisions.known:
        return found
    name = connection.engine.url.render_as_string(hide_password=True)
    raise SchemaTooNew(
        f"The database {name} has schema {found!r}; the newest that this release knows is "
        f"{revisions.newest!r}. Start a release at least as new as the last one that used this "
        "database, or restore a backup."
    )
