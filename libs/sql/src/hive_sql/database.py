"""One service's database: transactions that write, and reads of one moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

from hive_runtime.errors import HiveError, Kind
from hive_sql.asynchronous import AsyncConnection, AsyncEngine
from hive_sql.engine import BUSY_SECONDS, reader_engine, writer_engine
from hive_sql.migrations import PATIENCE_SECONDS, Waiting, await_schema
from hive_sql.migrations import migrate as bring_up_to_date
from hive_sql.postgres import is_postgres, refusal


class Database:
    """Raises HiveError `unavailable` where its turn does not come within `busy_seconds`, and where the server is away.

    durable: a commit outlives a loss of power. Without, it outlives the death of the process.
    """

    def __init__(self, url: str, *, durable: bool = False, busy_seconds: float = BUSY_SECONDS) -> None:
        self._writer = writer_engine(url, durable=durable, busy_seconds=busy_seconds)
        self._reader = reader_engine(url, busy_seconds=busy_seconds)
        # The way to a server has a bound of its own: a stopped one takes connections, and says nothing.
        self._turn = busy_seconds + 1 if is_postgres(url) else None

    @property
    def writer(self) -> AsyncEngine:
        """The engine whose transactions may write, for what brings its own, as an outbox relay does."""
        return self._writer

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """What is done with the connection is committed together at the end; where it raises, nothing is.

        HiveError `unavailable` where the server goes away meanwhile. At the very end that leaves open whether it
        was committed: ask again, by something that can be done twice.
        """
        async with self._begun(self._writer) as connection:
            yield connection
            await connection.commit()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one moment; what is written with it is forgotten."""
        async with self._begun(self._reader) as connection:
            yield connection

    async def close(self) -> None:
        """Close all connections; may be called twice."""
        await self._writer.dispose()
        await self._reader.dispose()

    @asynccontextmanager
    async def _begun(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        async with AsyncExitStack() as stack:
            with _busy_is_unavailable():
                async with asyncio.timeout(self._turn) if self._turn else nullcontext():
                    connection = await stack.enter_async_context(engine.connect())
                    await connection.begin()
            yield connection


@asynccontextmanager
async def open_database(
    url: str,
    migrations: Path,
    *,
    durable: bool = False,
    busy_seconds: float = BUSY_SECONDS,
    migrate: bool = True,
    patience: float = PATIENCE_SECONDS,
    waiting: Waiting | None = None,
) -> AsyncIterator[Database]:
    """The database behind `url` with its schema up to date; closed at the end.

    migrate: False waits until somebody else has migrated it, and changes nothing. A server that is away is waited
    for too, both at most `patience` seconds: then HiveError `unavailable`. waiting: says meanwhile what for.
    Raises SchemaTooNew where a newer release has used it already.
    """
    await asyncio.to_thread(_make_folder, url)
    await (bring_up_to_date if migrate else await_schema)(url, migrations, patience=patience, waiting=waiting)
    database = Database(url, durable=durable, busy_seconds=busy_seconds)
    try:
        yield database
    finally:
        await database.close()


@contextmanager
def _busy_is_unavailable() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        busy = isinstance(error, OperationalError) and "database is locked" in str(error)
        if busy or isinstance(error, NoFreeConnection):
            message = "The database is busy. Try again in a moment."
            raise HiveError(Kind.UNAVAILABLE, message, retry_after=1) from error
        if (away := refusal(error)) is None:
            raise
        raise away from error


def _make_folder(url: str) -> None:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
