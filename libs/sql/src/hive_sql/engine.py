"""Engines for a database URL, set up so that each kind of database keeps the same promises.

The promises: what runs in one transaction is atomic, tables and indexes included; foreign keys bind;
a reader sees one moment and stops no writer; writers wait for each other, at most `busy_seconds`: in SQLite for
their turn, in PostgreSQL where they change the same rows.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event

from hive_sql.asynchronous import AsyncEngine, create_async_engine
from hive_sql.postgres import is_postgres, postgres_engine

BUSY_SECONDS = 5.0
CONNECTIONS = 5


def writer_engine(url: str, *, durable: bool = False, busy_seconds: float = BUSY_SECONDS) -> AsyncEngine:
    """An engine whose transactions may write; it connects at its first use.

    durable: a commit outlives a loss of power. Without, it outlives the death of the process.
    busy_seconds: how long to wait for another writer, and for a free connection.
    """
    if is_postgres(url):
        return postgres_engine(url, connections=CONNECTIONS, busy_seconds=busy_seconds)
    # There can be one writer only: the others wait for its connection, in order, and do not poll a lock.
    # A transaction that reads first and writes later cannot wait for its turn, so it takes it at once.
    return _sqlite(url, 1, busy_seconds, "FULL" if durable else "NORMAL", "BEGIN IMMEDIATE")


def reader_engine(url: str, *, busy_seconds: float = BUSY_SECONDS) -> AsyncEngine:
    """An engine whose transactions only read."""
    if is_postgres(url):
        return postgres_engine(
            url, connections=CONNECTIONS, busy_seconds=busy_seconds, isolation="REPEATABLE READ"
        )
    return _sqlite(url, CONNECTIONS, busy_seconds, "NORMAL", "BEGIN")


def _sqlite(url: str, connections: int, busy_seconds: float, synchronous: str, begin: str) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=busy_seconds,
        # By itself the driver begins no transaction for DDL and SELECT; isolation_level=None leaves it to us.
        connect_args={"isolation_level": None, "timeout": busy_seconds},
        hide_parameters=True,  # errors are logged, and rows hold what logs must not
    )

    def prepare(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", f"synchronous={synchronous}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine.sync_engine, "connect", prepare)
    event.listen(engine.sync_engine, "begin", start)
    return engine
