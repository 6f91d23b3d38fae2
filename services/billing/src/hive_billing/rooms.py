"""Where the writer's transactions run: each is one function over one connection, wherever that lives.

SQLite gets a thread of its own, and a transaction is one call of it: what costs there is the way to the thread and
back for each statement. What speaks to a server does so on the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from threading import Thread
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
        self._thread = _Thread("billing-writer")
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
        return await self._thread.run(lambda: self._read(work))

    async def write(self, work: Callable[[Connection], T], *, durable: bool) -> T:
        return await self._thread.run(lambda: self._write(work, "FULL" if durable else "NORMAL"))

    async def close(self) -> None:
        await self._thread.run(self._dispose)
        self._thread.close()

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


class _Thread:
    """One thread that does the loop's work in order, from the first of it until it is closed.

    An executor does that too, with two futures, their locks and a semaphore for each call: more than most of what is
    done here costs itself.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: Thread | None = None
        self._closed = False
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def run(self, work: Callable[[], T]) -> Awaitable[T]:
        """What the work returns or raises. It is done even where nobody waits for it any more.

        RuntimeError where the thread was closed: nobody would do it.
        """
        if self._closed:
            raise RuntimeError(f"{self._name} is closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def do() -> None:
            try:
                outcome = partial(answer.set_result, work())
            except BaseException as error:
                outcome = partial(answer.set_exception, error)
            try:
                loop.call_soon_threadsafe(_unless_done, answer, outcome)
            except RuntimeError:
                return  # the loop is closed: nobody waits

        if self._thread is None:
            # A process that ends without closing it ends as if it was killed: its transaction never was.
            self._thread = Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        self._work.put(do)
        return answer

    def close(self) -> None:
        """Returns when all of the work is done."""
        self._closed = True
        self._work.put(None)
        if self._thread is not None:
            self._thread.join()

    def _serve(self) -> None:
        while (do := self._work.get()) is not None:
            do()


def _unless_done(answer: asyncio.Future[Any], outcome: Callable[[], None]) -> None:
    if not answer.done():  # whoever waited may have been cancelled
        outcome()


def _prepare(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
