"""Hedges, mirrors, patterns, long prompts and regions in whole requests: who answers, and whose money it is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hive_routing.attempts import Outcome
from hive_runtime.errors import Kind
from modelhive.control.v1.control_pb2 import ROUTING_POLICY_CHEAPEST, Deployment, Model, Routing

PROMPT, COMPLETION = 2_500_000, 10_000_000
"""Pico-dollars per token: $2.50 and $10 per million."""
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
EXACT = (1000 * PROMPT + 200 * COMPLETION) // 1000
SCOPE = "wallet:default"
BOUND = {"max_tokens": 1000}


def prepaid(gateway: Any, nanos: int) -> None:
    gateway.bank.scopes = (SCOPE,)
    gateway.bank.free = {SCOPE: nanos}
    gateway.bank.surplus = 0


async def settled(gateway: Any, closed: int) -> None:
    async with asyncio.timeout(5):
        while len(gateway.log.closed) < closed:
            await asyncio.sleep(0.005)


async def hedged(gateway: Any, after_ms: int | None = 30, **fields: Any) -> None:
    """`slow` is asked before `fast`."""
    routing = Routing(hedge_after_ms=after_ms, **fields)
    await gateway.add_model(at=("sim:slow", "sim:fast"), routing=routing)
    message = gateway.consumer._models["gpt-4o"]
    message.deployments[1].order = 1
    await gateway.tell("model/gpt-4o", model=message)
    gateway.sim.script(model="fast", usage=USAGE)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_second_one_answers_and_the_tenant_pays_for_it_alone(gateway: Any, stream: bool) -> None:
    await hedged(gateway)
    prepaid(gateway, 1_000_000_000)
    gateway.sim.script(model="slow", silent=True)
    answer = await gateway.chat(stream=stream, **BOUND)
    assert answer.headers["x-hive-deployment"] == "sim/fast"
    lost, won = gateway.log.closed
    assert (lost.deployment, lost.outcome, lost.cost, lost.last) == ("sim/slow", Outcome.ABANDONED, 0, False)
    assert lost.provider_cost > 0 and lost.estimated
    assert (won.deployment, won.outcome, won.cost, won.carried, won.last) == (
        "sim/fast",
        Outcome.ANSWERED,
        EXACT,
        EXACT,
        True,
    )
    assert (lost.call, won.call, answer.usage.calls) == (1, 2, 2)
    lease = gateway.purse._leases[SCOPE]
    assert (lease.held, gateway.bank.free[SCOPE] + lease.amount) == (0, 1_000_000_000 - EXACT)


async def test_both_are_held_while_both_run_and_one_when_one_does(gateway: Any) -> None:
    await hedged(gateway)
    prepaid(gateway, 1_000_000_000)
    gateway.sim.script(model="slow", silent=True)
    gateway.sim.script(model="fast", chunk_delay=0.05, chunks=8, content="one two three four five six seven")
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "stream": True, **BOUND}
    call = gateway.start("POST", "/v1/chat/completions", body)
    await call.until_sent(b"one")
    (first, second) = gateway.log.opened
    assert first.held == second.held > 1000 * COMPLETION // 1000
    assert gateway.purse.held == first.held
    assert gateway.bank.free[SCOPE] == 1_000_000_000 - 2 * first.held
    await call.task
    assert gateway.purse.held == 0


async def test_without_money_for_two_there_is_one(gateway: Any) -> None:
    await hedged(gateway)
    await gateway.chat(**BOUND)  # to know what one needs
    gateway.sim.script(model="slow", latency=0.2, usage=USAGE)
    prepaid(gateway, 1_000_000_000)
    gateway.purse.forget_all()
    gateway.log.closed.clear()
    gateway.log.opened.clear()
    await gateway.chat(**BOUND)
    (one, *_) = gateway.log.opened
    gateway.bank.free = {SCOPE: one.held + one.held // 2}
    gateway.purse._leases[SCOPE].amount = 0
    gateway.log.closed.clear()
    answer = await gateway.chat(**BOUND)
    assert (answer.status, answer.headers["x-hive-deployment"]) == (200, "sim/slow")
    (attempt,) = gateway.log.closed
    assert (attempt.cost, attempt.last) == (EXACT, True)


async def test_where_both_fail_each_is_told_and_one_is_the_last(gateway: Any) -> None:
    await gateway.add_provider(timeouts={"connect": 1, "first_byte": 0.1, "idle": 0.1, "total": 5})
    await hedged(gateway)
    for name in ("slow", "fast"):
        gateway.sim.script(model=name, silent=True)
    answer = await gateway.chat(**BOUND)
    assert answer.error.kind is Kind.TIMEOUT
    assert [attempt.last for attempt in gateway.log.closed] == [False, True]
    assert {attempt.outcome for attempt in gateway.log.closed} == {Outcome.UNANSWERED}


async def test_a_caller_may_hedge_by_header(gateway: Any) -> None:
    await hedged(gateway, after_ms=None)
    gateway.sim.script(model="slow", silent=True)
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
    answer = await gateway.request("POST", "/v1/chat/completions", body, headers={"x-hive-hedge": "100"})
    assert answer.headers["x-hive-deployment"] == "sim/fast"
    refused = await gateway.request("POST", "/v1/chat/completions", body, headers={"x-hive-hedge": "1"})
    assert (refused.error.kind, refused.error.param) == (Kind.INVALID, "x-hive-hedge")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_copy_goes_to_the_mirror_after_the_answer_at_the_operators_cost(
    gateway: Any, stream: bool
) -> None:
    prepaid(gateway, 1_000_000_000)
    await gateway.add_model("candidate", at=("sim:candidate-real",))
    await gateway.add_model(routing=Routing(mirror_to="candidate", mirror_percent=100))
    gateway.sim.script(usage=USAGE)
    answer = await gateway.chat(stream=stream)
    assert answer.headers["x-hive-model"] == "gpt-4o"
    assert answer.complete
    await settled(gateway, 2)
    answered, copied = gateway.log.closed
    assert (answered.model, answered.cost, answered.last) == ("gpt-4o", EXACT, True)
    assert (copied.model, copied.outcome, copied.last) == ("candidate", Outcome.ANSWERED, False)
    assert (copied.cost, copied.carried, copied.held, copied.scopes) == (0, 0, 0, ())
    assert copied.provider_cost == EXACT
    assert (copied.request_id, copied.attempt, copied.call) == (answered.request_id, 1, 2)
    sent = gateway.sim.calls[-1]
    assert (sent.json["model"], sent.headers["x-client-request-id"]) == ("candidate-real", "req_1-1-2")


async def test_a_mirror_that_fails_troubles_nobody(gateway: Any) -> None:
    await gateway.add_model("candidate", at=("sim:candidate-real",))
    await gateway.add_model(routing=Routing(mirror_to="candidate", mirror_percent=100))
    gateway.sim.script(model="candidate-real", status=500)
    assert (await gateway.chat()).status == 200
    await settled(gateway, 2)
    assert [attempt.last for attempt in gateway.log.closed] == [True, False]
    assert gateway.sim.total == 2  # a copy is sent once


async def test_a_pattern_costs_what_operators_wrote(gateway: Any) -> None:
    await gateway.add_model("claude-*", at=("sim:anthropic.*",))
    gateway.sim.script(usage=USAGE)
    answer = await gateway.chat(model="claude-sonnet-9")
    assert gateway.sim.calls[-1].json["model"] == "anthropic.sonnet-9"
    assert (answer.headers["x-hive-model"], answer.headers["x-hive-deployment"]) == (
        "claude-sonnet-9",
        "sim/anthropic.sonnet-9",
    )
    (attempt,) = gateway.log.closed
    assert (attempt.model, attempt.cost, attempt.provider_cost) == ("claude-sonnet-9", EXACT, EXACT)


async def test_a_long_prompt_goes_where_it_fits(gateway: Any) -> None:
    await gateway.add_model("long", at=("sim:long-real",))
    await gateway.add_model(context_window=50, context_fallbacks=["long"])
    words = [{"role": "user", "content": "word " * 100}]
    assert (await gateway.chat(messages=words)).headers["x-hive-model"] == "long"
    assert gateway.sim.total == 1
    error = {"message": "Too long.", "code": "context_length_exceeded"}
    gateway.sim.script(model="gpt-4o-real", status=400, error=error)
    answer = await gateway.chat()
    assert (answer.headers["x-hive-model"], answer.headers["x-hive-attempts"]) == ("long", "2")


async def test_a_region_is_chosen_by_header(gateway: Any) -> None:
    deployments = [
        Deployment(provider_id="sim", model=name, weight=1, region=name) for name in ("us", "eu", "ap")
    ]
    model = Model(id="gpt-4o", deployments=deployments, routing=Routing(policy=ROUTING_POLICY_CHEAPEST))
    await gateway.tell("model/gpt-4o", model=model)
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
    for name in ("eu", "us", "ap; require"):
        answer = await gateway.request("POST", "/v1/chat/completions", body, headers={"x-hive-region": name})
        assert answer.headers["x-hive-deployment"] == f"sim/{name[:2]}"
    refused = await gateway.request(
        "POST", "/v1/chat/completions", body, headers={"x-hive-region": "af;require"}
    )
    assert (refused.error.kind, refused.error.param) == (Kind.INVALID, "x-hive-region")


async def test_the_only_deployment_rests(gateway: Any) -> None:
    gateway.sim.script(status=429, retry_after=30)
    assert (await gateway.chat()).error.retry_after == 30
    error = (await gateway.chat()).error
    assert (error.kind, error.retry_after) == (Kind.RATE_LIMITED, 30)
    assert gateway.sim.total == 1
