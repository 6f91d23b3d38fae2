"""One request, one trace: from the client's own span to the rows that are kept of it, as a collector receives it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings

from hive_testing.gateway import Gateway, Launch, Served
from hive_testing.http import RawAnswer, eventually
from hive_testing.simulator import SimulatorThread

CHAT = "/v1/chat/completions"
SECRET = "the launch code is swordfish"
STEPS = 7
"""Spans of one answered request: edge, routing, two of the guards, the model's call, billing, analytics."""


class Collector:
    """An OTLP receiver in a thread of its own; `spans` are all that it was sent."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self.spans: list[Span] = []
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._run()])

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        self._loop.close()

    async def _run(self) -> None:
        async with OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(self._port)) as tap:
            taking = asyncio.ensure_future(self._take(tap))
            self._ready.set()
            await self._over.wait()
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)

    async def _take(self, tap: OtelTapHttpProtobufReceiver) -> None:
        async for span in tap.stream_traces():
            self.spans.append(span)

    def of_trace(self, trace_id: str) -> list[Span]:
        return [span for span in [*self.spans] if span.trace_id.hex() == trace_id]

    def trace(self, trace_id: str, steps: int = STEPS) -> Trace:
        """All of a trace, once so many spans of it are here."""
        try:
            eventually(lambda: len(self.of_trace(trace_id)) >= steps, 20, f"{steps} spans of the trace")
        except AssertionError as error:
            names = [span.name for span in self.of_trace(trace_id)]
            raise AssertionError(f"{error}; there are {names}") from None
        return Trace(self.of_trace(trace_id))

    def trace_of(self, answer: RawAnswer, steps: int = STEPS) -> Trace:
        """The trace that an answer belongs to."""
        number = answer.headers["x-request-id"]

        def found() -> str:
            return next(
                (
                    each.trace_id.hex()
                    for each in [*self.spans]
                    if said(each).get("hive.request_id") == number
                ),
                "",
            )

        return self.trace(eventually(found, 20, "the trace of the request"), steps)


class Trace:
    def __init__(self, spans: list[Span]) -> None:
        self.spans = spans

    def __getitem__(self, name: str) -> Span:
        """The only span whose name begins so."""
        found = [span for span in self.spans if span.name.startswith(name)]
        assert len(found) == 1, [span.name for span in self.spans]
        return found[0]

    def parent(self, name: str) -> str:
        """The name of the span above one; empty where it is not of this trace's spans here."""
        number = self[name].parent_span_id
        return next((span.name for span in self.spans if span.span_id == number), "")


