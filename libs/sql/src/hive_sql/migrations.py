"""Brings a database to the schema that the code expects; one folder of Alembic revisions per service.

The folder holds `versions/*.py` and nothing else: no `alembic.ini`, no `env.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from hive_sql.engine import reader_engine, writer_engine

# `alembic.op` is one for the whole process: services that start together take turns.
_turn = Lock()


class SchemaTooNew(Exception):
    """The database was used by a newer release than this one."""


async def migrate(url: str, folder: Path) -> str | None:
    """Apply the revisions that are missing, all or none; returns the one that the database has now.

    Raises SchemaTooNew, and whatever a revision raises.
    """
    return await asyncio.to_thread(_migrate_alone, url, folder)


async def schema_version(url: str) -> str | None:
    """The revision that the database has; None where it was never migrated."""
    engine = reader_engine(url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_revision)
    finally:
        await engine.dispose()


def _migrate_alone(url: str, folder: Path) -> str | None:
    # Revisions block, and read files: they get a thread and an event loop of their own.
    with _turn:
        return asyncio.run(_migrate(url, ScriptDirectory(folder)))


async def _migrate(url: str, scripts: ScriptDirectory) -> str | None:
    engine = writer_engine(url)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(_upgrade, scripts)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, scripts: ScriptDirectory) -> str | None:
    _refuse_newer(connection, scripts)

    def steps(revision: Any, _context: MigrationContext) -> Iterable[Any]:
        return scripts._upgrade_revs("head", revision)

    with EnvironmentContext(Config(), scripts, fn=steps) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()
    return _revision(connection)


def _refuse_newer(connection: Connection, scripts: ScriptDirectory) -> None:
    found = _revision(connection)
    if found is None:
        return
    try:
        scripts.get_revision(found)
    except CommandError:
        name = connection.engine.url.render_as_string(hide_password=True)
        raise SchemaTooNew(
            f"The database {name} has schema {found!r}; the newest that this release knows is "
            f"{scripts.get_current_head()!r}. Start a release at least as new as the last one that used this "
            "database, or restore a backup."
        ) from None


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
