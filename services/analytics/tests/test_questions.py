"""Every named question, with the exact answer on a few events; one store answers all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from hive_runtime.errors import HiveError, Kind
from modelhive.analytics.v1 import questions_pb2 as pb
from modelhive.billing.v1 import books_pb2 as books

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = 86_400_000
HOUR = 3_600_000
MINUTE = 60_000
NOON = 1_790_000_000_000 // DAY * DAY + 12 * HOUR
HOSTILE = "o'brien\\'; DROP TABLE usage; --\t{x:String}%s\0\n\"`ü€😀"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(kit: Any, shared_place: Any) -> AsyncIterator[Any]:
    async with shared_place.analytics() as running:
        await running.hear(*events(kit), *events(kit))
        yield running


def events(kit: Any) -> list[Any]:
    usage, posting = kit.usage, kit.posting
    claude = {"model": "claude", "provider": "anthropic", "deployment": "anthropic/haiku"}
    broken = {"outcome": 2, "error": "upstream_failed", "last": False, "upstream_request_id": "up_2"}
    return [
        usage(1, duration_us=100_000, first_content_us=10_000, units={"prompt": 10, "completion": 5}),
        # Its first call failed, and a second one at another provider answered an hour later.
        usage(2, duration_us=50_000, started_unix_ms=NOON + MINUTE, tags=["web", "prod"], **broken),
        usage(
            3,
            request_id="req_2",
            call=2,
            started_unix_ms=NOON + HOUR,
            duration_us=300_000,
            first_content_us=30_000,
            units={"prompt": 20, "cached_prompt": 4, "cache_write_5m": 2, "completion": 7, "reasoning": 3},
            tags=["prod", "web", "prod"],
            **claude,
        ),
        usage(
            4,
            started_unix_ms=NOON + DAY,
            duration_us=200_000,
            key_id="key_b",
            units={"audio_in": 9, "image": 1},
        ),
        # Its client left: no failure, and no latency.
        usage(
            5, started_unix_ms=NOON + DAY + 1, duration_us=900_000, outcome=6, tenant_id=HOSTILE, key_id="k'"
        ),
        posting(1),
        posting(2, request_id="req_2", spent_nanos=0, provider_cost_nanos=50, tags=["web"]),
        posting(
            3, request_id="req_2", occurred_unix_ms=NOON + HOUR, spent_nanos=3000, tags=["web"], **claude
        ),
        posting(4, occurred_unix_ms=NOON + DAY, key_id="key_b", spent_nanos=2**60 + 1, provider_cost_nanos=0),
        posting(
            5, kind=5, corrects="usage:req_4:1.1", occurred_unix_ms=NOON + DAY, key_id="key_b", spent_nanos=-1
        ),
    ]


async def test_spend(desk: Any) -> None:
    everything = 1000 + 0 + 3000 + 2**60 + 1 - 1
    assert await desk.ask("spend") == [(everything, 700 + 50 + 700 + 0 + 700, 5)]
    assert await desk.ask("spend", "key") == [("key_b", 2**60, 700, 2), ("key_a", 4000, 1450, 3)]
    assert await desk.ask("spend", "provider", "tenant", key=["key_a"]) == [
        ("acme", "anthropic", 3000, 700, 1),
        ("acme", "openai", 1000, 750, 2),
    ]
    assert await desk.ask("spend", step="day") == [
        (NOON - 12 * HOUR, 4000, 1450, 3),
        (NOON + 12 * HOUR, 2**60, 700, 2),
    ]


async def test_requests(desk: Any) -> None:
    assert await desk.ask("requests") == [(4, 5)]
    assert await desk.ask("requests", "provider") == [("openai", 3, 4), ("anthropic", 1, 1)]
    assert await desk.ask("requests", step="minute", tenant=["acme"]) == [
        (NOON, 1, 1),
        (NOON + MINUTE, 0, 1),
        (NOON + HOUR, 1, 1),
        (NOON + DAY, 1, 1),
    ]


async def test_tokens(desk: Any) -> None:
    assert await desk.ask("tokens") == [(30, 4, 2, 12, 3, 9, 60)]
    assert await desk.ask("tokens", "deployment", key=["key_a"]) == [
        ("anthropic/haiku", 20, 4, 2, 7, 3, 0, 36),
        ("openai/gpt-5", 10, 0, 0, 5, 0, 0, 15),
    ]


async def test_usage_has_both_sides(desk: Any) -> None:
    assert await desk.ask("usage", "model", tenant=["acme"]) == [
        ("gpt", 2, 3, 19, 5, 1000 + 2**60, 1450),
        ("claude", 1, 1, 26, 10, 3000, 700),
    ]


async def test_errors(desk: Any) -> None:
    assert await desk.ask("errors") == [(5, 1, 0.2)]
    assert await desk.ask("errors", "model") == [("gpt", 4, 1, 0.25), ("claude", 1, 0, 0.0)]


async def test_latency(desk: Any) -> None:
    assert await desk.ask("latency") == [(3, 200.0, 300.0, 300.0)]
    assert await desk.ask("latency", step="hour") == [
        (NOON, 1, 100.0, 100.0, 100.0),
        (NOON + HOUR, 1, 300.0, 300.0, 300.0),
        (NOON + DAY, 1, 200.0, 200.0, 200.0),
    ]
    assert await desk.ask("latency", tenant=[HOSTILE]) == [(0, None, None, None)]


async def test_ttft(desk: Any) -> None:
    assert await desk.ask("ttft", "key") == [("key_a", 2, 30.0, 30.0, 30.0)]


async def test_attempts(desk: Any) -> None:
    assert await desk.ask("attempts", tenant=["acme"]) == [(3, 4, 4 / 3)]


async def test_top_keys(desk: Any) -> None:
    top = [("acme", "key_b", 2**60, 700, 1, 1), ("acme", "key_a", 4000, 1450, 2, 3)]
    assert await desk.ask("top_keys") == [*top, (HOSTILE, "k'", 0, 0, 1, 1)]
    first = await desk.answer("top_keys", limit=1)
    assert len(first.rows) == 1 and first.truncated


async def test_slowest_and_failed(desk: Any) -> None:
    slowest = await desk.ask("slowest", limit=2)
    assert [(row[1], row[8], row[9]) for row in slowest] == [("req_5", 900.0, None), ("req_2", 300.0, 30.0)]
    (failed,) = await desk.ask("failed")
    head = (NOON + MINUTE, "req_2", "acme", "key_a", "gpt", "openai/gpt-5", "chat/completions")
    assert failed == (*head, "refused", 50.0, None, "upstream_failed", "up_2")
    assert await desk.ask("failed", tag=["batch"]) == []


async def test_tags(desk: Any) -> None:
    assert await desk.ask("requests", "tag") == [("", 3, 3), ("prod", 1, 2), ("web", 1, 2)]
    assert await desk.ask("requests", "tag", tag=["web"]) == [("web", 1, 2)]
    assert await desk.ask("requests", "tag", tag=["web", ""]) == [("", 3, 3), ("web", 1, 2)]
    assert await desk.ask("requests", tag=[""]) == [(3, 3)]
    assert await desk.ask("spend", "tag", step="day", key=["key_a"]) == [
        (NOON - 12 * HOUR, "", 1000, 700, 1),
        (NOON - 12 * HOUR, "web", 3000, 750, 2),
    ]


async def test_hostile_names_are_values_and_nothing_else(desk: Any) -> None:
    assert await desk.ask("requests", "tenant", tenant=[HOSTILE]) == [(HOSTILE, 1, 1)]
    for name in ("' OR 1=1 --", "{p0:String}", "\\", "acme\0", HOSTILE + "x"):
        assert await desk.ask("requests", tenant=[name], key=[name], tag=[name]) == [(0, 0)]
        assert await desk.ask("slowest", tenant=[name]) == []
    for fields in (
        {"question": HOSTILE},
        {"question": "spend", "by": [HOSTILE]},
        {"question": "spend", "step": "'"},
    ):
        with pytest.raises(HiveError) as refused:
            await desk.questions.Ask(pb.AskRequest(**fields))
        assert refused.value.kind is Kind.INVALID


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (NOON, NOON + 1, 1),
        (NOON + 1, NOON + MINUTE, 0),
        (NOON - HOUR, NOON, 0),
        (NOON, NOON + MINUTE + 1, 2),
        (NOON + 1, NOON + DAY + 1, 3),
        (NOON - 40 * DAY - 7, NOON + 40 * DAY + 7, 5),
        (0, NOON + DAY + 2, 5),
    ],
)
async def test_any_span_holds_its_start_and_not_its_end(
    desk: Any, start: int, end: int, expected: int
) -> None:
    (row,) = await desk.ask("attempts", start=start, end=end)
    assert row[1] == expected


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"question": "weather"}, "question", "spend, requests"),
        ({"question": "spend", "step": "week"}, "step", "minute, hour, day"),
        ({"question": "spend", "by": ["colour"]}, "by", "tenant, key, model, provider, deployment, tag"),
        ({"question": "guard", "by": ["provider"]}, "by", "tenant, key, model, guard, stage"),
        ({"question": "slowest", "by": ["key"]}, "by", "use filters"),
        ({"question": "slowest", "step": "day"}, "step", "takes no step"),
        (
            {"question": "spend", "filters": [pb.Filter(dimension="guard", values=["x"])]},
            "filters",
            "no dimension",
        ),
        ({"question": "spend", "filters": [pb.Filter(dimension="key")]}, "filters", "has no value"),
        ({"question": "spend", "from_unix_ms": 9, "to_unix_ms": 9}, "to_unix_ms", "not after"),
        ({"question": "spend", "from_unix_ms": -1}, "from_unix_ms", "Unix milliseconds"),
        ({"question": "spend", "limit": -1}, "limit", "below 0"),
        ({"question": "runway", "from_unix_ms": 1}, "from_unix_ms", "last 7 days"),
    ],
)
async def test_a_wrong_question_is_told_what_there_is(
    desk: Any, fields: dict[str, Any], param: str, words: str
) -> None:
    with pytest.raises(HiveError, match=words) as refused:
        await desk.questions.Ask(pb.AskRequest(**fields))
    assert (refused.value.kind, refused.value.param) == (Kind.INVALID, param)


async def test_the_list_of_questions(desk: Any) -> None:
    listed = {each.name: each for each in (await desk.questions.List(pb.ListRequest())).questions}
    assert set(listed) >= {
        "spend",
        "requests",
        "tokens",
        "errors",
        "latency",
        "ttft",
        "cache",
        "guard",
        "top_keys",
    }
    assert set(listed) >= {"slowest", "failed", "attempts", "runway"}
    assert listed["spend"].takes_step and not listed["slowest"].takes_step
    assert list(listed["spend"].dimensions) == ["tenant", "key", "model", "provider", "deployment", "tag"]


async def test_columns_say_what_they_hold(desk: Any) -> None:
    answer = await desk.answer("latency", "tag", "tenant", step="day")
    assert [(each.name, each.kind) for each in answer.columns] == [
        ("time", "time"),
        ("tenant", "text"),
        ("tag", "text"),
        ("calls", "count"),
        ("p50", "milliseconds"),
        ("p95", "milliseconds"),
        ("p99", "milliseconds"),
    ]


async def test_an_empty_store_answers_too(kit: Any, tmp_path: Path) -> None:
    async with kit.analytics(tmp_path) as desk:
        assert await desk.ask("spend") == [(0, 0, 0)]
        assert await desk.ask("errors") == [(0, 0, None)]
        assert await desk.ask("spend", "key", step="day") == []
        assert await desk.ask("slowest") == await desk.ask("runway") == []
        totals = await desk.totals()
        assert (list(totals.totals), totals.through_sequence, list(totals.problems)) == ([], 0, [])
        assert await desk.kept("nobody") == 0


async def test_runway(kit: Any, tmp_path: Path) -> None:
    fake = kit.FakeBooks()
    fake.budgets = [
        books.Budget(tenant_id="acme", key_id="key_a", balance_nanos=3000),
        books.Budget(tenant_id="acme", key_id="key_idle", balance_nanos=5),
        books.Budget(tenant_id="other", key_id="key_c", balance_nanos=0),
    ]
    fake.wallets = [
        books.Wallet(tenant_id="acme", mode="prepaid", balance_nanos=18_000, budgets_nanos=3005),
        books.Wallet(tenant_id="other", mode="metered"),
    ]
    async with kit.analytics(tmp_path, fake) as desk:
        now = int(desk.process.clock.now() * 1000)
        await desk.hear(
            kit.posting(1, occurred_unix_ms=now - 6 * DAY, spent_nanos=7000),
            kit.posting(2, occurred_unix_ms=now - HOUR, spent_nanos=7000, key_id="key_b"),
            kit.posting(3, occurred_unix_ms=now - 8 * DAY, spent_nanos=10**9),
            kit.posting(4, occurred_unix_ms=now - DAY, spent_nanos=700, tenant_id="other", key_id="key_c"),
        )
        assert await desk.ask("runway") == [
            ("other", "key_c", 0, 100, 0.0),
            ("acme", "key_a", 3000, 1000, 3.0),
            ("acme", "", 21_005, 2000, 21_005 / 2000),
            ("acme", "key_idle", 5, 0, None),
        ]
        assert await desk.ask("runway", key=["key_a"]) == [("acme", "key_a", 3000, 1000, 3.0)]
        assert await desk.ask("runway", tenant=["other"]) == [("other", "key_c", 0, 100, 0.0)]
