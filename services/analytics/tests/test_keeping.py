"""What came is kept once, whatever is told twice, late, out of order, or while the store's process dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from hive_runtime.errors import HiveError, Kind

DAY = 86_400_000
HOUR = 3_600_000
MINUTE = 60_000
NOON = 1_790_000_000_000 // DAY * DAY + 12 * HOUR
GATEWAY = """
import asyncio, sys
from pathlib import Path
from hive_analytics.service import analytics_service
from hive_analytics.settings import AnalyticsSettings
from hive_host import Process
from hive_runtime.settings import HostSettings
from modelhive.events.v1.usage_pb2 import UsageRecorded
from modelhive.events.v1.receipts_pb2 import KeptRequest
from modelhive.events.v1.receipts_pb2_grpc import ReceiptsStub

async def main():
    settings = AnalyticsSettings(analytics_batch_seconds=0.01, analytics_memory_mb=512)
    async with Process(HostSettings(data_dir=Path(sys.argv[1]))) as process:
        async with analytics_service(process.host("analytics"), settings):
            event = UsageRecorded(request_id="r", attempt=1, call=1, holder="h", sequence=1, last=True)
            event.started_unix_ms = int(sys.argv[2])
            await process.bus.publish(event)
            receipts = ReceiptsStub(process.network.channel("analytics"))
            while not (await receipts.Kept(KeptRequest(holder="h"))).through_sequence:
                await asyncio.sleep(0.01)
            for module in ("chdb", "pyarrow", "clickhouse_connect"):
                assert module not in sys.modules
            print("kept", flush=True)
            await asyncio.sleep(60)

