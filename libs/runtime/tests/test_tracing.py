"""Spans: what is current, what travels as W3C strings, and that nothing happens while nobody listens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from hive_runtime import tracing
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tracing import NOTHING, Role
from hive_testing.spans import KeepingTracer, KeptSpan, kept_spans

TRACE, SPAN = "ab" * 16, "cd" * 8
PARENT = f"00-{TRACE}-{SPAN}-01"
UNSAMPLED = f"00-{TRACE}-{SPAN}-00"


@pytest.fixture
def tracer() -> Iterator[KeepingTracer]:
    with kept_spans() as keeping:
        yield keeping


def test_while_nobody_listens_there_are_no_spans_and_nothing_travels() -> None:
    with tracing.span("step", Role.SERVER, tracing.parent(PARENT)) as span:
        assert span is NOTHING
        assert tracing.headers() == [] and tracing.outgoing() == []
        with (
            tracing.context_of([("traceparent", PARENT.encode())]),
            tracing.incoming([("traceparent", PARENT)]),
        ):
            assert tracing.current() is NOTHING
    with tracing.batch("rows", [PARENT]) as whole:
        assert whole is NOTHING
    assert tracing.start("step") is NOTHING
    assert not tracing.is_on()


def test_a_span_is_current_within_its_with_and_the_parent_of_those_in_it(tracer: KeepingTracer) -> None:
    with tracing.span("outer", Role.SERVER) as outer:
        with tracing.span("inner", attributes={"rows": 3}) as inner:
            assert tracing.current() is inner
        assert tracing.current() is outer
    assert tracing.current() is NOTHING
    assert tracer.under(outer) == ["inner"]
    assert tracer.named("inner").attributes == {"rows": 3}
    assert [span.ended for span in tracer.spans] == [1, 1]


async def test_tasks_that_a_request_starts_belong_to_it_and_detached_ones_do_not(
    tracer: KeepingTracer,
) -> None:
    async def step(name: str) -> dict[str, str]:
        with tracing.span(name):
            return tracing.identity()

    tracing.note_request("req_1")
    with tracing.span("request") as request:
        mine = asyncio.ensure_future(step("mine"))
        with tracing.detached():
            nobodys = asyncio.ensure_future(step("nobody's"))
        assert tracing.current() is request
        said, alone = await asyncio.gather(mine, nobodys)
    assert tracer.under(request) == ["mine"]
    assert said["request_id"] == "req_1" and said["trace_id"] == request.traceparent[3:35]
    assert "request_id" not in alone and alone["trace_id"] != said["trace_id"]
    tracing.note_request("")


@pytest.mark.parametrize(
    ("error", "label", "is_ours"),
    [
        (HiveError(Kind.INVALID, "words of the caller"), "invalid", False),
        (HiveError(Kind.UPSTREAM_FAILED, "words"), "upstream_failed", True),
        (ValueError("words"), "ValueError", True),
        (asyncio.CancelledError(), "cancelled", False),
    ],
    ids=["caller's", "provider's", "ours", "cancelled"],
)
def test_what_escapes_is_the_error_by_a_label_and_never_by_its_words(
    tracer: KeepingTracer, error: BaseException, label: str, is_ours: bool
) -> None:
    with pytest.raises(type(error)), tracing.span("step"):
        raise error
    span = tracer.named("step")
    assert (span.error, span.is_ours, span.ended) == (label, is_ours, 1)
    assert span.attributes == {}


@pytest.mark.parametrize(
    "words",
    [
        "",
        "nonsense",
        PARENT.upper(),
        PARENT + "-more",
        PARENT[:-1],
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        PARENT + "\r\nx-evil: 1",
    ],
)
def test_what_is_no_traceparent_is_none(tracer: KeepingTracer, words: str) -> None:
    assert not tracing.is_well_formed(words)
    assert tracing.parent(words) is NOTHING
    with tracing.context_of([("traceparent", words.encode())]) as span:
        assert span is NOTHING


def test_a_version_to_come_may_say_more(tracer: KeepingTracer) -> None:
    assert tracing.is_well_formed(f"01-{TRACE}-{SPAN}-01-more")


def test_a_trace_travels_in_a_records_headers(tracer: KeepingTracer) -> None:
    with tracing.span("publish", Role.PRODUCER, tracing.parent(PARENT, "vendor=1")):
        headers = tracing.headers()
    assert [name for name, _ in headers] == ["traceparent", "tracestate"]
    with tracing.context_of([("other", None), *headers]), tracing.span("handle", Role.CONSUMER):
        pass
    handle = tracer.named("handle")
    assert handle.traceparent[3:35] == TRACE
    assert handle.parent.traceparent == tracer.named("publish").traceparent
    assert handle.tracestate == "vendor=1"


def test_a_trace_travels_in_a_calls_metadata(tracer: KeepingTracer) -> None:
    with tracing.span("call", Role.CLIENT):
        metadata = tracing.outgoing()
    with tracing.incoming(metadata) as there, tracing.span("step"):
        assert there.traceparent == tracer.named("call").traceparent
    with tracing.incoming(metadata, "modelhive.billing.v1.Leases/Acquire") as served:
        assert isinstance(served, KeptSpan) and served.role is Role.SERVER
    assert tracer.under(tracer.named("call")) == ["step", "modelhive.billing.v1.Leases/Acquire"]
    with tracing.incoming([], "modelhive.billing.v1.Leases/Acquire") as nobodys:
        assert nobodys is NOTHING


def test_a_batch_links_to_the_traces_of_its_rows_and_shows_in_each(tracer: KeepingTracer) -> None:
    rows = [f"00-{number:032x}-{SPAN}-01" for number in range(1, 4)]
    with tracing.batch("INSERT", [*rows, rows[0], "", UNSAMPLED, "nonsense"], Role.CLIENT) as whole:
        assert tracing.current() is whole
    spans = [span for span in tracer.spans if span is not whole]
    assert isinstance(whole, KeptSpan) and whole.parent is NOTHING and whole.links == rows
    assert [span.parent.traceparent for span in spans] == rows
    assert all(span.links == [whole.traceparent] and span.ended == 1 for span in spans)


def test_a_batch_of_many_rows_has_a_bounded_number_of_links_and_spans(tracer: KeepingTracer) -> None:
    rows = [f"00-{number:032x}-{SPAN}-01" for number in range(1, 1001)]
    with tracing.batch("INSERT", rows) as whole:
        pass
    assert isinstance(whole, KeptSpan) and len(whole.links) == tracing.MOST_LINKS
    assert len(tracer.spans) == tracing.MOST_TOLD + 1


def test_a_batch_of_which_nothing_is_sampled_makes_no_span(tracer: KeepingTracer) -> None:
    with tracing.batch("INSERT", [UNSAMPLED, ""]):
        pass
    assert tracer.spans == []


def test_a_batch_that_fails_fails_in_every_trace(tracer: KeepingTracer) -> None:
    with pytest.raises(HiveError), tracing.batch("INSERT", [PARENT]):
        raise HiveError(Kind.UNAVAILABLE, "words")
    assert [(span.error, span.ended) for span in tracer.spans] == [("unavailable", 1)] * 2
