"""Traces over the SDK: switched on by the standard variables, bounded, and never in anybody's way."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode
from structlog.testing import capture_logs

from hive_runtime import tracing
from hive_runtime.clock import SystemClock
from hive_runtime.otel import configure_tracing
from hive_runtime.otel.sdk import SdkTracer
from hive_runtime.otel.sending import COMPLAINT_SECONDS, Sender
from hive_runtime.tracing import Role
from hive_testing.http import eventually

TRACE, SPAN = "ab" * 16, "cd" * 8
PARENT = f"00-{TRACE}-{SPAN}-01"


class Collector(SpanExporter):
    """Takes what it is given, once it is open."""

    def __init__(self) -> None:
        self.taken: list[ReadableSpan] = []
        self.answer = SpanExportResult.SUCCESS
        self.open = threading.Event()
        self.asked = threading.Event()
        self.open.set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        assert self.open.wait(10)
        self.taken.extend(spans)
        return self.answer

    def shutdown(self) -> None:
        self.open.set()


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture
def sender(collector: Collector) -> Iterator[Sender]:
    made = Sender(collector, most=5, together=2, delay=0.01)
    yield made
    made.close(5)


@pytest.fixture
def tracer(sender: Sender) -> Iterator[SdkTracer]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(sender)
    made = SdkTracer(provider.get_tracer("test"), sender)
    tracing.install(made)
    yield made
    tracing.install(None)


def test_spans_reach_the_collector_with_what_was_said_of_them(
    tracer: SdkTracer, sender: Sender, collector: Collector
) -> None:
    with tracing.span("request", Role.SERVER, tracing.parent(PARENT, "vendor=1")) as request:
        request.set("rows", 3)
        call = tracing.start("call", Role.CLIENT)
        call.fail("upstream_failed")
        call.end(after_us=1500)
        call.end()
        call.set("too", "late")
    assert request.traceparent.startswith(f"00-{TRACE}-")
    assert request.tracestate == "vendor=1"
    sender.close(5)
    told = {span.name: span for span in collector.taken}
    assert set(told) == {"request", "call"}
    outer, inner = told["request"], told["call"]
    assert outer.parent is not None and f"{outer.parent.span_id:016x}" == SPAN
    assert outer.attributes == {"rows": 3}
    assert inner.parent is not None and outer.context is not None
    assert inner.parent.span_id == outer.context.span_id
    assert inner.status.status_code is StatusCode.ERROR
    assert inner.attributes == {"error.type": "upstream_failed"}
    assert inner.start_time is not None and inner.end_time == inner.start_time + 1_500_000


def test_what_the_caller_did_not_sample_is_passed_on_and_not_told(
    tracer: SdkTracer, sender: Sender, collector: Collector
) -> None:
    with tracing.span("request", Role.SERVER, tracing.parent(PARENT[:-1] + "0")) as request:
        assert not request.is_recording and not request.is_sampled
        assert request.traceparent[3:35] == TRACE
        assert tracing.outgoing() == [("traceparent", request.traceparent)]
    sender.close(5)
    assert collector.taken == []


def test_a_queue_that_is_full_costs_spans_and_counts_them(
    tracer: SdkTracer, sender: Sender, collector: Collector
) -> None:
    collector.open.clear()
    for _ in range(2):
        tracing.start("first").end()
    assert collector.asked.wait(5), "the first batch is under way"
    for _ in range(12):
        tracing.start("later").end()
    assert tracing.lost() == 7
    collector.open.set()
    sender.close(5)
    assert len(collector.taken) == 7


def test_a_collector_that_takes_nothing_is_told_of_once_a_minute(collector: Collector) -> None:
    clock = HeldClock()
    collector.answer = SpanExportResult.FAILURE
    sender = Sender(collector, most=100, together=1, delay=0.01, clock=clock)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(sender)
    maker = SdkTracer(provider.get_tracer("test"), sender)
    with capture_logs() as lines:
        for _ in range(10):
            maker.start("lost", Role.INTERNAL, tracing.NOTHING).end()
        eventually(lambda: sender.lost == 10, what="the loss of all spans")
        clock.time += COMPLAINT_SECONDS
        maker.start("lost", Role.INTERNAL, tracing.NOTHING).end()
        sender.close(5)
    assert [line["log_level"] for line in lines] == ["warning", "warning"]
    assert lines[1]["lost"] == sender.lost == 11


class HeldClock(SystemClock):
    time = 1000.0

    def monotonic(self) -> float:
        return self.time


def test_without_variables_traces_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    with configure_tracing("edge", "edge-0"):
        assert not tracing.is_on()


@pytest.mark.parametrize(
    "variables",
    [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}],
    ids=["disabled", "no exporter"],
)
def test_they_can_be_switched_off_where_a_collector_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with capture_logs() as lines, configure_tracing("edge", "edge-0"):
        assert not tracing.is_on()
    assert lines == []


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "zipkin"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "OTEL_BSP_MAX_QUEUE_SIZE"),
    ],
)
def test_what_cannot_be_done_is_said_and_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, word: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv(name, value)
    with capture_logs() as lines, configure_tracing("edge", "edge-0"):
        assert not tracing.is_on()
    assert [line["log_level"] for line in lines] == ["warning"]
    assert word in str(lines[0])


def test_a_collector_turns_them_on_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=gateway,team=x")
    with configure_tracing("edge", "edge-0") as configured:
        with tracing.span("request") as span:
            assert span.is_recording
        assert tracing.is_on()
    assert not tracing.is_on()
    configured.close()
