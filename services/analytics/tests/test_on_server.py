"""The store on a server: away, stopped, back again; its database, its marks, and what it does not need."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hive_analytics.olap import warehouse
from hive_analytics.olap.server import server_warehouse
from hive_host import CannotStart
from hive_runtime.errors import HiveError, Kind
from hive_testing.servers.clickhouse import ClickHouse
from modelhive.events.v1.ledger_pb2 import LedgerPosted

DAY = 86_400_000
NOON = 1_790_000_000_000 // DAY * DAY + DAY // 2
WHOLE = {"start": NOON - DAY // 2, "end": NOON + DAY // 2}
"""A whole day: nothing of it is read from the rows."""

WITHOUT_ENGINE = """
import sys
for name in ("chdb", "pyarrow", "pandas", "numpy"):
    sys.modules[name] = None
from hive_analytics.olap.server import server_warehouse
from modelhive.events.v1.ledger_pb2 import LedgerPosted
store = server_warehouse(sys.argv[1], 512, 2, "a")
posting = LedgerPosted(sequence=1, cause="c", occurred_unix_ms=1_790_000_000_000, spent_nanos=7)
store.insert("ledger", [posting.SerializeToString()])
while store.refresh(24):
    pass
print(store.select("SELECT sum(spent) FROM ledger_day FINAL", {}, 5.0))
"""


@pytest.fixture
def server(clickhouse: ClickHouse) -> Iterator[ClickHouse]:
    yield clickhouse
    clickhouse.restore()


@pytest.fixture
def place(request: pytest.FixtureRequest, server: ClickHouse, kit: Any, tmp_path: Path) -> Iterator[Any]:
    with kit.new_place("clickhouse", tmp_path, request) as place:
        yield place


async def test_rows_wait_for_a_server_that_is_away_and_none_is_lost(
    kit: Any, place: Any, server: ClickHouse
) -> None:
    async with place.analytics() as desk:
        await desk.hear(kit.usage(1))
        await asyncio.to_thread(server.kill)
        for number in range(2, 400):
            await desk.process.bus.publish(kit.usage(number))
        for _ in range(2):
            with pytest.raises(HiveError) as caught:
                await desk.ask("requests")
            assert caught.value.kind is Kind.UNAVAILABLE
        assert await desk.kept("routing-1") == 1
        await asyncio.to_thread(server.start)
        await kept(desk, 399)
        await desk.flush()
        assert await desk.ask("requests") == [(399, 399)]
        assert not (await desk.totals()).problems


async def test_it_begins_before_its_server_does(kit: Any, place: Any, server: ClickHouse) -> None:
    await asyncio.to_thread(server.kill)
    async with place.analytics() as desk:
        await desk.process.bus.publish(kit.usage(1))
        with pytest.raises(HiveError) as caught:
            await desk.ask("requests")
        assert caught.value.kind is Kind.UNAVAILABLE
        await asyncio.to_thread(server.start)
        await kept(desk, 1)


async def test_an_absence_that_lasts_is_told(
    kit: Any, place: Any, server: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hive_analytics.service.PATIENCE_SECONDS", 0.1)
    async with place.analytics() as desk:
        await desk.hear(kit.usage(1))
        assert "analytics" not in desk.process.health.complaints()
        await asyncio.to_thread(server.kill)
        await desk.process.bus.publish(kit.usage(2))
        await kit.until(lambda: "analytics" in desk.process.health.complaints())
        assert "analytical store failed" in desk.process.health.complaints()["analytics"]
        await asyncio.to_thread(server.start)
        await kit.until(lambda: "analytics" not in desk.process.health.complaints())


async def test_a_server_that_stops_answering_is_given_up(
    kit: Any, place: Any, server: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hive_analytics.olap.server.MARGIN_SECONDS", 0.2)
    async with place.analytics(analytics_question_seconds=0.5) as desk:
        await desk.hear(kit.usage(1))
        server.pause()
        with pytest.raises(HiveError) as caught:
            await desk.ask("requests")
        assert caught.value.kind in (Kind.UNAVAILABLE, Kind.TIMEOUT)
        server.resume()
        async with asyncio.timeout(20):
            while True:
                try:
                    assert await desk.ask("requests") == [(1, 1)]
                    break
                except HiveError:
                    await asyncio.sleep(0.05)


async def kept(desk: Any, number: int) -> None:
    async with asyncio.timeout(60):
        while await desk.kept("routing-1") < number:
            await asyncio.sleep(0.05)


def posted(number: int) -> list[bytes]:
    posting = LedgerPosted(sequence=number, cause=f"c{number}", occurred_unix_ms=NOON, spent_nanos=5)
    return [posting.SerializeToString()]


def rolled_up(store: warehouse.Warehouse) -> Any:
    for _ in store.catch_up():
        pass
    return store.select("SELECT sum(spent) FROM ledger_day FINAL", {}, 5.0)


def test_the_database_is_made_where_it_is_missing(server: ClickHouse) -> None:
    url = server.create_database()
    server.drop_database(url)
    for _ in range(2):
        server_warehouse(url, 512, 2, "a").close()
    assert url.rpartition("/")[2] in server.execute("SHOW DATABASES").split()
    server.drop_database(url)


def test_what_a_killed_start_left_is_rolled_up_by_its_next_one(place: Any) -> None:
    killed = server_warehouse(place.url, 512, 2, "a")
    killed.insert("ledger", posted(1))
    other = server_warehouse(place.url, 512, 2, "ab")
    assert rolled_up(other) == [[0]], "its owner may still be at it"
    again = server_warehouse(place.url, 512, 2, "a")
    assert rolled_up(again) == [[5]]
    for each in (killed, other, again):
        each.close()


def test_what_nobody_rolls_up_for_long_is_anybodys(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = server_warehouse(place.url, 512, 2, "a")
    gone.insert("ledger", posted(1))
    other = server_warehouse(place.url, 512, 2, "b")
    monkeypatch.setattr(warehouse, "ABANDONED_SECONDS", 0)
    assert rolled_up(other) == [[5]]
    gone.insert("ledger", posted(2))  # it was not gone: its mark is old, and written again
    assert rolled_up(gone) == [[10]]
    for each in (gone, other):
        each.close()


def test_two_writers_roll_up_what_each_of_them_inserted(place: Any) -> None:
    stores = [server_warehouse(place.url, 512, 2, name) for name in "ab"]
    for number in range(1, 21):
        stores[number % 2].insert("ledger", posted(number))
    for store in stores:
        rolled_up(store)
    assert rolled_up(stores[0]) == [[100]]
    for store in stores:
        store.close()


def test_neither_engine_nor_arrow_is_needed(place: Any) -> None:
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_ENGINE, place.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stdout.strip()) == (0, "[[7]]"), run.stderr


async def test_a_deployment_without_the_engine_names_what_it_needs(
    kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hive_analytics.store.is_installed", lambda: False)
    with pytest.raises(CannotStart, match="HIVE_OLAP_URL is needed"):
        async with kit.analytics(tmp_path):
            pass
