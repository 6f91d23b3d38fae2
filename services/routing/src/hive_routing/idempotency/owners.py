"""Which starts of processes still run, on whatever machine: each says so in a table that all of them share.

A process that is stopped for longer than its lease counts as dead. When it goes on it does no harm: what it had
claimed and another one has taken over it can neither send to a provider nor end (`IdempotencyStore`), and what it
had sent nobody has taken over.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import structlog
from sqlalchemy import BigInteger, ColumnElement, Insert, cast, delete, func, select
from sqlalchemy.exc import SQLAlchemyError

from hive_routing.idempotency.tables import owners
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError
from hive_sql import AsyncConnection, Database, insert_into

log = structlog.get_logger(__name__)

BEAT_SECONDS = 5.0
LEASE_MS = 20_000
FORGET_MS = 24 * 3600 * 1000

Known = Callable[[str], bool | None]


class Owners:
    """owner: the name of this start. known: whether an owner runs, where this machine can tell; else None.

    Moments are the database's, so that machines' clocks need not agree.
    """

    def __init__(self, database: Database, owner: str, known: Known, clock: Clock) -> None:
        self._database = database
        self._owner = owner
        self._known = known
        self._clock = clock
        self._steady_ms = 0
        """Since when this process has reached the database at every beat: before, others may not have either."""
        self._missed = False
        self.living = 1
        """How many starts run, this one included, as of its last beat."""

    async def is_alive(self, owner: str) -> bool:
        """Whether it runs: at once where this machine knows, else by what it last said.

        Raises HiveError `unavailable` where the database is away.
        """
        if (known := self._known(owner)) is not None:
            return known
        async with self._database.read() as connection:
            last = select(owners.c.beat_ms, now_ms(connection)).where(owners.c.owner == owner)
            found = (await connection.execute(last)).one_or_none()
        if found is None:
            return False
        beat_ms, at_ms = found
        return bool(at_ms - max(beat_ms, self._steady_ms) <= LEASE_MS)

    async def beat(self) -> None:
        """Say that this start lives. Raises HiveError `unavailable` where the database is away."""
        try:
            async with self._database.transaction() as connection:
                beaten = await connection.execute(_insert_or_renew(connection, self._owner))
                beat_ms = int(beaten.scalar_one())
                alive = owners.c.beat_ms > now_ms(connection) - LEASE_MS
                counted = await connection.execute(select(func.count()).where(alive))
                self.living = max(1, int(counted.scalar_one()))
        except BaseException:
            self._missed = True
            raise
        if self._missed:
            self._missed, self._steady_ms = False, beat_ms

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await self._clock.sleep(BEAT_SECONDS)
            try:
                await self.beat()
            except (HiveError, SQLAlchemyError) as error:
                log.warning("this process cannot say that it lives", owner=self._owner, error=str(error))

    async def leave(self) -> None:
        """It ends: what it still holds is free at once. Never raises for a database that is away."""
        try:
            async with self._database.transaction() as connection:
                await connection.execute(delete(owners).where(owners.c.owner == self._owner))
        except (HiveError, SQLAlchemyError) as error:
            log.warning("this process cannot say that it ends", owner=self._owner, error=str(error))

    async def forget(self, ended: Collection[str]) -> None:
        """Others need not wait for the leases of these. Raises HiveError `unavailable` where the database is away."""
        if ended:
            async with self._database.transaction() as connection:
                await connection.execute(delete(owners).where(owners.c.owner.in_(ended)))

    async def sweep(self) -> int:
        """Forget owners that have been silent for a day; returns how many."""
        async with self._database.transaction() as connection:
            silent = owners.c.beat_ms < now_ms(connection) - FORGET_MS
            gone = await connection.execute(delete(owners).where(silent))
        return int(gone.rowcount)


def now_ms(connection: AsyncConnection) -> ColumnElement[int]:
    """The database's clock, in milliseconds since the epoch."""
    if connection.dialect.name == "postgresql":
        return cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
    return cast((func.julianday("now") - 2440587.5) * 86_400_000, BigInteger)


def _insert_or_renew(connection: AsyncConnection, owner: str) -> Insert:
    row = insert_into(connection, owners).values(owner=owner, beat_ms=now_ms(connection))
    renewed = {"beat_ms": row.excluded.beat_ms}
    return row.on_conflict_do_update(index_elements=["owner"], set_=renewed).returning(owners.c.beat_ms)
