"""What the response cache, the guards and idempotent replays do to the questions; one store answers all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from modelhive.events.v1.guard_pb2 import GuardStage, GuardVerdict
from modelhive.events.v1.ledger_pb2 import PostingKind
from modelhive.events.v1.usage_pb2 import CacheStatus, Outcome

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = 86_400_000
HOUR = 3_600_000
NOON = 1_790_000_000_000 // DAY * DAY + 12 * HOUR
MISS, HIT, BYPASS = (
    CacheStatus.CACHE_STATUS_MISS,
    CacheStatus.CACHE_STATUS_HIT,
    CacheStatus.CACHE_STATUS_BYPASS,
)
FLAGGED, REDACTED = GuardVerdict.GUARD_VERDICT_FLAGGED, GuardVerdict.GUARD_VERDICT_REDACTED
BLOCKED = GuardVerdict.GUARD_VERDICT_BLOCKED
OUTPUT = GuardStage.GUARD_STAGE_OUTPUT
BY_CACHE = {"cache": HIT, "provider": "cache", "deployment": "", "first_content_us": 300, "duration_us": 500}
NO_CALL = {"cache": 0, "calls": 0, "provider": "", "deployment": ""}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(kit: Any, shared_place: Any) -> AsyncIterator[Any]:
    told = [*usage(kit), *postings(kit), *decisions(kit), *requests(kit)]
    async with shared_place.analytics() as running:
        await running.hear(*told, *told)
        yield running


def usage(kit: Any) -> list[Any]:
    """Of key_a three requests with four calls and three hits, of key_b one hit whose client left."""
    failed = {"outcome": Outcome.OUTCOME_REFUSED, "last": False}
    return [
        kit.usage(1, cache=MISS, first_content_us=40_000, guards=["secrets"], guard_verdict=FLAGGED),
        kit.usage(2, cache=MISS, **failed),
        kit.usage(3, cache=MISS, request_id="req_2", call=2, duration_us=300_000),
        kit.usage(4, cache=BYPASS, duration_us=200_000),
        *(kit.usage(number, started_unix_ms=NOON + HOUR, **BY_CACHE) for number in (5, 6, 7)),
        kit.usage(8, key_id="key_b", outcome=Outcome.OUTCOME_ABANDONED, **BY_CACHE),
    ]


def postings(kit: Any) -> list[Any]:
    nothing = {"spent_nanos": 0, "provider_cost_nanos": 0, "model": "", "provider": "", "deployment": ""}
    credit = {"kind": PostingKind.POSTING_KIND_CREDIT, "key_id": "", **nothing}
    transfer = {"kind": PostingKind.POSTING_KIND_TRANSFER, "key_id": "key_rich", **nothing}
    return [
        kit.posting(1),
        kit.posting(2, occurred_unix_ms=NOON + 5 * HOUR, **credit),
        kit.posting(3, occurred_unix_ms=NOON + 5 * HOUR, **transfer),
    ]


def decisions(kit: Any) -> list[Any]:
    return [
        kit.decision(1, request_id="many_1", decisions=40, version="3", scanned=9000),
        kit.decision(1, request_id="many_2", decisions=2, guard="pii", stage=OUTPUT, key_id="key_b"),
        kit.decision(2, decisions=1),
        kit.decision(3),
        kit.decision(4, verdict=FLAGGED),
        kit.decision(4, verdict=REDACTED, guard="pii"),
        kit.decision(4, verdict=REDACTED, guard="pii", stage=OUTPUT),
        kit.decision(5, verdict=BLOCKED, decided_unix_ms=NOON + HOUR, categories=["aws_key"]),
        kit.decision(6, verdict=BLOCKED, decisions=2, decided_unix_ms=NOON + HOUR),
    ]


def requests(kit: Any) -> list[Any]:
    guards = {"guards": ["secrets", "pii"]}
    return [
        kit.request(1, cache=MISS, **guards),
        kit.request(2, cache=MISS, **guards, guard_verdict=REDACTED),
        kit.request(3, cache=BYPASS),
        kit.request(4, cache=HIT, calls=0, provider="cache", started_unix_ms=NOON + DAY),
        kit.request(5, **NO_CALL, status=403, error="blocked", **guards, guard_verdict=BLOCKED),
        kit.request(6, **NO_CALL, replayed=True),
        kit.request(7, **NO_CALL, replayed=True, key_id="key_b", started_unix_ms=NOON + DAY),
        kit.request(8, **NO_CALL, path="/v1/models", model="", key_id="key_c"),
    ]


async def test_cache(desk: Any) -> None:
    assert await desk.ask("cache") == [(8, 3, 1, 2, 1, 1 / 3)]
    assert await desk.ask("cache", "key") == [("key_a", 6, 3, 1, 2, 1, 1 / 3)]
    assert await desk.ask("cache", step="day", key=["key_a"]) == [
        (NOON - DAY // 2, 5, 2, 0, 2, 1, 0.0),
        (NOON + DAY // 2, 1, 1, 1, 0, 0, 1.0),
    ]
    assert await desk.ask("cache", key=["key_b"]) == [(1, 0, 0, 0, 0, None)]


async def test_guard_counts_decisions_that_were_told_together(desk: Any) -> None:
    assert await desk.ask("guard") == [(50, 44, 1, 2, 3, 3 / 50)]
    assert await desk.ask("guard", "guard", "stage") == [
        ("secrets", "input", 46, 42, 1, 0, 3, 3 / 46),
        ("pii", "output", 3, 2, 0, 1, 0, 0.0),
        ("pii", "input", 1, 0, 0, 1, 0, 0.0),
    ]
    assert await desk.ask("guard", "key", stage=["output"]) == [
        ("key_b", 2, 2, 0, 0, 0, 0.0),
        ("key_a", 1, 0, 0, 1, 0, 0.0),
    ]
    assert await desk.ask("guard", start=NOON, end=NOON + 1) == [(47, 44, 1, 2, 0, 0.0)]


async def test_guarded(desk: Any) -> None:
    assert await desk.ask("guarded") == [(8, 3, 1, 1 / 3)]
    assert await desk.ask("guarded", "key") == [("key_a", 6, 3, 1, 1 / 3)]


async def test_replays(desk: Any) -> None:
    assert await desk.ask("replays") == [(8, 2, 0.25)]
    assert await desk.ask("replays", "key") == [("key_a", 6, 1, 1 / 6), ("key_b", 1, 1, 1.0)]
    assert await desk.ask("replays", step="day", model=["gpt"]) == [
        (NOON - DAY // 2, 5, 1, 0.2),
        (NOON + DAY // 2, 2, 1, 0.5),
    ]


async def test_a_hit_is_a_request_and_no_call_to_a_deployment(desk: Any) -> None:
    assert await desk.ask("requests", "provider") == [("cache", 4, 0), ("openai", 3, 4)]
    assert await desk.ask("attempts") == [(3, 4, 4 / 3)]
    assert await desk.ask("attempts", "key") == [("key_a", 3, 4, 4 / 3)]
    assert await desk.ask("attempts", key=["key_b"]) == [(0, 0, None)]


async def test_hits_change_neither_the_latency_nor_the_errors_of_calls(desk: Any) -> None:
    assert await desk.ask("latency") == [(3, 200.0, 300.0, 300.0)]
    assert await desk.ask("latency", "provider") == [("openai", 3, 200.0, 300.0, 300.0)]
    assert await desk.ask("latency", step="hour") == [(NOON, 3, 200.0, 300.0, 300.0)]
    assert await desk.ask("ttft", "model") == [("gpt", 1, 40.0, 40.0, 40.0)]
    assert await desk.ask("errors") == [(4, 1, 0.25)]
    assert await desk.ask("errors", "provider") == [("openai", 4, 1, 0.25)]
    assert [row[1] for row in await desk.ask("slowest")] == ["req_2", "req_4", "req_1", "req_2"]


@pytest.mark.parametrize("step", ["minute", "hour", "day"])
async def test_what_is_no_usage_makes_no_row_of_it(desk: Any, step: str) -> None:
    assert [row[:2] for row in await desk.ask("usage", "key")] == [("key_a", 6), ("key_b", 1)]
    assert [row[:2] for row in await desk.ask("usage", "model")] == [("gpt", 7)]
    assert [row[1] for row in await desk.ask("top_keys")] == ["key_a", "key_b"]
    stepped = await desk.ask("usage", "model", step=step)
    assert {row[1] for row in stepped} == {"gpt"} and max(row[0] for row in stepped) <= NOON + HOUR
    assert await desk.ask("usage", "model", "tag", step=step, tag=["web"]) == []


async def test_rollups_are_what_their_rows_come_to(desk: Any) -> None:
    assert list((await desk.totals()).problems) == []
