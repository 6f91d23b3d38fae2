"""The cache and single flight, through the app."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hive_routing.attempts import CacheStatus
from hive_runtime.errors import Kind

pytestmark = pytest.mark.cached


def body(text: str = "Hello", **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]} | fields


async def ask(gateway: Any, text: str = "Hello", headers: dict[str, str] | None = None, **fields: Any) -> Any:
    return await gateway.request("POST", "/v1/chat/completions", body(text, **fields), headers=headers)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_is_given_again_and_costs_nothing(gateway: Any, stream: bool) -> None:
    options: dict[str, Any] = {"stream": stream}
    if stream:
        options["stream_options"] = {"include_usage": True}
    first, second = [await ask(gateway, **options) for _ in range(2)]
    assert len(gateway.sim.calls) == 1
    assert [each.headers["x-hive-cache"] for each in (first, second)] == ["miss", "hit"]
    assert (second.headers["x-hive-attempts"], second.headers["x-hive-provider"]) == ("0", "sim")
    if stream:
        assert first.data[:-2] == second.data[:-2] and second.data[-1] == "[DONE]"
        assert second.chunks[-1]["usage"] == first.chunks[-1]["usage"]
        assert second.chunks[-1]["hive"] == {"cost": "0.00"}
    else:
        assert first.body == second.body and second.headers["x-hive-cost"] == "0.00"
    paid, free = gateway.log.closed
    assert paid.cost > 0 and (free.cost, free.provider_cost, free.provider) == (0, 0, "cache")
    assert [each.handling.cache for each in (paid, free)] == [CacheStatus.MISS, CacheStatus.HIT]
    assert [each.usage.cache for each in (first, second)] == [1, 2]


async def test_a_look_up_can_be_refused_and_still_stores(gateway: Any) -> None:
    await ask(gateway)
    gateway.sim.script(content="another")
    bypass = await ask(gateway, headers={"x-hive-cache": "false"})
    assert bypass.headers["x-hive-cache"] == "bypass" and len(gateway.sim.calls) == 2
    assert (await ask(gateway)).json["choices"][0]["message"]["content"] == "another"


async def test_tenants_share_nothing(gateway: Any) -> None:
    await ask(gateway)
    gateway.tenant_id = "other"
    assert (await ask(gateway)).headers["x-hive-cache"] == "miss"
    assert len(gateway.sim.calls) == 2


async def test_another_policy_is_another_answer(gateway: Any) -> None:
    gateway.guards.policy = "guarded"
    await ask(gateway)
    gateway.guards.policy = ""
    assert (await ask(gateway, headers={"x-hive-guard": "none"})).headers["x-hive-cache"] == "miss"
    gateway.guards.policy = "guarded"
    assert (await ask(gateway)).headers["x-hive-cache"] == "hit"


async def test_twins_after_redaction_are_not_the_same(gateway: Any) -> None:
    gateway.guards.words = {"ann@example.com": "email", "bob@example.com": "email"}
    gateway.sim.script(content="Dear [EMAIL_1]")
    ann, bob, again = [await ask(gateway, f"To {name}@example.com") for name in ("ann", "bob", "ann")]
    said = [each.json["choices"][0]["message"]["content"] for each in (ann, bob, again)]
    assert said == ["Dear ann@example.com", "Dear bob@example.com", "Dear ann@example.com"]
    assert [each.headers["x-hive-cache"] for each in (ann, bob, again)] == ["miss", "miss", "hit"]


async def test_what_failed_or_was_blocked_is_not_kept(gateway: Any) -> None:
    gateway.sim.script(status=400, once=True)
    assert (await ask(gateway)).error.kind is Kind.INVALID
    gateway.guards.output, gateway.guards.bad = ("words",), {"poison"}
    gateway.sim.script(content="poison", once=True)
    assert (await ask(gateway)).error.kind is Kind.BLOCKED
    assert (await ask(gateway)).headers["x-hive-cache"] == "miss"


async def test_a_stream_that_broke_is_not_kept(gateway: Any) -> None:
    gateway.sim.script(cut_after=3, content="some words more", chunks=6, once=True)
    broken = await ask(gateway, stream=True)
    assert broken.error.kind is Kind.UPSTREAM_FAILED
    assert (await ask(gateway, stream=True)).headers["x-hive-cache"] == "miss"


async def test_the_answer_of_a_fallback_is_not_kept_for_the_model(gateway: Any) -> None:
    await gateway.add_model("spare", at=("sim:spare",))
    await gateway.add_model("gpt-4o", fallbacks=["spare"])
    gateway.sim.script(model="gpt-4o-real", status=503)
    for _ in range(2):
        answer = await ask(gateway)
        assert (answer.headers["x-hive-cache"], answer.json["model"]) == ("miss", "spare")


async def test_a_tenant_may_price_hits_or_switch_them_off(gateway: Any) -> None:
    gateway.terms.put("default", None, 50)
    gateway.bank.scopes, gateway.bank.free = ("wallet:default",), {"wallet:default": 10**9}
    first, second = [await ask(gateway, max_tokens=50) for _ in range(2)]
    paid, half = [attempt.cost for attempt in gateway.log.closed]
    assert half == paid // 2 > 0 and gateway.log.closed[1].carried == half
    assert second.headers["x-hive-cost"] != first.headers["x-hive-cost"]
    gateway.terms.put("default", 0, 50)
    assert "x-hive-cache" not in (await ask(gateway)).headers


async def test_a_bound_that_money_adds_is_no_other_keys_answer(gateway: Any) -> None:
    gateway.bank.scopes, gateway.bank.free = ("budget:key_1",), {"budget:key_1": 10**9}
    await ask(gateway)
    gateway.bank.scopes = ()
    gateway.purse.forget_all()
    assert (await ask(gateway)).headers["x-hive-cache"] == "miss"


async def test_a_leaders_budget_is_its_own(gateway: Any) -> None:
    await gateway.add_model("dear", at=("sim:dear",), price={"prompt": 10**12, "completion": 10**12})
    await gateway.add_model("gpt-4o", fallbacks=["dear"])
    gateway.sim.script(model="gpt-4o-real", status=503, latency=0.1)
    gateway.bank.scopes, gateway.bank.free = ("budget:key_1",), {"budget:key_1": 10**8}
    answers = await asyncio.gather(*(ask(gateway, max_tokens=10) for _ in range(3)))
    assert all(answer.error.kind is Kind.BUDGET_EXCEEDED for answer in answers)
    assert len(gateway.sim.calls) >= 3, "each of them has tried"


@pytest.mark.parametrize("stream", [False, True])
async def test_equal_requests_at_once_make_one_call(gateway: Any, stream: bool) -> None:
    gateway.sim.script(content="some words", chunks=5, chunk_delay=0.01, latency=0.05)
    answers = await asyncio.gather(*(ask(gateway, stream=stream) for _ in range(50)))
    assert len(gateway.sim.calls) == 1
    assert len({answer.text if stream else answer.body for answer in answers}) == 1
    assert sorted(answer.headers["x-hive-cache"] for answer in answers) == ["hit"] * 49 + ["miss"]
    assert sum(attempt.cost > 0 for attempt in gateway.log.closed) == 1
    assert gateway.cache.followed == 49


@pytest.mark.parametrize("stream", [False, True])
async def test_a_leader_that_leaves_hands_the_call_on(gateway: Any, stream: bool) -> None:
    gateway.sim.script(latency=0.2, once=True)
    leader = gateway.start("POST", "/v1/chat/completions", body(stream=stream))
    await asyncio.sleep(0.05)
    followers = [asyncio.ensure_future(ask(gateway, stream=stream)) for _ in range(5)]
    await asyncio.sleep(0.05)
    leader.task.cancel()
    answers = await asyncio.gather(*followers)
    assert len(gateway.sim.calls) == 2
    assert sorted(each.headers["x-hive-cache"] for each in answers) == ["hit"] * 4 + ["miss"]
    assert all(answer.complete for answer in answers)


async def test_all_that_share_a_failed_call_are_told_the_same(gateway: Any) -> None:
    gateway.sim.script(status=400, latency=0.05)
    answers = await asyncio.gather(*(ask(gateway) for _ in range(20)))
    assert len(gateway.sim.calls) == 1 and all(answer.error.kind is Kind.INVALID for answer in answers)


async def test_a_follower_with_live_pieces_of_a_stream_that_breaks_is_told(gateway: Any) -> None:
    gateway.sim.script(cut_after=6, content="some words that end too early", chunks=10, chunk_delay=0.02)
    answers = await asyncio.gather(*(ask(gateway, stream=True) for _ in range(5)))
    assert all(answer.error.kind is Kind.UPSTREAM_FAILED for answer in answers)
    assert len(gateway.sim.calls) == 1
