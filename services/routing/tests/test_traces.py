"""What a request's trace and the figures by model tell of the calls that are made for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from hive_routing.usage_events import usage_event
from hive_runtime.tracing import Role
from hive_testing.spans import KeepingTracer, KeptSpan, kept_spans

CALL = "chat gpt-4o-real"
QUICK = {"connect": 1, "first_byte": 0.1, "idle": 0.1, "total": 5}


@pytest.fixture
def tracer() -> Iterator[KeepingTracer]:
    with kept_spans() as keeping:
        yield keeping


def calls(tracer: KeepingTracer) -> list[KeptSpan]:
    return [span for span in tracer.spans if span.role is Role.CLIENT]


def samples(gateway: Any) -> dict[str, float]:
    lines = [line for line in gateway.metrics.page().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_says_who_was_asked_and_what_was_used(
    gateway: Any, tracer: KeepingTracer, stream: bool
) -> None:
    gateway.sim.script(finish_reason="length", usage={"completion_tokens_details": {"reasoning_tokens": 1}})
    answer = await gateway.chat(stream=stream)
    assert answer.error is None
    call, process = tracer.named(CALL), tracer.named("process chat/completions")
    assert process.role is Role.CONSUMER and call.role is Role.CLIENT
    assert call.parent is process
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "sim",
        "gen_ai.request.model": "gpt-4o-real",
        "gen_ai.response.model": "gpt-4o-real",
        "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.usage.input_tokens": answer.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": answer.usage.completion_tokens,
        "gen_ai.usage.reasoning.output_tokens": 1,
        "server.address": "127.0.0.1",
        "hive.model": "gpt-4o",
        "hive.outcome": "answered",
    }
    assert {name: call.attributes.get(name) for name in expected} == expected
    assert (call.error, call.ended) == ("", 1)
    (attempt,) = gateway.log.closed
    assert call.after_us == attempt.duration_us


async def test_usage_tells_which_call_it_is_of(gateway: Any, tracer: KeepingTracer) -> None:
    await gateway.chat()
    (attempt,) = gateway.log.closed
    event = usage_event(attempt, "holder", 1)
    assert event.traceparent == tracer.named(CALL).traceparent


async def test_without_traces_usage_tells_of_none(gateway: Any) -> None:
    await gateway.chat()
    (attempt,) = gateway.log.closed
    assert usage_event(attempt, "holder", 1).traceparent == ""


async def test_every_try_is_a_call_of_its_own(gateway: Any, tracer: KeepingTracer) -> None:
    gateway.sim.script(status=503, fail_times=2)
    answer = await gateway.chat()
    assert answer.error is None
    found = [(span.error, span.is_ours, span.attributes["hive.outcome"]) for span in calls(tracer)]
    assert found == [("upstream_failed", True, "refused")] * 2 + [("", False, "answered")]
    assert [span.attributes["hive.call"] for span in calls(tracer)] == [1, 2, 3]


async def test_a_stream_that_breaks_says_so(gateway: Any, tracer: KeepingTracer) -> None:
    gateway.sim.script(cut_after=3, chunk_delay=0.01)
    answer = await gateway.chat(stream=True)
    assert answer.error is not None
    call, process = tracer.named(CALL), tracer.named("process chat/completions")
    assert (call.error, call.attributes["hive.outcome"], call.ended) == ("upstream_failed", "broken", 1)
    assert (process.error, process.is_ours) == ("upstream_failed", True)


async def test_a_caller_who_leaves_is_no_failure(gateway: Any, tracer: KeepingTracer) -> None:
    gateway.sim.script(first_chunk_delay=30)
    call = gateway.start(
        "POST", "/v1/chat/completions", {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
    )
    async with asyncio.timeout(5):
        while not calls(tracer):
            await asyncio.sleep(0)
    call.task.cancel()
    await asyncio.gather(call.task, return_exceptions=True)
    (span,) = calls(tracer)
    assert (span.error, span.is_ours, span.ended) == ("cancelled", False, 1)
    name = 'hive_requests_total{code="499",method="chat/completions",service="routing"}'
    assert samples(gateway)[name] == 1


@pytest.mark.cached
async def test_an_answer_that_is_given_again_is_no_call(gateway: Any, tracer: KeepingTracer) -> None:
    await gateway.chat()
    await gateway.chat()
    assert len(calls(tracer)) == 1
    _, again = gateway.log.closed
    process = [span for span in tracer.spans if span.name.startswith("process")][1]
    assert usage_event(again, "holder", 1).traceparent == process.traceparent
    assert [span.ended for span in tracer.spans] == [1, 1, 1]
    figures = samples(gateway)
    assert sum(value for name, value in figures.items() if name.startswith("hive_model_calls_total")) == 1


async def test_figures_by_model(gateway: Any) -> None:
    gateway.sim.script(status=500, model="gpt-4o-real", fail_times=1)
    answer = await gateway.chat(stream=True)
    figures = samples(gateway)
    place = 'model="gpt-4o"'
    failed, answered = (
        f'hive_model_calls_total{{error="{error}",{place},outcome="{outcome}",provider="sim"}}'
        for error, outcome in (("upstream_failed", "refused"), ("", "answered"))
    )
    assert figures[failed] == figures[answered] == 1
    assert figures[f'hive_model_call_seconds_count{{{place},provider="sim"}}'] == 2
    assert figures[f'hive_model_first_token_seconds_count{{{place},provider="sim"}}'] == 1
    used = {"prompt": answer.usage.prompt_tokens, "completion": answer.usage.completion_tokens}
    for kind, count in used.items():
        assert figures[f'hive_model_tokens_total{{kind="{kind}",{place},provider="sim"}}'] == count
    ok = 'hive_requests_total{code="200",method="chat/completions",service="routing"}'
    assert figures[ok] == 1


async def test_requests_that_are_refused_count_by_their_status(gateway: Any) -> None:
    await gateway.chat(model="unknown")
    name = 'hive_requests_total{code="404",method="chat/completions",service="routing"}'
    assert samples(gateway)[name] == 1
