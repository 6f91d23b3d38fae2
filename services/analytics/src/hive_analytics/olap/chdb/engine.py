"""chDB on a folder, as the store's process uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from hive_analytics.olap.chdb.arrow import table as arrow_table
from hive_analytics.olap.warehouse import DATABASE, MIB, Columns, Warehouse, limits_of, settings_of


class Folder:
    """The folder is this process's alone."""

    def __init__(self, folder: Path, memory_mb: int, threads: int) -> None:
        self._folder = folder
        self._settings = settings_of(memory_mb, threads)
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

    def insert(self, client: Client, table: str, columns: Columns) -> None:
        client.insert_arrow(table, arrow_table(table, columns))

    def select(
        self, client: Client, sql: str, parameters: Mapping[str, Any], seconds: float
    ) -> Sequence[Sequence[Any]]:
        return client.query(sql, parameters=dict(parameters), settings=limits_of(seconds)).result_rows


def chdb_warehouse(folder: Path, memory_mb: int, threads: int) -> Warehouse:
    """Opened; what an earlier start left behind is to be caught up."""
    return Warehouse(Folder(folder, memory_mb, threads), "")
