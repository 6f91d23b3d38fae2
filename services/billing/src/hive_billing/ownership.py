"""Who keeps the books: one process of all that share the tables. The others stand by, and one of them takes over.

A row says who it is and until when, by the server's clock; its owner renews it. Every take-over raises `epoch`, and
each transaction of an owner holds the row with its epoch: so one that slept through its time cannot write over its
successor, and a successor begins behind the last write of the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import structlog
from sqlalchemy import text
from sqlalchemy.engine import make_url

from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_sql import AsyncConnection, Database

log = structlog.get_logger(__name__)

RENEWALS = 5
"""How often an owner renews before its time is over."""

_BOOKS = "books"
_NOW = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
_FREE = text(
    f"SELECT NOT EXISTS (SELECT 1 FROM ownership WHERE name = '{_BOOKS}' AND until_ms > {_NOW}) AS free"
)
_TAKE = text(
    f"INSERT INTO ownership (name, epoch, owner, until_ms) VALUES ('{_BOOKS}', 1, :owner, {_NOW} + :span_ms)"
    " ON CONFLICT (name) DO UPDATE SET epoch = ownership.epoch + 1, owner = excluded.owner,"
    f" until_ms = {_NOW} + :span_ms WHERE ownership.until_ms <= {_NOW} RETURNING epoch"
)
_RENEW = text(f"UPDATE ownership SET until_ms = {_NOW} + :span_ms WHERE name = '{_BOOKS}' AND epoch = :epoch")
_RELEASE = text(f"UPDATE ownership SET until_ms = 0 WHERE name = '{_BOOKS}' AND epoch = :epoch")
_HOLD = text(f"SELECT 1 FROM ownership WHERE name = '{_BOOKS}' AND epoch = :epoch FOR SHARE")


class Ownership(Protocol):
    async def try_to_take(self) -> bool:
        """Become the owner, unless somebody else is. HiveError `unavailable` where the database is away."""
        ...

    async def keep(self) -> None:
        """Renew until it is lost; then return."""
        ...

    async def release(self) -> None:
        """Let somebody else have the books at once. Raises nothing."""
        ...

    async def hold(self, connection: AsyncConnection) -> None:
        """Nobody else takes the books before the connection's transaction has ended.

        HiveError `unavailable` where somebody has.
        """
        ...

    def check(self) -> None:
        """HiveError `unavailable` where this process may not speak for the books now. Costs nothing."""
        ...


def ownership_of(url: str, database: Database, owner: str, seconds: float, clock: Clock) -> Ownership:
    """seconds: how long after its last sign of life an owner is replaced."""
    if make_url(url).get_backend_name() == "sqlite":
        return Sole()
    return Shared(database, owner, seconds, clock)


class Sole:
    """The tables are this process's alone: its data folder is locked."""

    async def try_to_take(self) -> bool:
        return True

    async def keep(self) -> None:
        await asyncio.Event().wait()

    async def release(self) -> None:
        return

    async def hold(self, connection: AsyncConnection) -> None:
        return

    def check(self) -> None:
        return


class Shared:
    """Several processes on one server."""

    def __init__(self, database: Database, owner: str, seconds: float, clock: Clock) -> None:
        self._database = database
        self._owner = owner
        self._seconds = seconds
        self._renew_seconds = seconds / RENEWALS
        self._clock = clock
        self._epoch: int | None = None
        self._until = 0.0

    async def try_to_take(self) -> bool:
        asked = self._clock.monotonic()
        async with self._database.transaction() as connection:
            # Looked at first: to try is to wait for the owner's transactions.
            if not (await connection.execute(_FREE)).scalar_one():
                return False
            given = {"owner": self._owner, "span_ms": self._span_ms}
            self._epoch = (await connection.execute(_TAKE, given)).scalar()
        if self._epoch is None:
            return False
        self._until = asked + self._seconds
        log.info("keeps the books", owner=self._owner, epoch=self._epoch)
        return True

    async def keep(self) -> None:
        while self._epoch is not None:
            await self._clock.sleep(self._renew_seconds)
            try:
                await self._renew()
            except HiveError as error:
                # It goes on where nobody else took the books meanwhile: then nobody else has written.
                log.warning("the books were not renewed", error=repr(error.__cause__ or error))

    async def release(self) -> None:
        epoch, self._epoch = self._epoch, None
        self._until = 0.0
        try:
            if epoch is not None:
                async with self._database.transaction() as connection:
                    await connection.execute(_RELEASE, {"epoch": epoch})
        except HiveError as error:
            log.warning("the books are free when their time is over", error=repr(error.__cause__ or error))

    async def hold(self, connection: AsyncConnection) -> None:
        epoch = self._epoch
        if epoch is not None and (await connection.execute(_HOLD, {"epoch": epoch})).first() is None:
            self._lose(epoch)
        if self._epoch is None:
            raise _not_mine()

    def check(self) -> None:
        if self._epoch is None or self._clock.monotonic() >= self._until:
            raise _not_mine()

    async def _renew(self) -> None:
        asked, epoch = self._clock.monotonic(), self._epoch
        async with self._database.transaction() as connection:
            renewed = await connection.execute(_RENEW, {"epoch": epoch, "span_ms": self._span_ms})
        if renewed.rowcount:
            self._until = asked + self._seconds
        elif epoch is not None:
            self._lose(epoch)

    def _lose(self, epoch: int) -> None:
        if self._epoch == epoch:
            log.warning("another process keeps the books now", owner=self._owner, epoch=epoch)
            self._epoch = None

    @property
    def _span_ms(self) -> int:
        return round(self._seconds * 1000)


class OwnedDatabase(Database):
    """What its transactions write is written by the owner of the books, or not at all."""

    def __init__(self, url: str, ownership: Ownership) -> None:
        super().__init__(url)
        self._ownership = ownership

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        async with super().transaction() as connection:
            await self._ownership.hold(connection)
            yield connection


def _not_mine() -> HiveError:
    message = "Another process keeps the books now. Try again in a moment."
    return HiveError(Kind.UNAVAILABLE, message, retry_after=1)
