"""What stands in for ClickHouse speaks with its official client, and comes back with its data."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from uuid import uuid4

import clickhouse_connect
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from hive_testing.servers.clickhouse import ClickHouse

TABLE = "CREATE TABLE t (id UInt32, name String, at DateTime64(3, 'UTC')) ENGINE = MergeTree ORDER BY id"
MOMENT = datetime(2026, 11, 25, 7, 30, 0, 250_000, UTC)
ROWS = [(1, "one 'quoted' FORMAT Native", MOMENT), (2, "zwei – ü", MOMENT)]


def connect(url: str, **options: Any) -> Client:
    return clickhouse_connect.get_client(dsn=url, **options)


@pytest.fixture
def client(clickhouse_database: str) -> Iterator[Client]:
    with connect(clickhouse_database) as found:
        found.command(TABLE)
        yield found


def test_the_client_finds_a_server(clickhouse: ClickHouse) -> None:
    host, _, port = clickhouse.address.partition(":")
    with clickhouse_connect.get_client(host=host, port=int(port), username="default", password="") as client:
        assert client.ping()
        assert client.server_version
        assert client.command("SELECT currentDatabase()") == "default"
        assert client.command("SELECT timezone()") in ("UTC", "Etc/UTC")


@pytest.mark.parametrize("compress", [True, False, "lz4", "zstd", "gzip"])
def test_rows_go_in_and_come_out(clickhouse_database: str, compress: bool | str) -> None:
    with connect(clickhouse_database, compress=compress) as client:
        client.command(TABLE)
        summary = client.insert("t", ROWS, column_names=["id", "name", "at"])
        assert summary.written_rows == 2
        found = client.query("SELECT * FROM t ORDER BY id")
        assert found.column_names == ("id", "name", "at")
        assert [tuple(row) for row in found.result_rows] == [
            (id, name, at.replace(tzinfo=None) if found.result_rows[0][2].tzinfo is None else at)
            for id, name, at in ROWS
        ]


def test_arrow_goes_in_and_comes_out(client: Client) -> None:
    table = pa.table({"id": pa.array([7, 8], pa.uint32()), "name": ["a", "b"]})
    client.insert_arrow("t", table)
    assert client.query_arrow("SELECT id, name FROM t ORDER BY id").to_pylist() == table.to_pylist()


def test_statements_of_other_kinds(client: Client) -> None:
    client.command("INSERT INTO t (id, name) VALUES (1, 'x'), (2, 'y')")
    client.command("INSERT INTO t (id, name) SELECT id + 10, name FROM t")
    client.raw_insert("t", ["id", "name"], "30\ttabbed\n", fmt="TabSeparated")
    client.raw_insert(
        "t", ["id", "name"], b'{"id": 40, "name": "json"}\n', settings={"max_threads": 1}, fmt="JSONEachRow"
    )
    assert client.command("SELECT count() FROM t") == 6
    assert client.command("EXISTS TABLE t") == 1
    assert client.query("SELECT id FROM t LIMIT 0").column_names == ("id",)
    assert client.raw_query("SELECT max(id) AS most FROM t", fmt="JSONEachRow") == b'{"most":40}\n'
    streamed = client.raw_query("SELECT number FROM numbers(100000)", fmt="TabSeparated")
    assert len(streamed.splitlines()) == 100_000


def test_long_parameters_go_as_a_form(client: Client) -> None:
    ids = [*range(20_000)]
    assert client.query("SELECT length({ids:Array(UInt32)})", parameters={"ids": ids}).result_rows == [
        (20_000,)
    ]


def test_parameters_settings_and_databases_are_the_callers(client: Client, clickhouse_database: str) -> None:
    client.insert("t", ROWS, column_names=["id", "name", "at"])
    asked = "SELECT id FROM t WHERE name = {name:String} AND id IN {ids:Array(UInt32)}"
    assert client.query(asked, parameters={"name": ROWS[0][1], "ids": [1, 2]}).result_rows == [(1,)]
    assert client.query("SELECT getSetting('max_threads')", settings={"max_threads": 3}).result_rows == [(3,)]
    assert client.query("SELECT getSetting('max_threads')").result_rows != [(3,)]
    assert client.command("SELECT currentDatabase()") == urlsplit(clickhouse_database).path.strip("/")


def test_a_session_keeps_its_temporary_tables(clickhouse_database: str) -> None:
    with connect(clickhouse_database, session_id=str(uuid4())) as client:
        client.command("CREATE TEMPORARY TABLE mine (n UInt8)")
        client.command("INSERT INTO mine VALUES (1)")
        assert client.command("SELECT count() FROM mine", settings={"max_threads": 7}) == 1
        client.command("SET max_threads = 5")
        assert client.command("SELECT getSetting('max_threads')", settings={"max_threads": 7}) == 7
        assert client.command("SELECT getSetting('max_threads')") == 5
    with connect(clickhouse_database) as other, pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        other.command("SELECT count() FROM mine")


def test_errors_have_their_codes(client: Client, clickhouse: ClickHouse) -> None:
    for statement, code, name in [
        ("SELECT * FROM nothing", 60, "UNKNOWN_TABLE"),
        ("SELEC 1", 62, "SYNTAX_ERROR"),
        (
            "SELECT sleepEachRow(0.2) FROM numbers(100) SETTINGS max_execution_time = 0.3, max_block_size = 1",
            159,
            "TIMEOUT_EXCEEDED",
        ),
        (
            "SELECT * FROM numbers(1e8) ORDER BY number DESC SETTINGS max_memory_usage = 1000000",
            241,
            "MEMORY_LIMIT_EXCEEDED",
        ),
    ]:
        with pytest.raises(DatabaseError) as caught:
            client.query(statement)
        assert (caught.value.code, caught.value.name) == (code, name)
    with pytest.raises(DatabaseError) as caught:
        client.insert("t", [("no number",)], column_names=["id"], column_type_names=["String"])
    assert caught.value.code
    with pytest.raises(HTTPError, match="404") as refused:
        clickhouse.execute("SELECT * FROM nothing")
    assert refused.value.headers["X-ClickHouse-Exception-Code"] == "60"
    refused.value.close()


def test_a_killed_server_comes_back_with_what_it_acknowledged(client: Client, clickhouse: ClickHouse) -> None:
    client.insert("t", ROWS, column_names=["id", "name", "at"])
    clickhouse.kill()
    with pytest.raises(URLError, match="refused"):
        clickhouse.execute("SELECT 1")
    clickhouse.start()
    assert client.command("SELECT count() FROM t") == 2
    clickhouse.stop()
    clickhouse.start()
    assert client.command("SELECT count() FROM t") == 2
