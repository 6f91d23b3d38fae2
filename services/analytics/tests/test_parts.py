"""The parts that need no store: spans, pieces of time, the store's address, and the store on a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive_analytics import rollups
from hive_analytics.grains import GRAINS, ROWS, pieces
from hive_analytics.olap.process import ProcessOlap
from hive_analytics.olap.thread import ThreadOlap
from hive_analytics.rollups import Rollups, Waiting
from hive_analytics.spans import Spans, spans_of
from hive_analytics.store import open_store
from hive_host import CannotStart
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks

MINUTE = 60_000


@given(st.lists(st.lists(st.integers(-2, 40), max_size=12), max_size=6))
def test_spans_are_the_numbers_that_came(batches: list[list[int]]) -> None:
    spans, came = Spans(), set[int]()
    for batch in batches:
        spans.add(spans_of(batch))
        came |= {number for number in batch if number >= 1}
        through = 0
        while through + 1 in came:
            through += 1
        assert (spans.through, spans.last) == (through, max(came, default=0))


@given(st.integers(0, 10**12), st.integers(0, 10**11), st.sampled_from([*GRAINS]))
def test_pieces_cover_a_span_once(start: int, length: int, coarsest: str) -> None:
    found = pieces(start, start + length, coarsest)
    cut = sorted(piece for each in found.values() for piece in each)
    assert all(before[1] == after[0] for before, after in pairwise(cut))
    assert not length or (cut[0][0], cut[-1][1]) == (start, start + length)
    for grain, each in found.items():
        assert grain == ROWS or all(not border % GRAINS[grain] for piece in each for border in piece)
        assert grain != ROWS or all(end - begin < 2 * MINUTE for begin, end in each)


def opened(url: str, folder: Path) -> Any:
    tasks = Tasks(lambda name, error: None)
    return open_store(url, folder, memory_mb=512, threads=2, clock=SystemClock(), tasks=tasks)


def test_the_address_decides_which_store_it_is(tmp_path: Path) -> None:
    olap, folder = opened("", tmp_path)
    assert isinstance(olap, ProcessOlap) and folder == tmp_path
    olap, folder = opened("chdb:///some/wh%20ere", tmp_path)
    assert isinstance(olap, ProcessOlap) and folder == Path("/some/wh ere")
    olap, folder = opened("https://user:secret@clicks:8443/hive", tmp_path)
    assert isinstance(olap, ThreadOlap) and folder is None
    for url in ("chdb://memory", "clickhouse://x", "chdb:", "some/where"):
        with pytest.raises(CannotStart, match="HIVE_OLAP_URL"):
            opened(url, tmp_path)
    with pytest.raises(CannotStart) as refused:
        opened("ftp://user:secret@host/x", tmp_path)
    assert "secret" not in str(refused.value)


class FakeWarehouse:
    def __init__(self) -> None:
        self.inserted: list[bytes] = []
        self.away = False
        self.closed = False

    def insert(self, family: str, rows: list[bytes]) -> str:
        if self.away:
            raise HiveError(Kind.UNAVAILABLE, "the server is away")
        self.inserted += rows
        return family

    def refresh(self, hours: int) -> int:
        return hours - 1

    def select(self, *arguments: Any) -> list[Any]:
        return ["beside", *arguments]

    def select_alone(self, *arguments: Any) -> list[Any]:
        return ["alone", *arguments]

    def close(self) -> None:
        self.closed = True


async def test_a_store_on_a_server_is_asked_in_threads() -> None:
    fake, tries = FakeWarehouse(), 0

    def connect() -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise HiveError(Kind.UNAVAILABLE, "no server")
        return fake

    olap: Any = ThreadOlap(connect)
    assert not olap.opened
    with pytest.raises(HiveError, match="no server"):
        await olap.insert("usage", [b"1"])
    assert olap.failure == "no server"
    assert await olap.insert("usage", [b"1"]) == "usage" and olap.failure is None and olap.opened
    assert await olap.refresh(3) == 2
    asked = await asyncio.gather(olap.select("a", {}, 1.0), olap.select("b", {}, 1.0, alone=True))
    assert list(asked) == [["beside", "a", {}, 1.0], ["alone", "b", {}, 1.0]]
    fake.away = True
    with pytest.raises(HiveError, match="away"):
        await olap.insert("usage", [b"2"])
    assert olap.failure == "the server is away"
    await olap.close()
    await olap.close()
    assert fake.closed and fake.inserted == [b"1"]
    with pytest.raises(HiveError, match="shutting down"):
        await olap.refresh(1)


class SlowTime:
    """Whoever sleeps goes on at once, and time stands still."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class CountingStore:
    """Counts its rounds. trouble: what the next one raises. may: a round goes on while it is set."""

    def __init__(self) -> None:
        self.rounds = 0
        self.trouble: HiveError | None = None
        self.may = asyncio.Event()
        self.may.set()

    async def refresh(self, hours: int) -> int:
        trouble, self.trouble = self.trouble, None
        if trouble is not None:
            raise trouble
        await self.may.wait()
        self.rounds += 1
        return 0


