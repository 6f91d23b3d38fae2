"""A ClickHouse server, over HTTP: the same statements as everywhere, rows in its own format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.httpclient import HttpClient
from urllib3 import Timeout

from hive_analytics.olap.columns import Decoded
from hive_analytics.olap.tables import ROWS
from hive_analytics.olap.warehouse import DATABASE, Warehouse, limits_of, settings_of

CONNECT_SECONDS = 5
WORK_SECONDS = 120
"""How long an insert or a rollup may take."""
MARGIN_SECONDS = 5.0
"""How long after its own bound the server is given up."""


class Server:
    """url: `http(s)://user:password@host:port/database`; without a database it is `hive`. Others may write too."""

    def __init__(self, url: str, memory_mb: int, threads: int) -> None:
        parts = urlsplit(url)
        self._database = unquote(parts.path).strip("/") or DATABASE
        self._dsn = parts._replace(path="").geturl()
        # An answer is whole, or an error.
        self._settings = settings_of(memory_mb, threads) | {"wait_end_of_query": 1}

    def connect(self) -> Client:
        client = clickhouse_connect.get_client(
            dsn=self._dsn,
            database="default",
            settings=self._settings,
            connect_timeout=CONNECT_SECONDS,
            send_receive_timeout=WORK_SECONDS,
            autogenerate_session_id=False,
        )
        named = {"name": self._database}
        if not client.query("SELECT 1 FROM system.databases WHERE name = {name:String}", named).result_rows:
            client.command("CREATE DATABASE IF NOT EXISTS {name:Identifier}", named)
        client.database = self._database
        return client

    def insert(self, client: Client, batch: Decoded) -> None:
        columns, types = batch.columns(), ROWS[batch.family]
        # A batch that comes twice changes nothing: rows are told apart by their ids, and read with FINAL.
        client.insert(
            batch.family,
            [*columns.values()],
            column_names=[*columns],
            column_type_names=[types[name] for name in columns],
            column_oriented=True,
        )

    def settle(self, client: Client) -> None:
        """Nothing waits here: an insert returns when the server has it."""

    def select(
        self, client: Client, sql: str, parameters: Mapping[str, Any], seconds: float
    ) -> Sequence[Sequence[Any]]:
        # A server that does not answer is given up; one that does ends it by itself.
        assert isinstance(client, HttpClient)
        patience, client.timeout = client.timeout, Timeout(CONNECT_SECONDS, seconds + MARGIN_SECONDS)
        try:
            return client.query(sql, parameters=dict(parameters), settings=limits_of(seconds)).result_rows
        finally:
            client.timeout = patience


def server_warehouse(url: str, memory_mb: int, threads: int, writer: str) -> Warehouse:
    """Opened; what nobody rolled up is to be caught up. writer: this process's name among those that write."""
    name = "".join(each for each in writer if each.isalnum() or each in "-_.")
    return Warehouse(Server(url, memory_mb, threads), f"{name}/{uuid4().hex}")
