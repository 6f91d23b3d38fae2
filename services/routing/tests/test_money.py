"""What a request costs: the grey cases, each with an exact amount, as the pipeline settles them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from hive_routing.attempts import Outcome
from hive_runtime.errors import HiveError, Kind
from hive_runtime.money import format_usd

PROMPT, COMPLETION = 2_500_000, 10_000_000
"""Pico-dollars per token: $2.50 and $10 per million."""
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
EXACT = (1000 * PROMPT + 200 * COMPLETION) // 1000
QUICK = {"connect": 1, "first_byte": 0.2, "idle": 0.2, "total": 5}
SCOPE = "wallet:default"


def prepaid(gateway: Any, nanos: int, balanced: bool = False, **fields: Any) -> None:
    gateway.bank.scopes = (SCOPE,)
    gateway.bank.free = {SCOPE: nanos}
    gateway.bank.balanced = balanced
    for name, value in fields.items():
        setattr(gateway.bank, name, value)


def spent(gateway: Any) -> int:
    """What the leases carried, by what is not there any more."""
    lease = gateway.purse._leases[SCOPE]
    assert lease.held == 0, "nothing is held once all requests have ended"
    return int(1_000_000_000 - gateway.bank.free[SCOPE] - lease.amount)


async def test_an_answer_costs_what_the_provider_counted(gateway: Any) -> None:
    prepaid(gateway, 1_000_000_000)
    gateway.sim.script(usage=USAGE)
    answer = await gateway.chat()
    (attempt,) = gateway.log.closed
    assert attempt.outcome is Outcome.ANSWERED and attempt.last and not attempt.estimated
    assert (attempt.cost, attempt.provider_cost, attempt.carried) == (EXACT, EXACT, EXACT)
    assert (attempt.units["prompt"], attempt.units["completion"]) == (1000, 200)
    assert (attempt.tenant_id, attempt.key_id, attempt.scopes) == ("default", "key_1", (SCOPE,))
    assert spent(gateway) == EXACT
    assert answer.headers["x-hive-cost"] == format_usd(EXACT) == "0.0045"
    assert (answer.headers["x-hive-provider"], answer.headers["x-hive-attempts"]) == ("sim", "1")
    assert (answer.usage.cost_nanos, answer.usage.calls) == (EXACT, 1)


async def test_the_tenant_and_the_provider_each_have_a_price_of_their_own(
    gateway: Any, fake_tag: Any
) -> None:
    prepaid(gateway, 1_000_000_000)
    gateway.prices.put(fake_tag("deployment/sim/gpt-4o-real", {"prompt": 1_000_001, "completion": 3_000_000}))
    gateway.sim.script(usage=USAGE)
    await gateway.chat()
    (attempt,) = gateway.log.closed
    assert (attempt.cost, attempt.provider_cost, attempt.carried) == (EXACT, 1_600_001, EXACT)
    assert spent(gateway) == EXACT


async def test_a_stream_costs_the_same_and_says_so_in_its_last_chunk(gateway: Any) -> None:
    gateway.sim.script(usage=USAGE)
    answer = await gateway.chat(stream=True, stream_options={"include_usage": True})
    assert answer.chunks[-1]["hive"] == {"cost": "0.0045"}
    assert answer.chunks[-1]["usage"]["prompt_tokens"] == 1000
    assert gateway.log.closed[0].cost == EXACT
    assert gateway.log.closed[0].first_content_us is not None


async def test_cached_and_reasoned_tokens_have_prices_of_their_own(gateway: Any) -> None:
    prices = {
        "prompt": 2_500_000,
        "cached_prompt": 1_250_000,
        "completion": 10_000_000,
        "reasoning": 12_000_000,
    }
    await gateway.add_model(price=prices)
    details = {
        "prompt_tokens_details": {"cached_tokens": 600},
        "completion_tokens_details": {"reasoning_tokens": 50},
    }
    gateway.sim.script(usage=USAGE | details)
    await gateway.chat()
    picos = 400 * 2_500_000 + 600 * 1_250_000 + 150 * 10_000_000 + 50 * 12_000_000
    assert gateway.log.closed[0].cost == picos // 1000


async def test_without_the_providers_figures_ours_count_and_are_marked(gateway: Any) -> None:
    gateway.sim.script(no_usage=True, content="hello world")
    answer = await gateway.chat()
    (attempt,) = gateway.log.closed
    assert attempt.estimated and answer.usage.estimated
    prompt, completion = answer.usage.prompt_tokens, answer.usage.completion_tokens
    assert completion == 2
    assert attempt.cost == (prompt * PROMPT + completion * COMPLETION) // 1000


async def test_whoever_leaves_in_mid_stream_pays_what_was_generated(gateway: Any) -> None:
    prepaid(gateway, 1_000_000_000)
    gateway.sim.script(content="one two three four five six seven eight", chunks=8, chunk_delay=0.02)
    call = gateway.start(
        "POST",
        "/v1/chat/completions",
        {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "stream": True},
    )
    await call.until_sent(b"two")
    call.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.task
    (attempt,) = gateway.log.closed
    assert attempt.outcome is Outcome.ABANDONED and attempt.estimated
    assert 2 <= attempt.units["completion"] < 8
    assert attempt.cost == attempt.provider_cost
    assert (
        attempt.cost == (attempt.units["prompt"] * PROMPT + attempt.units["completion"] * COMPLETION) // 1000
    )
    assert spent(gateway) == attempt.cost


async def test_whoever_leaves_before_any_content_pays_nothing(gateway: Any) -> None:
    prepaid(gateway, 1_000_000_000)
    gateway.sim.script(silent=True)
    call = gateway.start(
        "POST", "/v1/chat/completions", {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
    )
    async with asyncio.timeout(5):
        while not gateway.sim.total:
            await asyncio.sleep(0)
    call.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.task
    (attempt,) = gateway.log.closed
    assert attempt.outcome is Outcome.ABANDONED and attempt.last
    assert (attempt.cost, attempt.carried) == (0, 0)
    assert attempt.provider_cost > 0 and attempt.estimated, "the provider may have read the prompt"
    assert spent(gateway) == 0


async def test_a_stream_that_breaks_costs_what_was_delivered(gateway: Any) -> None:
    await gateway.add_provider(timeouts=QUICK)
    await gateway.add_model()
    gateway.sim.script(content="one two three four", chunks=4, cut_after=3, chunk_delay=0.01)
    answer = await gateway.chat(stream=True)
    assert answer.error is not None
    (attempt,) = gateway.log.closed
    assert attempt.outcome is Outcome.BROKEN and attempt.estimated and attempt.error == "upstream_failed"
    delivered = attempt.units["completion"]
    assert 0 < delivered == answer.usage.completion_tokens
    assert attempt.cost == (attempt.units["prompt"] * PROMPT + delivered * COMPLETION) // 1000


NOTHING: list[tuple[dict[str, Any], Outcome, bool]] = [
    ({"status": 500}, Outcome.REFUSED, False),
    ({"status": 429, "retry_after": 60}, Outcome.REFUSED, False),
    ({"status": 400}, Outcome.REFUSED, False),
    ({"hang_up": True}, Outcome.UNANSWERED, True),
    ({"silent": True}, Outcome.UNANSWERED, True),
    ({"body": "{"}, Outcome.BROKEN, True),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fault", "outcome", "charged"), NOTHING)
async def test_an_error_costs_nothing(
    gateway: Any, fault: dict[str, Any], outcome: Outcome, charged: bool, stream: bool
) -> None:
    """What reached the provider and was not refused may stand on its bill: that is noted, as an estimate."""
    prepaid(gateway, 1_000_000_000)
    await gateway.add_provider(timeouts=QUICK)
    await gateway.add_model()
    gateway.sim.script(**fault)
    answer = await gateway.chat(stream=stream)
    assert answer.error is not None
    assert gateway.log.closed and spent(gateway) == 0
    for attempt in gateway.log.closed:
        assert attempt.outcome is outcome
        assert attempt.cost == attempt.carried == 0
        assert (attempt.provider_cost > 0) == attempt.estimated == charged
    assert [attempt.last for attempt in gateway.log.closed] == [False] * (len(gateway.log.closed) - 1) + [
        True
    ]


async def test_an_answer_without_any_content_costs_nothing(gateway: Any) -> None:
    gateway.sim.script(content="", usage={"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10})
    await gateway.chat()
    (attempt,) = gateway.log.closed
    assert (attempt.cost, attempt.provider_cost) == (0, 10 * PROMPT // 1000)


async def test_of_several_attempts_the_one_that_answers_is_paid(gateway: Any) -> None:
    prepaid(gateway, 1_000_000_000)
    await gateway.add_model(at=("sim:bad:1", "sim:good:0"))
    gateway.sim.script(model="bad", hang_up=True)
    gateway.sim.script(model="good", usage=USAGE)
    answer = await gateway.chat()
    bad, good = gateway.log.closed
    assert (bad.cost, good.cost) == (0, EXACT)
    assert bad.provider_cost > 0 and bad.estimated and not bad.last
    assert (bad.call, good.call) == (1, 2)
    assert answer.headers["x-hive-attempts"] == "2" and answer.usage.calls == 2
    assert spent(gateway) == EXACT


async def test_a_fallback_costs_its_own_price_and_is_held_for(gateway: Any) -> None:
    prepaid(gateway, 1_000_000_000)
    await gateway.add_model(at=("sim:bad",), fallbacks=["dear"])
    await gateway.add_model("dear", at=("sim:good",), price={"prompt": 25_000_000, "completion": 100_000_000})
    gateway.sim.script(model="bad", status=500)
    gateway.sim.script(model="good", usage=USAGE)
    await gateway.chat(max_tokens=300)
    last = gateway.log.closed[-1]
    assert (last.model, last.cost) == ("dear", 10 * EXACT)
    # The tokenizer of `good` is not known: 15 bytes, six tokens of overhead and eight for marks.
    assert last.held == 10 * (29 * PROMPT + 300 * COMPLETION) // 1000
    assert spent(gateway) == 10 * EXACT


async def test_a_fallback_that_cannot_be_paid_is_not_asked(gateway: Any) -> None:
    prepaid(gateway, 5_000_000)
    await gateway.add_model(at=("sim:bad",), fallbacks=["dear"])
    await gateway.add_model("dear", at=("sim:good",), price={"prompt": 0, "completion": 1_000_000_000})
    gateway.sim.script(model="bad", status=500)
    answer = await gateway.chat(max_tokens=300)
    assert answer.error.kind is Kind.BUDGET_EXCEEDED
    assert all(call.json["model"] == "bad" for call in gateway.sim.calls)


# What is held.


async def test_strict_holds_the_most_and_bounds_the_output(gateway: Any) -> None:
    prepaid(gateway, 1_000_000_000, default_max_output=50)
    answer = await gateway.chat()
    (attempt,) = gateway.log.opened
    # "Hello there" is two tokens of o200k, the message and the reply have four and three of overhead.
    assert attempt.prompt == {"prompt": 9}
    assert attempt.held == (9 * PROMPT + 50 * COMPLETION) // 1000
    assert gateway.sim.calls[0].json["max_tokens"] == 50
    assert answer.status == 200


async def test_the_callers_own_bound_is_held_for_and_left_alone(gateway: Any) -> None:
    prepaid(gateway, 1_000_000_000)
    await gateway.chat(max_completion_tokens=7, n=3)
    assert gateway.log.opened[0].held == (9 * PROMPT + 3 * 7 * COMPLETION) // 1000
    assert gateway.sim.calls[0].json["max_completion_tokens"] == 7
    assert "max_tokens" not in gateway.sim.calls[0].json


async def test_a_provider_is_told_the_bound_by_its_own_name(gateway: Any) -> None:
    prepaid(gateway, 1_000_000_000, default_max_output=50)
    await gateway.add_provider(output_bound_field="max_completion_tokens")
    await gateway.add_model()
    await gateway.chat(max_tokens=None)
    sent = gateway.sim.calls[0].json
    assert sent["max_completion_tokens"] == 50 and "max_tokens" not in sent


async def test_who_pays_later_is_not_bounded(gateway: Any) -> None:
    await gateway.chat()
    assert not gateway.sim.calls[0].json.keys() & {"max_tokens", "max_completion_tokens"}
    assert gateway.log.closed[0].held == 0


async def test_embeddings_hold_for_their_prompt_alone(gateway: Any) -> None:
    prepaid(gateway, 1_000_000_000)
    await gateway.add_model("embed", at=("sim:text-embedding-3-small",), mode="embedding")
    answer = await gateway.request("POST", "/v1/embeddings", {"model": "embed", "input": "hello world"})
    assert answer.status == 200
    (attempt,) = gateway.log.closed
    assert attempt.held == 2 * PROMPT // 1000
    assert "completion" not in attempt.units
    assert attempt.cost == attempt.units["prompt"] * PROMPT // 1000


async def test_too_little_money_is_402_before_anybody_is_asked(gateway: Any) -> None:
    prepaid(gateway, 120_000_000)
    answer = await gateway.chat(max_tokens=50_000)
    assert answer.error.kind is Kind.BUDGET_EXCEEDED
    assert answer.error.message == "Insufficient budget. Remaining: $0.12, estimated cost: $0.51"
    assert gateway.sim.total == 0 and not gateway.log.opened and not gateway.log.closed


async def test_a_provider_that_ignores_the_bound_cannot_overdraw(gateway: Any) -> None:
    """What neither the hold nor idle money carries is for billing to find, and in the end the operator's."""
    prepaid(gateway, 1_000_000)
    gateway.sim.script(usage=USAGE)
    await gateway.chat(max_tokens=90)
    (attempt,) = gateway.log.closed
    assert (attempt.cost, attempt.carried) == (EXACT, 1_000_000)