@asynccontextmanager
async def rolling(
    seconds: float, *, lazily: bool = True
) -> AsyncIterator[tuple[SlowTime, Waiting, CountingStore, Rollups]]:
    clock, store = SlowTime(), CountingStore()
    waiting = Waiting(clock)
    rolled = Rollups(store, waiting, clock, seconds, lazily=lazily)
    running = asyncio.create_task(rolled.run())
    try:
        yield clock, waiting, store, rolled
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def turns() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_few_rows_wait_for_a_question_that_would_find_them_too_old() -> None:
    async with rolling(15) as (clock, waiting, store, rolled):
        waiting.add(1)
        await turns()
        await rolled.fresh()
        assert store.rounds == 0
        clock.time += 15
        waiting.add(1)
        await turns()
        assert store.rounds == 0
        await asyncio.gather(rolled.fresh(), rolled.fresh())
        assert store.rounds == 1
        await rolled.fresh()
        waiting.add(1)
        await rolled.fresh()
        assert store.rounds == 1


@pytest.mark.parametrize("by_run", [True, False])
async def test_a_question_that_comes_while_old_rows_are_rolled_up_waits_for_them_too(by_run: bool) -> None:
    async with rolling(15) as (clock, waiting, store, rolled):
        waiting.add(1)
        await turns()
        clock.time += 15
        store.may.clear()
        first = asyncio.create_task(rolled.fresh() if by_run else rolled.catch_up())
        await turns()
        second = asyncio.create_task(rolled.fresh())
        await turns()
        assert not second.done()
        store.may.set()
        await asyncio.gather(first, second)
        assert store.rounds == 1
        waiting.add(1)
        await rolled.fresh()
        assert store.rounds == 1


@pytest.mark.parametrize(("rows", "age"), [(rollups.MANY_ROWS, 0.0), (1, rollups.LATEST_SECONDS)])
async def test_many_rows_or_old_ones_wait_for_no_question(rows: int, age: float) -> None:
    async with rolling(0.001) as (clock, waiting, store, _):
        waiting.add(rows)
        clock.time += age
        async with asyncio.timeout(20):
            while not store.rounds:
                await asyncio.sleep(0.001)


async def test_rows_of_others_do_not_wait_for_a_question() -> None:
    async with rolling(15, lazily=False) as (_, waiting, store, _):
        waiting.add(1)
        await turns()
        assert store.rounds == 1


async def test_rows_whose_round_failed_are_as_old_as_they_were() -> None:
    async with rolling(15) as (clock, waiting, store, rolled):
        waiting.add(1)
        clock.time += 15
        store.trouble = HiveError(Kind.UNAVAILABLE, "away")
        await rolled.fresh()
        assert (store.rounds, waiting.rows) == (0, 1)
        await rolled.fresh()
        assert (store.rounds, waiting.rows) == (1, 0)
