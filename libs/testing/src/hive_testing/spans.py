"""Spans for tests: a tracer that keeps what it is told, in the form of a small tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count

from hive_runtime import tracing
from hive_runtime.tracing import Role, Span, Value


class KeptSpan(Span):
    """What was said of a span. error: its label. after_us: how long it took, where that was told."""

    is_recording = True

    def __init__(self, name: str, role: Role, parent: Span, number: int) -> None:
        trace = parent.traceparent[3:35] or f"{number:032x}"
        super().__init__(f"00-{trace}-{number:016x}-01", parent.tracestate)
        self.name = name
        self.role = role
        self.parent = parent
        self.links: list[str] = []
        self.attributes: dict[str, Value] = {}
        self.error = ""
        self.is_ours = False
        self.ended = 0
        self.after_us: int | None = None

    def set(self, name: str, value: Value) -> None:
        self.attributes[name] = value

    def fail(self, error: str, *, ours: bool = True) -> None:
        self.error, self.is_ours = error, ours

    def end(self, after_us: int | None = None) -> None:
        self.ended += 1
        self.after_us = after_us


class KeepingTracer:
    """spans: in the order of their starts."""

    lost = 0

    def __init__(self) -> None:
        self.spans: list[KeptSpan] = []
        self._numbers = count(1)

    def start(
        self,
        name: str,
        role: Role,
        parent: Span,
        attributes: Mapping[str, Value] | None = None,
        links: Sequence[Span] = (),
    ) -> Span:
        span = KeptSpan(name, role, parent, next(self._numbers))
        span.attributes.update(attributes or {})
        span.links = [link.traceparent for link in links]
        self.spans.append(span)
        return span

    def named(self, name: str) -> KeptSpan:
        """The only one of that name."""
        (found,) = (span for span in self.spans if span.name == name)
        return found

    def under(self, parent: Span) -> list[str]:
        """The names of the spans below one."""
        return [span.name for span in self.spans if span.parent.traceparent == parent.traceparent]


@contextmanager
def kept_spans() -> Iterator[KeepingTracer]:
    """Traces are on, and kept here."""
    tracer = KeepingTracer()
    tracing.install(tracer)
    try:
        yield tracer
    finally:
        tracing.install(None)
