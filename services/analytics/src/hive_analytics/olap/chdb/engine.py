"""chDB on a folder, as the store's process uses it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from hive_analytics.families import FAMILIES
from hive_analytics.olap.chdb.arrivals import Arrivals
from hive_analytics.olap.chdb.reading import insertion
from hive_analytics.olap.columns import Decoded
from hive_analytics.olap.warehouse import DATABASE, MIB, Warehouse, limits_of, settings_of
from hive_runtime.errors import HiveError, Kind

ARRIVALS = "arrivals"
MANY_ROWS = 10_000
"""So many rows of a family wait for no question."""


class Folder:
    """The folder is this process's alone."""

    def __init__(self, folder: Path, memory_mb: int, threads: int) -> None:
        self._folder = folder
        self._settings = settings_of(memory_mb, threads)
        arrivals = folder / ARRIVALS
        arrivals.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._arrivals = {family: Arrivals(family, arrivals / family) for family in FAMILIES}
        self._turn = threading.Lock()
        """Of what adds rows to the files, or takes them from there."""
        # Bounds of the whole engine, not of one statement. The caches' defaults are made for large machines.
        self._engine = {
            "max_server_memory_usage": str(memory_mb * MIB),
            "mark_cache_size": str(memory_mb * MIB // 16),
            # It compares what was counted with what the kernel says, twenty times a second where nobody says other.
            "memory_worker_period_ms": "1000",
        }

    def connect(self) -> Client:
        client = clickhouse_connect.get_client(
            interface="chdb", path=str(self._folder), settings=self._settings, chdb_options=self._engine
        )
        client.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic")
        client.database = DATABASE
        return client

    def insert(self, client: Client, batch: Decoded) -> None:
        arrivals = self._arrivals[batch.family]
        with self._turn:
            # Before the new rows are there: where it fails, they come again.
            if arrivals.rows >= MANY_ROWS:
                self._move(client, batch.family)
            try:
                arrivals.add(batch.rows)
            except OSError as error:
                raise HiveError(
                    Kind.UNAVAILABLE, f"the analytical store cannot write: {error.strerror}"
                ) from error

    def settle(self, client: Client) -> None:
        with self._turn:
            for family, arrivals in self._arrivals.items():
                if arrivals.rows:
                    self._move(client, family)

    def _move(self, client: Client, family: str) -> None:
        """Into the table. Stopped after that, it is done once more, which changes nothing."""
        arrivals = self._arrivals[family]
        client.command(insertion(family, str(arrivals.path)))
        arrivals.clear()

    def select(
        self, client: Client, sql: str, parameters: Mapping[str, Any], seconds: float
    ) -> Sequence[Sequence[Any]]:
        return client.query(sql, parameters=dict(parameters), settings=limits_of(seconds)).result_rows


def chdb_warehouse(folder: Path, memory_mb: int, threads: int) -> Warehouse:
    """Opened; what an earlier start left behind is to be caught up."""
    return Warehouse(Folder(folder, memory_mb, threads), "")