async def test_unpriced_models_are_refused_and_new_ones_are_waited_for(gateway: Any, fake_tag: Any) -> None:
    gateway.prices.put(fake_tag("model/gpt-4o", None))
    answer = await gateway.chat()
    assert answer.error.kind is Kind.NOT_FOUND and answer.error.reason == "model_unpriced"
    assert "no price" in answer.error.message and gateway.sim.total == 0
    gateway.prices.drop("model/gpt-4o")
    call = gateway.start(
        "POST", "/v1/chat/completions", {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
    )
    await asyncio.sleep(0)
    gateway.prices.put(fake_tag("model/gpt-4o", {"prompt": 0}))
    await call.task
    assert call.answer.status == 200


# Balanced mode: likely costs, extended in mid-stream.


async def test_balanced_holds_what_is_likely(gateway: Any) -> None:
    prepaid(gateway, 1_000_000_000, balanced=True)
    gateway.sim.script(usage=USAGE)
    for _ in range(25):
        await gateway.chat(max_tokens=4000)
    first, last = gateway.log.opened[0], gateway.log.opened[-1]
    assert first.held == (9 * PROMPT + 1024 * COMPLETION) // 1000
    assert last.held == (9 * PROMPT + 200 * COMPLETION) // 1000
    assert "max_tokens" in gateway.sim.calls[0].json, "the caller's own bound passes"


async def test_balanced_extends_in_mid_stream(gateway: Any) -> None:
    prepaid(gateway, 1_000_000_000, balanced=True)
    gateway.sim.script(chunks=2000, chunk_bytes=4, content="word ")
    answer = await gateway.chat(stream=True)
    assert answer.complete and answer.chunks[-1]["choices"][0]["finish_reason"] == "stop"
    (attempt,) = gateway.log.closed
    assert attempt.held > gateway.log.opened[0].held
    assert attempt.cost == attempt.carried == spent(gateway)


@pytest.mark.parametrize("asked", [False, True])
async def test_balanced_ends_honestly_where_the_money_does(gateway: Any, asked: bool) -> None:
    prepaid(gateway, 10_300_000, balanced=True)
    gateway.sim.script(chunks=3000, chunk_bytes=4, chunk_delay=0.0002, content="word ")
    options = {"stream_options": {"include_usage": True}} if asked else {}
    answer = await gateway.chat(stream=True, **options)
    assert answer.error is None and answer.complete
    assert answer.data[-1] == "[DONE]"
    end = [chunk for chunk in answer.chunks if chunk["choices"]][-1]
    assert end["choices"][0]["finish_reason"] == "length"
    assert end["hive"] == {"reason": "budget"}
    (attempt,) = gateway.log.closed
    assert attempt.carried <= 10_300_000
    assert 700 < attempt.units["completion"] <= 1030
    line = gateway.sim.bill[-1]
    assert not line.finished, "the provider was stopped"


# The journal.


async def test_the_journal_knows_before_the_provider_and_ends_before_the_caller_does(gateway: Any) -> None:
    gateway.sim.script(chunks=3)
    seen: list[list[str]] = []
    call = gateway.start(
        "POST",
        "/v1/chat/completions",
        {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "stream": True},
    )
    await call.until_sent(b"data")
    seen.append(list(gateway.log.steps))
    await call.until_sent(b"[DONE]")
    seen.append(list(gateway.log.steps))
    await call.task
    assert seen[0][0] == "open" and seen[0][1].startswith("progress")
    assert seen[1][-1] == "close"


async def test_what_cannot_be_kept_is_not_sent(gateway: Any) -> None:
    gateway.log.full = True
    answer = await gateway.chat()
    assert answer.error.kind is Kind.UNAVAILABLE
    assert gateway.sim.total == 0


async def test_tags_travel_with_the_attempt(gateway: Any) -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
    await gateway.request(
        "POST", "/v1/chat/completions", body, headers={"x-hive-tags": "nightly, team-a,nightly"}
    )
    assert gateway.log.closed[0].tags == ("nightly", "team-a")


async def test_a_thousand_at_once_on_little_money(gateway: Any) -> None:
    """Every one is served or told 402; what was carried is what the served ones cost."""
    prepaid(gateway, 20_000_000)
    gateway.sim.script(usage={"prompt_tokens": 9, "completion_tokens": 10, "total_tokens": 19})
    answers = await asyncio.gather(*(gateway.chat(max_tokens=10) for _ in range(400)))
    each = (9 * PROMPT + 10 * COMPLETION) // 1000
    served = [answer for answer in answers if answer.status == 200]
    refused = [answer.error for answer in answers if answer.error is not None]
    assert all(isinstance(error, HiveError) and error.kind is Kind.BUDGET_EXCEEDED for error in refused)
    assert len(served) == 20_000_000 // each
    assert sum(attempt.carried for attempt in gateway.log.closed) == len(served) * each
    assert msgspec.json.decode(served[0].body)["usage"]["completion_tokens"] == 10
