"""A store that an older version made: it opens, its rows are read, and its rollups are made anew from them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hive_analytics.families import FAMILIES, GUARD, USAGE
from hive_analytics.olap.tables import shape

DAY = 86_400_000
HOUR = DAY // 24
NOON = 1_790_000_000_000 // DAY * DAY + DAY // 2
HERE = Path(__file__).parent
MIDNIGHT = {"start": NOON - DAY // 2, "end": NOON + DAY // 2}
"""A whole day: nothing of it is read from the rows."""
RUN = """
import json, sys, clickhouse_connect
client = clickhouse_connect.get_client(interface="chdb", path=sys.argv[1])
client.command("CREATE DATABASE IF NOT EXISTS hive ENGINE = Atomic")
client.database = "hive"
for statement in json.load(sys.stdin):
    client.command(statement)
client.close()
"""
WHO = "tenant_id, key_id, model"
ACME = "'acme', 'key_a', 'gpt'"


def run(folder: Path, *statements: str) -> None:
    """In a process of its own: the engine is there once per process, and its folder is locked."""
    store = folder / "analytics"
    store.mkdir(exist_ok=True)
    subprocess.run([sys.executable, "-c", RUN, str(store)], input=json.dumps(statements).encode(), check=True)


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """Made by the statements of 0.1.0, with rows of its time, and rollups that say something else."""
    made = (HERE / "store_0_1_0.sql").read_text().split(";\n")
    moment = f"fromUnixTimestamp64Milli({NOON}, 'UTC')"
    run(
        tmp_path,
        *(statement for statement in made if statement),
        f"INSERT INTO usage (started, request_id, attempt, call, {WHO}, provider, duration_us, outcome, last,"
        f" units, holder, sequence) VALUES ({moment}, 'req_1', 1, 1, {ACME}, 'openai', 100000, 'answered', 1,"
        " {'prompt': 12}, 'routing-1', 1)",
        f"INSERT INTO ledger (occurred, sequence, cause, {WHO}, spent_nanos, provider_cost_nanos)"
        f" VALUES ({moment}, 1, 'usage:req_1:1.1', {ACME}, 1000, 700)",
        f"INSERT INTO guard (decided, request_id, {WHO}, guard, stage, verdict)"
        f" VALUES ({moment}, 'req_1', {ACME}, 'secrets', 'input', 'allowed')",
        f"INSERT INTO requests (started, request_id, {WHO}, status, calls, cache)"
        f" VALUES ({moment}, 'req_1', {ACME}, 200, 1, 'miss')",
        *(
            f"INSERT INTO {family.rollup(grain)} (time, {WHO}, version, {measure})"
            f" VALUES ({(NOON - offset) // 1000}, {ACME}, 1, 99)"
            for family, measure in zip(
                FAMILIES.values(), ("requests", "spent", "decisions", "hits"), strict=True
            )
            for grain, offset in (("minute", 0), ("hour", 0), ("day", DAY // 2))
        ),
    )
    return tmp_path


async def test_an_older_store_is_read_and_written(kit: Any, older: Path) -> None:
    async with kit.analytics(older) as desk:
        assert await desk.kept("routing-1") == 1
        assert await desk.ask("attempts", "provider", **MIDNIGHT) == [("openai", 1, 1, 1.0)]
        assert await desk.ask("latency", **MIDNIGHT) == [(1, 100.0, 100.0, 100.0)]
        assert await desk.ask("tokens", **MIDNIGHT) == [(12, 0, 0, 0, 0, 0, 12)]
        assert await desk.ask("spend", **MIDNIGHT) == [(1000, 700, 1)]
        assert await desk.ask("guard", "guard", "stage", **MIDNIGHT) == [
            ("secrets", "input", 1, 1, 0, 0, 0, 0.0)
        ]
        assert await desk.ask("cache", **MIDNIGHT) == [(1, 1, 0, 1, 0, 0.0)]
        assert await desk.ask("guarded", **MIDNIGHT) == [(1, 0, 0, None)]
        assert await desk.ask("replays", **MIDNIGHT) == [(1, 0, 0.0)]
        await desk.hear(
            kit.usage(2, cache=2, provider="cache"),
            kit.decision(2, decisions=30, stage=2, version="4"),
            kit.request(2, cache=2, guards=["secrets"], guard_verdict=4, replayed=True),
        )
        assert await desk.ask("requests", "provider", **MIDNIGHT) == [("openai", 1, 1), ("cache", 1, 0)]
        assert [row[:2] for row in await desk.ask("guard", "stage", **MIDNIGHT)] == [
            ("output", 30),
            ("input", 1),
        ]
        assert await desk.ask("guarded", **MIDNIGHT) == [(2, 1, 1, 1.0)]
        assert await desk.ask("replays", **MIDNIGHT) == [(2, 1, 0.5)]
        assert list((await desk.totals()).problems) == []


async def test_an_older_store_opens_again(kit: Any, older: Path) -> None:
    for _ in range(2):
        async with kit.analytics(older) as desk:
            assert await desk.ask("spend", **MIDNIGHT) == [(1000, 700, 1)]


async def test_rollups_of_another_shape_are_made_anew_and_others_are_not(kit: Any, tmp_path: Path) -> None:
    async with kit.analytics(tmp_path) as desk:
        hours = range(60)
        await desk.hear(
            *(kit.decision(hour, decided_unix_ms=NOON + hour * HOUR) for hour in hours), kit.posting(1)
        )
    spoil = f"(time, {WHO}, version, {{}}) VALUES ({NOON // 1000 - DAY // 2000}, {ACME}, 1, 5)"
    run(
        tmp_path,
        "INSERT INTO ledger_day " + spoil.format("spent"),
        "INSERT INTO guard_day " + spoil.format("verdicts"),
        "ALTER TABLE guard_hour MODIFY COMMENT 'another'",
    )
    async with kit.analytics(tmp_path) as desk:
        assert await desk.ask("spend", **MIDNIGHT) == [(1005, 700, 1)]
        assert await desk.ask("guard", **MIDNIGHT) == [(12, 12, 0, 0, 0, 0.0)]
        assert [row[1] for row in await desk.ask("guard", step="day")] == [12, 24, 24]


async def test_rollups_that_a_crash_kept_from_being_made_anew_are_made_at_the_next_opening(
    kit: Any, tmp_path: Path
) -> None:
    async with kit.analytics(tmp_path) as desk:
        await desk.hear(kit.decision(1))
    run(
        tmp_path,
        "INSERT INTO dirty (family, hour, version, dirty) SELECT DISTINCT 'guard', toStartOfHour(decided),"
        " 2000000000000000000, 1 FROM guard",
        *(f"DROP TABLE guard_{grain}" for grain in ("minute", "day")),
    )
    async with kit.analytics(tmp_path) as desk:
        assert await desk.ask("guard", **MIDNIGHT) == [(1, 1, 0, 0, 0, 0.0)]


def test_a_shape_is_that_of_dimensions_and_measures() -> None:
    other = replace(GUARD.measures[0], raw="toInt64(count())")
    shapes = {
        shape(family)
        for family in (
            USAGE,
            GUARD,
            replace(GUARD, dimensions=GUARD.dimensions[:-1]),
            replace(GUARD, measures=GUARD.measures[:-1]),
            replace(GUARD, measures=(other, *GUARD.measures[1:])),
        )
    }
    assert len(shapes) == 5 and shape(replace(GUARD)) in shapes