asyncio.run(main())
"""
STEPS = ("", "minute", "hour", "day")
END = NOON + 30 * DAY


async def everything(desk: Any) -> list[Any]:
    """What all of the rollups say; spans of whole days, so that nothing is read from the rows."""
    found: list[Any] = []
    for question in ("usage", "spend", "latency", "errors", "cache", "guard"):
        for step in STEPS:
            found.append(
                await desk.ask(
                    question, "key", start=NOON - DAY // 2, end=NOON + 20 * DAY - DAY // 2, step=step
                )
            )
    return found


def some(kit: Any, count: int) -> list[Any]:
    events = []
    for number in range(1, count + 1):
        moment = NOON + number * 7 * 60_000
        events += [
            kit.usage(number, started_unix_ms=moment, duration_us=number * 1000, units={"prompt": number}),
            kit.posting(number, occurred_unix_ms=moment, spent_nanos=number),
            kit.decision(number, decided_unix_ms=moment),
            kit.request(number, started_unix_ms=moment),
        ]
    return events


async def test_replaying_everything_changes_nothing(kit: Any, desk: Any) -> None:
    events = some(kit, 60)
    await desk.hear(*events)
    before, totals = await everything(desk), await desk.totals()
    assert before[4] == [("key_a", sum(range(61)), 60 * 700, 60)]
    await desk.hear(*reversed(events))
    await desk.hear(*events)
    assert await everything(desk) == before
    assert await desk.totals() == totals
    assert kit.sums(totals.totals) == [("acme", "key_a", "2026-09-21", sum(range(61)), 60 * 700, 60)]
    assert list(totals.problems) == [] and totals.through_sequence == 60


async def test_replaying_everything_after_a_restart_changes_nothing(kit: Any, place: Any) -> None:
    events = some(kit, 20)
    async with place.analytics() as desk:
        await desk.hear(*events)
        before = await everything(desk)
    async with place.analytics() as desk:
        assert await everything(desk) == before
        await desk.hear(*events)
        assert await everything(desk) == before
        assert not (await desk.totals()).problems


async def test_what_comes_late_changes_its_own_hour(kit: Any, desk: Any) -> None:
    span = {"start": NOON - 5 * DAY, "end": END}
    await desk.hear(kit.posting(1), kit.posting(3, occurred_unix_ms=NOON + DAY))
    assert await desk.ask("spend", step="hour", **span) == [(NOON, 1000, 700, 1), (NOON + DAY, 1000, 700, 1)]
    await desk.hear(kit.posting(2, occurred_unix_ms=NOON - 3 * DAY, spent_nanos=5))
    for step, moment in (("minute", NOON), ("hour", NOON), ("day", NOON - 12 * HOUR)):
        assert await desk.ask("spend", step=step, **span) == [
            (moment - 3 * DAY, 5, 700, 1),
            (moment, 1000, 700, 1),
            (moment + DAY, 1000, 700, 1),
        ]


@pytest.mark.parametrize("late", [1, 999, 1000])
async def test_the_last_moment_of_a_day_belongs_to_it(kit: Any, desk: Any, late: int) -> None:
    midnight = NOON + DAY // 2
    await desk.hear(kit.posting(1, occurred_unix_ms=midnight - late))
    await desk.hear(kit.posting(2, occurred_unix_ms=midnight))
    for step, length in (("minute", 60_000), ("hour", HOUR), ("day", DAY)):
        assert await desk.ask("spend", step=step, start=NOON - DAY // 2, end=END - DAY // 2) == [
            (midnight - length, 1000, 700, 1),
            (midnight, 1000, 700, 1),
        ]
    assert await desk.ask("spend", start=midnight - late, end=midnight) == [(1000, 700, 1)]
    assert not (await desk.totals()).problems


async def test_an_event_that_comes_again_with_other_words_replaces_the_first(kit: Any, desk: Any) -> None:
    await desk.hear(kit.usage(1, outcome=7, model="guess"))
    await desk.hear(kit.usage(1))
    for step in STEPS[1:]:
        ((_, *row),) = await desk.ask("errors", "model", step=step, start=NOON - DAY, end=END)
        assert row == ["gpt", 1, 0, 0.0]
    assert not (await desk.totals()).problems


async def test_in_an_hour_that_goes_on_only_minutes_with_new_rows_are_rolled_up(kit: Any, place: Any) -> None:
    soon = int(time.time() * 1000) + 2 * HOUR
    hour, day = soon // HOUR * HOUR, soon // DAY * DAY
    minutes = [hour + number * MINUTE for number in range(4)]
    span = {"start": day - DAY, "end": day + 2 * DAY}

    async def rolled_up(desk: Any) -> Any:
        assert await desk.ask("spend", step="hour", **span) == [(hour, 4000, 2800, 4)]
        assert await desk.ask("spend", step="day", **span) == [(day, 4000, 2800, 4)]
        assert not (await desk.totals()).problems
        return await desk.ask("spend", step="minute", **span)

    async with place.analytics() as desk:
        for number, minute in enumerate(minutes, start=1):
            await desk.hear(kit.posting(number, occurred_unix_ms=minute, model="guess"))
            assert await desk.ask("spend", "model", step="minute", **span)
        await desk.hear(kit.posting(2, occurred_unix_ms=minutes[1] + 5))
        assert await rolled_up(desk) == [(minute, 1000, 700, 1) for minute in minutes]
        by_model = await desk.ask("spend", "model", step="hour", **span)
        assert sorted(by_model) == [(hour, "gpt", 1000, 700, 1), (hour, "guess", 3000, 2100, 3)]
    async with place.analytics() as desk:
        await desk.hear(
            *(kit.posting(number, occurred_unix_ms=each) for number, each in enumerate(minutes, 1))
        )
        assert await rolled_up(desk) == [(minute, 1000, 700, 1) for minute in minutes]
        assert await desk.ask("spend", "model", step="day", **span) == [(day, "gpt", 4000, 2800, 4)]


async def test_times_of_a_broken_clock_lose_no_row(kit: Any, desk: Any) -> None:
    await desk.hear(kit.posting(1, occurred_unix_ms=-5), kit.posting(2, occurred_unix_ms=2**62))
    totals = await desk.totals()
    assert [each.day for each in totals.totals] == ["1970-01-01", "2099-12-31"]
    assert totals.through_sequence == 2 and not totals.problems


async def test_totals_up_to_a_sequence(kit: Any, desk: Any) -> None:
    await desk.hear(
        kit.posting(1),
        kit.posting(2, key_id="key_b", spent_nanos=-7, provider_cost_nanos=0),
        kit.posting(3, occurred_unix_ms=NOON + 12 * HOUR),
        kit.posting(5),
    )
    first = ("acme", "key_a", "2026-09-21", 1000, 700, 1)
    second = ("acme", "key_b", "2026-09-21", -7, 0, 1)
    third = ("acme", "key_a", "2026-09-22", 1000, 700, 1)
    totals = await desk.totals()
    assert totals.through_sequence == 3  # 4 is missing
    assert kit.sums(totals.totals) == [first, third, second]
    assert kit.sums((await desk.totals(2)).totals) == [first, second]


async def test_a_rollup_that_is_not_what_its_rows_come_to_is_told(kit: Any, tmp_path: Path) -> None:
    async with kit.analytics(tmp_path) as desk:
        await desk.hear(kit.posting(1), kit.posting(2, occurred_unix_ms=NOON + HOUR))
    spoil = """
