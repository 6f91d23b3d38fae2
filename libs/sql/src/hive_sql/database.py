"""One service's database: transactions that write, and reads of one moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from hive_runtime.errors import HiveError, Kind
from hive_sql.engine import BUSY_SECONDS, reader_engine, writer_engine
from hive_sql.migrations import migrate


class Database:
    """Raises HiveError `unavailable` where its turn does not come within `busy_seconds`.

    durable: a commit outlives a loss of power. Without, it outlives the death of the process.
    """

    def __init__(self, url: str, *, durable: bool = False, busy_seconds: float = BUSY_SECONDS) -> None:
        self._writer = writer_engine(url, durable=durable, busy_seconds=busy_seconds)
        self._reader = reader_engine(url, busy_seconds=busy_seconds)

    @property
    def writer(self) -> AsyncEngine:
        """The engine whose transactions may write, for what brings its own, as an outbox relay does."""
        return self._writer

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """What is done with the connection is committed together at the end; where it raises, nothing is."""
        async with _begun(self._writer) as connection:
            yield connection
            await connection.commit()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one moment; what is written with it is forgotten."""
        async with _begun(self._reader) as connection:
            yield connection

    async def close(self) -> None:
        """Close all connections; may be called twice."""
        await self._writer.dispose()
        await self._reader.dispose()


@asynccontextmanager
async def open_database(
    url: str, migrations: Path, *, durable: bool = False, busy_seconds: float = BUSY_SECONDS
) -> AsyncIterator[Database]:
    """The database behind `url` with its schema up to date; closed at the end.

    Raises SchemaTooNew where a newer release has used it already.
    """
    await asyncio.to_thread(_make_folder, url)
    await migrate(url, migrations)
    database = Database(url, durable=durable, busy_seconds=busy_seconds)
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def _begun(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with AsyncExitStack() as stack:
        with _busy_is_unavailable():
            connection = await stack.enter_async_context(engine.connect())
            await connection.begin()
        yield connection


@contextmanager
def _busy_is_unavailable() -> Iterator[None]:
    try:
        yield
    except (NoFreeConnection, OperationalError) as error:
        if isinstance(error, OperationalError) and "database is locked" not in str(error):
            raise
        message = "The database is busy. Try again in a moment."
        raise HiveError(Kind.UNAVAILABLE, message, retry_after=1) from error


def _make_folder(url: str) -> None:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