def said(span: Span) -> dict[str, Any]:
    """The attributes as plain values."""
    found: dict[str, Any] = {}
    for each in span.attributes:
        kind = each.value.WhichOneof("value") or "string_value"
        value = getattr(each.value, kind)
        found[each.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return found


def client_span() -> tuple[str, str, str]:
    """A trace of the client's own: its id, that of its span, and the header that says so."""
    trace_id, span_id = os.urandom(16).hex(), os.urandom(8).hex()
    return trace_id, span_id, f"00-{trace_id}-{span_id}-01"


def body(model: str = "gpt-4o", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": SECRET}], **more}


def ask(gateway: Served, wanted: dict[str, Any], **headers: str) -> RawAnswer:
    headers["authorization"] = f"Bearer {gateway.key}"
    return gateway.public.ask("POST", CHAT, wanted, headers)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


def settings(collector_url: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector_url, "OTEL_BSP_SCHEDULE_DELAY": "100"}


@pytest.fixture(scope="module")
def traced(catalogue: dict[str, Any], launch: Launch, collector: Collector) -> Iterator[Served]:
    with launch("traced", catalogue, {"edge": 1, "routing": 1}, **settings(collector.url)) as running:
        yield running


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_one_trace_leads_from_the_client_to_the_rows(
    traced: Served, collector: Collector, simulator: SimulatorThread, stream: bool
) -> None:
    trace_id, client, header = client_span()
    assert ask(traced, body(stream=stream), traceparent=header).status == 200
    trace = collector.trace(trace_id)
    edge = trace["POST /chat/completions"]
    assert edge.parent_span_id.hex() == client
    assert edge.kind == Span.SPAN_KIND_SERVER
    assert trace.parent("process chat/completions") == edge.name
    assert trace["process"].kind == Span.SPAN_KIND_CONSUMER
    assert trace.parent("guard input") == "process chat/completions"
    assert trace.parent("decide input") == "guard input"
    assert trace.parent("chat gpt-4o") == "process chat/completions"
    assert trace.parent("settle usage") == "chat gpt-4o"
    assert trace.parent("INSERT usage") == "chat gpt-4o"
    assert len(trace.spans) == STEPS
    assert all(span.status.code != Status.STATUS_CODE_ERROR for span in trace.spans)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_the_models_call_says_what_the_conventions_want(
    traced: Served, collector: Collector, simulator: SimulatorThread, stream: bool
) -> None:
    trace_id, _, header = client_span()
    assert ask(traced, body(stream=stream), traceparent=header).status == 200
    call = collector.trace(trace_id)["chat gpt-4o"]
    attributes = said(call)
    assert call.kind == Span.SPAN_KIND_CLIENT
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "sim",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.stream": stream,
        "gen_ai.response.model": "gpt-4o",
        "gen_ai.response.finish_reasons": ["stop"],
        "server.address": "127.0.0.1",
        "hive.outcome": "answered",
    }
    assert {name: attributes[name] for name in expected} == expected
    assert attributes["gen_ai.usage.input_tokens"] > 0
    assert attributes["gen_ai.usage.output_tokens"] > 0
    assert ("gen_ai.response.time_to_first_chunk" in attributes) is stream


def test_nothing_of_what_was_said_is_told(
    traced: Served, collector: Collector, simulator: SimulatorThread
) -> None:
    trace_id, _, header = client_span()
    assert ask(traced, body(), traceparent=header).status == 200
    assert ask(traced, body(temperature=SECRET), traceparent=header).status == 400
    trace = collector.trace(trace_id, STEPS + 2)
    told = b"".join(span.SerializeToString() for span in trace.spans)
    assert b"swordfish" not in told
    assert traced.key.encode() not in told


def test_a_batch_links_to_the_traces_of_its_rows(
    traced: Served, collector: Collector, simulator: SimulatorThread
) -> None:
    trace_id, _, header = client_span()
    assert ask(traced, body(), traceparent=header).status == 200
    trace = collector.trace(trace_id)
    for name in ("settle usage", "INSERT usage"):
        mine = trace[name]
        (whole,) = mine.links
        number = whole.trace_id.hex()
        batch = eventually(partial(collector.of_trace, number), what=name)[0]
        assert batch.name == name and not batch.parent_span_id
        assert trace["chat gpt-4o"].span_id in [link.span_id for link in batch.links]


def test_a_caller_without_a_trace_gets_one(
    traced: Served, collector: Collector, simulator: SimulatorThread
) -> None:
    for headers in ({}, {"traceparent": "nonsense"}):
        answer = ask(traced, body(), **headers)
        trace = collector.trace_of(answer)
        assert not trace["POST /chat/completions"].parent_span_id
        assert said(trace["INSERT usage"])["db.system.name"] == "clickhouse"


def test_what_the_caller_does_not_sample_is_not_told(
    traced: Served, collector: Collector, simulator: SimulatorThread
) -> None:
    unsampled, _, header = client_span()
    assert ask(traced, body(), traceparent=header[:-1] + "0").status == 200
    sampled, _, header = client_span()
    assert ask(traced, body(), traceparent=header).status == 200
    collector.trace(sampled)
    assert collector.of_trace(unsampled) == []


def test_every_try_is_a_span_and_says_how_it_failed(
    traced: Served, collector: Collector, simulator: SimulatorThread
) -> None:
    model = traced.add_model(fallbacks=["backup"])
    simulator.script(model=model, status=500)
    trace_id, _, header = client_span()
    assert ask(traced, body(model), traceparent=header).status == 200
    trace = Trace(collector.trace(trace_id, STEPS + 3).spans)
    tries = [span for span in trace.spans if span.name == f"chat {model}"]
    assert [said(span)["hive.call"] for span in tries] == [1, 2, 3]
    assert {said(span)["error.type"] for span in tries} == {"upstream_failed"}
    assert {span.status.code for span in tries} == {Status.STATUS_CODE_ERROR}
    assert said(trace["chat backup"])["hive.call"] == 4
    assert trace["POST"].status.code != Status.STATUS_CODE_ERROR


def test_a_refusal_is_the_callers_and_no_failure(
    traced: Served, collector: Collector, simulator: SimulatorThread
) -> None:
    trace_id, _, header = client_span()
    assert ask(traced, body("no-such-model"), traceparent=header).status == 404
    edge = collector.trace(trace_id, 2)["POST"]
    assert said(edge)["error.type"] == "not_found"
    assert said(edge)["http.response.status_code"] == 404
    assert edge.status.code != Status.STATUS_CODE_ERROR


def test_providers_hear_nothing_of_the_trace_by_default(traced: Served, simulator: SimulatorThread) -> None:
    assert ask(traced, body(), traceparent=client_span()[2]).status == 200
    (call,) = simulator.calls
    assert "traceparent" not in {name.lower() for name in call.headers}


@pytest.mark.embedded
def test_providers_hear_of_it_where_they_are_to(
    catalogue: dict[str, Any], collector: Collector, simulator: SimulatorThread, tmp_path: Path
) -> None:
    with Gateway(tmp_path, catalogue, HIVE_TRACE_PROVIDERS="1", **settings(collector.url)) as gateway:
        trace_id, _, header = client_span()
        assert ask(gateway, body(), traceparent=header).status == 200
        (call,) = simulator.calls
        named = call.headers["traceparent"].split("-")
        span = collector.trace(trace_id)["chat gpt-4o"]
        assert named[1:3] == [span.trace_id.hex(), span.span_id.hex()]


@pytest.mark.embedded
def test_a_collector_that_is_away_costs_nobody_anything(
    catalogue: dict[str, Any], simulator: SimulatorThread, tmp_path: Path
) -> None:
    away = settings("http://127.0.0.1:1") | {"OTEL_BSP_MAX_QUEUE_SIZE": "20"}
    with Gateway(tmp_path, catalogue, **away) as gateway:
        for _ in range(20):
            assert ask(gateway, body()).status == 200
        eventually(lambda: gateway.metrics()["hive_trace_spans_lost_total"] > 0, what="the loss of spans")
        assert len([line for line in gateway.log.splitlines() if "collector" in line]) <= 1
    assert len([line for line in gateway.log.splitlines() if "collector" in line]) <= 1
    assert gateway.complaints() == []


@pytest.mark.embedded
def test_log_lines_say_of_which_request_and_trace_they_are(
    traced: Gateway, collector: Collector, simulator: SimulatorThread
) -> None:
    model = traced.add_model()
    simulator.script(model=model, status=500)
    trace_id, _, header = client_span()
    answer = ask(traced, body(model), traceparent=header)
    assert answer.status == 502
    lines = [
        json.loads(line) for line in traced.log.splitlines() if "attempt failed" in line and model in line
    ]
    assert lines
    number = answer.headers["x-request-id"]
    spans = {span.span_id.hex() for span in collector.trace(trace_id, STEPS + 6).spans}
    for line in lines:
        assert line["trace_id"] == trace_id
        assert line["span_id"] in spans
        assert line["request_id"].startswith(number)


@pytest.mark.embedded
def test_without_a_collector_nothing_of_the_sdk_is_imported(
    catalogue: dict[str, Any], simulator: SimulatorThread, tmp_path: Path
) -> None:
    """The API may be, from the first request to the admin API on: FastAPI looks for it by itself."""
    with Gateway(tmp_path, catalogue, PYTHONPROFILEIMPORTTIME="1") as gateway:
        assert ask(gateway, body(), traceparent=client_span()[2]).status == 200
        eventually(lambda: gateway.metrics()["hive_edge_in_flight"] == 0)
    imported = [
        line.rpartition("|")[2].strip() for line in gateway.log.splitlines() if "import time:" in line
    ]
    assert "hive_runtime.tracing" in imported
    ours = ("opentelemetry.sdk", "opentelemetry.exporter", "hive_runtime.otel.sdk")
    assert [name for name in imported if name.startswith(ours)] == []