import sys, clickhouse_connect
client = clickhouse_connect.get_client(interface="chdb", path=sys.argv[1])
client.database = "hive"
columns, values = "time, tenant_id, key_id, version, spent", f"{sys.argv[2]}, 'acme', 'key_a', 1, 5"
client.command(f"INSERT INTO ledger_hour ({columns}) VALUES ({values})")
client.close()
"""
    subprocess.run([sys.executable, "-c", spoil, str(tmp_path / "analytics"), str(NOON // 1000)], check=True)
    async with kit.analytics(tmp_path) as desk:
        (problem,) = (await desk.totals()).problems
        assert problem == (
            "ledger_hour: tenant 'acme', key 'key_a', day 2026-09-21: spent 2000 by rows and 2005 by rollups"
        )


async def keeps(desk: Any, number: int) -> None:
    """Until the rows of a holder are kept up to this one, and no further."""
    async with asyncio.timeout(30):
        while await desk.kept("routing-1") != number:
            await asyncio.sleep(0.02)


async def test_receipts_name_what_is_kept_without_a_gap(kit: Any, place: Any) -> None:
    async with place.analytics() as desk:
        await desk.hear(
            *(kit.usage(number) for number in (1, 2, 3, 5, 6, 9)), kit.usage(7, holder="routing-2")
        )
        await keeps(desk, 3)
        assert await desk.kept("routing-2") == 0
        await desk.hear(kit.usage(4))
        await keeps(desk, 6)
    async with place.analytics() as desk:
        await keeps(desk, 6)
        await desk.hear(kit.usage(8), kit.usage(7))
        assert await desk.kept("routing-1") == 9


async def test_missing_postings_are_asked_for_at_the_start(kit: Any, tmp_path: Path) -> None:
    fake = kit.FakeBooks()
    fake.postings = [kit.posting(number) for number in range(1, 2503)]
    async with kit.analytics(tmp_path, fake) as desk:
        await kit.until(lambda: fake.asked_after == [0, 1000, 2000])
        await kit.until(kit.workers)
        while (await desk.totals()).through_sequence < 2502:
            await asyncio.sleep(0.05)
        assert await desk.ask("spend") == [(2_502_000, 2502 * 700, 2502)]
    async with kit.analytics(tmp_path, fake) as desk:
        await asyncio.sleep(0.05)
        assert fake.asked_after == [0, 1000, 2000]
        assert not kit.workers(), "nothing is missing, so nothing has to be opened"
        fake.postings.append(kit.posting(2503))
    async with kit.analytics(tmp_path, fake) as desk:
        await kit.until(lambda: fake.asked_after[3:] == [2502])
        while (await desk.totals()).through_sequence < 2503:
            await asyncio.sleep(0.05)


async def test_a_gap_in_the_ledger_is_filled_from_the_books(kit: Any, place: Any) -> None:
    fake = kit.FakeBooks()
    async with place.analytics(fake) as desk:
        await desk.hear(kit.posting(1))
        assert (await desk.totals()).through_sequence == 1
        fake.postings = [kit.posting(number) for number in range(1, 6)]
        await desk.hear(kit.posting(2), kit.posting(5))
        assert (await desk.totals()).through_sequence == 2
        async with asyncio.timeout(20):
            while (await desk.totals()).through_sequence < 5:
                await asyncio.sleep(0.1)
        assert fake.asked_after == [2]
        assert await desk.ask("spend") == [(5000, 3500, 5)]


@pytest.mark.parametrize("place", ["chdb"], indirect=True)
async def test_a_store_killed_while_it_writes_loses_and_doubles_nothing(kit: Any, desk: Any) -> None:
    await desk.hear(kit.usage(1))
    for round in range(4):
        first = 2 + round * 500
        publishing = [desk.process.bus.publish(kit.usage(number)) for number in range(first, first + 500)]
        await asyncio.gather(*publishing)
        await asyncio.sleep(
            0.02 + round * 0.004
        )  # the batch leaves: it is killed before, in or after the insert
        for worker in kit.workers():
            worker.kill()
        await desk.flush()
        assert await desk.kept("routing-1") == first + 499
    assert await desk.ask("requests", start=NOON - DAY, end=END) == [(2001, 2001)]
    assert not (await desk.totals()).problems


async def test_rollups_that_a_kill_left_behind_are_made_at_the_next_opening(kit: Any, tmp_path: Path) -> None:
    settings = kit.SETTINGS.model_copy(update={"analytics_rollup_seconds": 3600.0})
    async with kit.analytics(tmp_path, settings=settings) as desk:
        await desk.process.bus.publish(kit.posting(1))
        async with asyncio.timeout(20):  # the rows of an odd span are read themselves
            while await desk.ask("spend", start=NOON, end=NOON + 1) != [(1000, 700, 1)]:
                await asyncio.sleep(0.02)
        whole = {"start": NOON - 12 * HOUR, "end": NOON + 12 * HOUR}
        assert await desk.ask("spend", **whole) == [(0, 0, 0)], "its rollups are due in an hour"
        kit.workers()[0].kill()
        await kit.until(lambda: not kit.workers())
        with suppress(HiveError):  # who asks while it is being noticed is refused
            await desk.ask("spend", **whole)
        assert await desk.ask("spend", **whole) == [(1000, 700, 1)]


async def test_a_question_to_a_store_that_hangs_ends(kit: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("hive_analytics.olap.process.MARGIN_SECONDS", 0.2)
    settings = kit.SETTINGS.model_copy(update={"analytics_question_seconds": 0.3})
    async with kit.analytics(tmp_path, settings=settings) as desk:
        await desk.hear(kit.usage(1))
        (worker,) = kit.workers()
        worker.suspend()
        with pytest.raises(HiveError) as late:
            await desk.ask("requests")
        assert late.value.kind is Kind.TIMEOUT
        assert await desk.ask("requests") == [(1, 1)]
        assert kit.workers() != [worker]


async def test_the_store_is_opened_by_the_first_event_and_gone_at_the_end(kit: Any, tmp_path: Path) -> None:
    async with kit.analytics(tmp_path) as desk:
        assert not kit.workers() and not (tmp_path / "analytics").exists()
        await desk.flush()
        assert not kit.workers()
        await desk.hear(kit.usage(1))
        (worker,) = kit.workers()
        assert desk.process.health.complaints().keys() <= {"process"}
    assert not worker.is_running()


async def test_a_killed_gateway_takes_its_store_with_it(kit: Any, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", GATEWAY, str(tmp_path), str(NOON)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        assert process.stdout is not None
        while await asyncio.to_thread(process.stdout.readline) != b"kept\n":
            assert process.poll() is None
        (worker,) = psutil.Process(process.pid).children()
        os.kill(process.pid, signal.SIGKILL)
    await kit.until(lambda: not worker.is_running())
    async with kit.analytics(tmp_path) as desk:
        assert await desk.ask("requests") == [(1, 1)]
        assert await desk.kept("h") == 1
