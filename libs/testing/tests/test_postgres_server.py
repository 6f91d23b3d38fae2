"""The PostgreSQL of the tests: it answers, and comes back with its data."""

from __future__ import annotations

import pytest

from hive_testing.servers.errors import ServerFailed
from hive_testing.servers.postgres import Postgres


def test_a_killed_server_comes_back_with_its_data(postgres: Postgres, postgres_database: str) -> None:
    postgres.execute("CREATE TABLE kept AS SELECT 7 AS number", url=postgres_database)
    postgres.kill()
    with pytest.raises(ServerFailed, match="refused"):
        postgres.execute("SELECT 1")
    postgres.start()
    assert postgres.execute("SELECT number FROM kept", url=postgres_database) == "7\n"


def test_a_stopped_and_a_paused_server_go_on(postgres: Postgres) -> None:
    postgres.stop()
    postgres.start()
    postgres.pause()
    postgres.resume()
    assert postgres.execute("SELECT 1") == "1\n"


def test_a_database_can_be_copied(postgres: Postgres, postgres_database: str) -> None:
    postgres.execute("CREATE TABLE kept AS SELECT 7 AS number", url=postgres_database)
    copy = postgres.create_database(postgres_database)
    assert postgres.execute("SELECT number FROM kept", url=copy) == "7\n"
    postgres.drop_databases([copy])


def test_databases_are_apart_and_go(postgres: Postgres, postgres_database: str) -> None:
    other = postgres.create_database()
    postgres.execute("CREATE TABLE here (number int)", url=other)
    with pytest.raises(ServerFailed, match="does not exist"):
        postgres.execute("SELECT * FROM here", url=postgres_database)
    postgres.drop_databases([other])
    with pytest.raises(ServerFailed, match="does not exist"):
        postgres.execute("SELECT 1", url=other)
