"""Where the writer's transactions run: each is one function over one connection, wherever that lives.

SQLite gets a thread of its own, and a transaction is one call of it: what costs there is the way to the thread and
back for each statement. What speaks to a server does so on the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.pool import StaticPool

from hive_sql import Database, driver_of, translated

T = TypeVar("T")

BUSY_SECONDS = 5.0


class Room(Protocol):
    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work`; what it writes is forgotten."""
        ...

    async def write(self, work: Callable[[Connection], T], *, durable: bool) -> T:
        """Run `work` and commit what it wrote, all or nothing.

        durable: it outlives a loss of power; else it may only outlive the process.
        """
        ...

    async def close(self) -> None: ...


def room_of(url: str, database: Database) -> Room:
    """The room for this database; `database` is it too."""
    return ThreadRoom(url) if make_url(url).get_backend_name() == "sqlite" else PooledRoom(database)


class PooledRoom:
    """Everything is durable: the holders of leases go on where the server lost its power."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, work: Callable[[Connection], T]) -> T:
        async with self._database.read() as connection:
            return await connection.run_sync(work)

    async def write(self, work: Callable[[Connection], T], *, durable: bool) -> T:
        async with self._database.transaction() as connection:
            return await connection.run_sync(work)

    async def close(self) -> None:
        """The pool is its owner's."""


class ThreadRoom:
    """One connection in one thread, for one caller at a time."""

    def __init__(self, url: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="billing-writer")
        self._engine = create_engine(
            make_url(url).set(drivername="sqlite"),
            poolclass=StaticPool,
            # The driver begins no transaction by itself, and the thread is always the same one but at the end.
            connect_args={"isolation_level": None, "timeout": BUSY_SECONDS, "check_same_thread": False},
            hide_parameters=True,
        )
        event.listen(self._engine, "connect", _prepare)
        self._connection: Connection | None = None
        self._synchronous = ""

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._run(self._read, work)

    async def write(self, work: Callable[[Connection], T], *, durable: bool) -> T:
        return await self._run(self._write, work, "FULL" if durable else "NORMAL")

    async def close(self) -> None:
        await self._run(self._dispose)
        self._thread.shutdown()

    def _dispose(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()

    def _read(self, work: Callable[[Connection], T]) -> T:
        with self._at_hand() as connection, translated():
            return work(connection)

    def _write(self, work: Callable[[Connection], T], synchronous: str) -> T:
        with self._at_hand() as connection, translated():
            driver = driver_of(connection)
            assert driver is not None
            if synchronous != self._synchronous:
                driver.execute(f"PRAGMA synchronous={synchronous}")
                self._synchronous = synchronous
            # The turn is taken at once: who reads first and writes later cannot wait for it.
            driver.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                driver.commit()
            finally:
                driver.rollback()
            return result

    @contextmanager
    def _at_hand(self) -> Iterator[Connection]:
        """The one connection: to take it out of the pool each time costs more than what it is taken for."""
        if self._connection is None:
            self._connection = self._engine.connect()
        try:
            yield self._connection
        finally:
            # What SQLAlchemy began by itself. The driver's own transaction has ended.
            self._connection.rollback()

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)


def _prepare(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
