"""The tracer over the OpenTelemetry SDK: samples, makes spans, and hands those that ended to `Sender`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.span import Span as SdkSpan
from opentelemetry.trace.span import SpanContext, TraceFlags, TraceState

from hive_runtime.otel.sending import Sender, quieten
from hive_runtime.otel.settings import TracingSettings
from hive_runtime.tracing import Role, Span, Value

SCOPE: Final = "modelhive"
_KINDS: Final = {role: trace.SpanKind(role.value) for role in Role}
_NO_PARENT: Final = Context()
_ERROR: Final = trace.Status(trace.StatusCode.ERROR)


class RecordedSpan(Span):
    """A span of this process; where it is not sampled it is passed on, and nothing of it is kept."""

    __slots__ = ("_span", "is_recording")

    def __init__(self, span: SdkSpan) -> None:
        context = span.get_span_context()
        super().__init__(
            f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}",
            context.trace_state.to_header() if context.trace_state else "",
        )
        self._span = span
        self.is_recording = span.is_recording()

    def set(self, name: str, value: Value) -> None:
        if self.is_recording:
            self._span.set_attribute(name, value)

    def fail(self, error: str, *, ours: bool = True) -> None:
        if self.is_recording:
            self._span.set_attribute("error.type", error)
            if ours:
                self._span.set_status(_ERROR)

    def end(self, after_us: int | None = None) -> None:
        if not self.is_recording:
            return
        self.is_recording = False
        began = getattr(self._span, "start_time", None)
        self._span.end(None if after_us is None or began is None else began + after_us * 1000)


class SdkTracer:
    def __init__(self, tracer: trace.Tracer, sender: Sender) -> None:
        self._tracer = tracer
        self._sender = sender

    @property
    def lost(self) -> int:
        return self._sender.lost

    def start(
        self,
        name: str,
        role: Role,
        parent: Span,
        attributes: Mapping[str, Value] | None = None,
        links: Sequence[Span] = (),
    ) -> Span:
        return RecordedSpan(
            self._tracer.start_span(
                name,
                _below(parent),
                _KINDS[role],
                attributes,
                [trace.Link(_context_of(link)) for link in links] if links else None,
                record_exception=False,
                set_status_on_exception=False,
            )
        )


def start_sending(settings: TracingSettings, service: str, instance: str) -> tuple[SdkTracer, Sender]:
    """Spans leave from now on, in a thread of their own."""
    quieten()
    sender = Sender(
        OTLPSpanExporter(),
        most=settings.bsp_max_queue_size,
        together=min(settings.bsp_max_export_batch_size, settings.bsp_max_queue_size),
        delay=settings.bsp_schedule_delay / 1000,
    )
    provider = TracerProvider(resource=_resource(service, instance), shutdown_on_exit=False)
    provider.add_span_processor(sender)
    return SdkTracer(provider.get_tracer(SCOPE), sender), sender


def _resource(service: str, instance: str) -> Resource:
    """What the standard variables say of this process comes before what it says itself."""
    said = Resource.create()
    named = {name: value for name, value in said.attributes.items() if value != "unknown_service"}
    own = {"service.name": service, "service.namespace": SCOPE, "service.instance.id": instance}
    return said.merge(Resource({**own, **named}))


def _below(parent: Span) -> Context:
    if isinstance(parent, RecordedSpan):
        return trace.set_span_in_context(parent._span, _NO_PARENT)
    if not parent.traceparent:
        return _NO_PARENT
    return trace.set_span_in_context(trace.NonRecordingSpan(_context_of(parent)), _NO_PARENT)


def _context_of(span: Span) -> SpanContext:
    if isinstance(span, RecordedSpan):
        return span._span.get_span_context()
    words = span.traceparent
    return SpanContext(
        trace_id=int(words[3:35], 16),
        span_id=int(words[36:52], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(words[53:55], 16)),
        trace_state=TraceState.from_header([span.tracestate]) if span.tracestate else None,
    )
