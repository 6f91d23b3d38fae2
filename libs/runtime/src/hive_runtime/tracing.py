"""Traces: what one request causes, in whichever process it happens. Nothing of it costs anything until `install`.

    with tracing.span("settle usage", Role.CONSUMER, tracing.parent(event.traceparent)) as span:
        span.set("hive.rows", 3)

A span is *current* within its `with`, for the spans and the log lines that come of it. What goes to another process
takes the current one along as W3C strings: `headers` in a record, `outgoing` in a call, a field of a message; and
there `context_of`, `incoming` or `parent` make it current again. `contextvars` carry it within a task and to the
tasks that it starts: what outlives the request is to be started in `detached`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from enum import IntEnum
from typing import Protocol

from hive_runtime.errors import HiveError

Value = str | bool | int | float | Sequence[str]
Pairs = list[tuple[str, bytes]]

MOST_LINKS = 128
"""Of a batch's span, to the traces of its rows."""
MOST_TOLD = 512
"""Rows of a batch that get a span of their own, in their request's trace."""
MOST_STATE_CHARS = 512

_WELL_FORMED = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_OF_VERSION_0 = 55


class Role(IntEnum):
    """What a span is in the exchange that it is part of; numbers as OpenTelemetry's kinds."""

    INTERNAL = 0
    SERVER = 1
    CLIENT = 2
    PRODUCER = 3
    CONSUMER = 4


class Span:
    """One step of a request, as others refer to it; this one is nothing, or another process's.

    traceparent: as W3C wrote it down; empty: there is none. is_recording: what is set is told to somebody.
    """

    __slots__ = ("traceparent", "tracestate")
    is_recording = False

    def __init__(self, traceparent: str = "", tracestate: str = "") -> None:
        self.traceparent = traceparent
        self.tracestate = tracestate

    @property
    def is_sampled(self) -> bool:
        return len(self.traceparent) >= _OF_VERSION_0 and int(self.traceparent[53:55], 16) & 1 == 1

    def set(self, name: str, value: Value) -> None:
        """Say something about it; never a text of a prompt or an answer, never a key."""

    def fail(self, error: str, *, ours: bool = True) -> None:
        """error: a label, never a text. ours: it is a failure, and not what the caller brought about."""

    def end(self, after_us: int | None = None) -> None:
        """It is over. after_us: so long after its start; else now."""


NOTHING = Span()


class Tracer(Protocol):
    """Who makes spans, and sees to it that they get somewhere. Never blocks, never raises."""

    @property
    def lost(self) -> int:
        """Spans that nobody will hear of, since the start."""
        ...

    def start(
        self,
        name: str,
        role: Role,
        parent: Span,
        attributes: Mapping[str, Value] | None = None,
        links: Sequence[Span] = (),
    ) -> Span:
        """parent: NOTHING begins a new trace."""
        ...


_tracer: Tracer | None = None
_current: ContextVar[Span] = ContextVar("span", default=NOTHING)
_request_id: ContextVar[str] = ContextVar("request_id", default="")


class _Off(AbstractContextManager[Span]):
    __slots__ = ()

    def __enter__(self) -> Span:
        return NOTHING

    def __exit__(self, *error: object) -> None:
        pass


OFF: AbstractContextManager[Span] = _Off()
"""What `span` gives while traces are off."""


def install(tracer: Tracer | None) -> None:
    """From now on spans go to `tracer`; None: to nobody."""
    global _tracer
    _tracer = tracer


def is_on() -> bool:
    return _tracer is not None


def lost() -> int:
    """Spans that nobody will hear of, since the start."""
    return 0 if _tracer is None else _tracer.lost


def current() -> Span:
    return _current.get()


def note_request(request_id: str) -> None:
    """From now on the log lines of this task, and of those that it starts, bear the request's id."""
    _request_id.set(request_id)


def identity() -> dict[str, str]:
    """What a log line says of where it belongs: `request_id`, `trace_id` and `span_id`, as far as they are known."""
    found = {}
    if request_id := _request_id.get():
        found["request_id"] = request_id
    if traceparent := _current.get().traceparent:
        found["trace_id"], found["span_id"] = traceparent[3:35], traceparent[36:52]
    return found


# Spans of this process


def start(
    name: str,
    role: Role = Role.INTERNAL,
    parent: Span | None = None,
    attributes: Mapping[str, Value] | None = None,
) -> Span:
    """A span that is not current, and has to be ended; its parent is the current one by default."""
    if _tracer is None:
        return NOTHING
    return _tracer.start(name, role, _current.get() if parent is None else parent, attributes)


def span(
    name: str,
    role: Role = Role.INTERNAL,
    parent: Span | None = None,
    attributes: Mapping[str, Value] | None = None,
) -> AbstractContextManager[Span]:
    """A span that is current, and ends with the `with`; what escapes that is its error."""
    if _tracer is None:
        return OFF
    return _Current(
        _tracer.start(name, role, _current.get() if parent is None else parent, attributes), ends=True
    )


def within(span: Span) -> AbstractContextManager[Span]:
    """Make a span current, without an end of it."""
    return _Current(span, ends=False) if span.traceparent else OFF


class _Current(AbstractContextManager[Span]):
    __slots__ = ("_ends", "_span", "_token")

    def __init__(self, span: Span, *, ends: bool) -> None:
        self._span = span
        self._ends = ends

    def __enter__(self) -> Span:
        self._token = _current.set(self._span)
        return self._span

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        with suppress(ValueError):  # a generator that is closed from elsewhere: its context is gone
            _current.reset(self._token)
        if self._ends:
            if error is not None:
                fail_with(self._span, error)
            self._span.end()


def fail_with(span: Span, error: BaseException) -> None:
    """The span ends for this reason."""
    if isinstance(error, HiveError):
        span.fail(error.kind.label, ours=error.status >= 500)
    elif isinstance(error, Exception):
        span.fail(type(error).__name__)
    else:  # cancelled: nobody waits any more
        span.fail("cancelled", ours=False)


@contextmanager
def batch(
    name: str,
    traceparents: Iterable[str],
    role: Role = Role.CONSUMER,
    attributes: Mapping[str, Value] | None = None,
) -> Iterator[Span]:
    """One step for many requests: a span of its own with links to their traces, and one in each of these.

    traceparents: of the rows; empty ones and those that are not sampled count for nothing. Where none is left, there
    is no span at all.
    """
    tracer = _tracer
    if tracer is None:
        yield NOTHING
        return
    parents = [each for each in map(parent, dict.fromkeys(traceparents)) if each.is_sampled]
    if not parents:
        yield NOTHING
        return
    whole = tracer.start(name, role, NOTHING, attributes, parents[:MOST_LINKS])
    links = [whole] if whole.traceparent else []
    each_of = [tracer.start(name, role, each, attributes, links) for each in parents[:MOST_TOLD]]
    try:
        with _Current(whole, ends=False):
            yield whole
    except BaseException as error:
        for each in (whole, *each_of):
            fail_with(each, error)
        raise
    finally:
        for each in (whole, *each_of):
            each.end()


# From and to other processes


def parent(traceparent: str, tracestate: str = "") -> Span:
    """Another process's span; NOTHING where the words are not well-formed, or nobody is told anyway."""
    if _tracer is None or not is_well_formed(traceparent):
        return NOTHING
    return Span(traceparent, tracestate if len(tracestate) <= MOST_STATE_CHARS else "")


def is_well_formed(traceparent: str) -> bool:
    """A version to come may have more to say behind what is known; version 0 may not."""
    if len(traceparent) < _OF_VERSION_0 or _WELL_FORMED.fullmatch(traceparent) is None:
        return False
    return len(traceparent) == _OF_VERSION_0 or not traceparent.startswith("00")


def headers() -> Pairs:
    """The current span as headers of a record."""
    span = _current.get()
    if not span.traceparent:
        return []
    found = [("traceparent", span.traceparent.encode())]
    if span.tracestate:
        found.append(("tracestate", span.tracestate.encode()))
    return found


def context_of(headers: Iterable[tuple[str, bytes | None]]) -> AbstractContextManager[Span]:
    """Make the span that a record's headers name current, while it is handled."""
    return OFF if _tracer is None else within(_parent_in(headers))


def outgoing() -> list[tuple[str, str]]:
    """The current span as metadata of a call."""
    span = _current.get()
    if not span.traceparent:
        return []
    found = [("traceparent", span.traceparent)]
    if span.tracestate:
        found.append(("tracestate", span.tracestate))
    return found


def incoming(metadata: Iterable[tuple[str, str | bytes]], method: str = "") -> AbstractContextManager[Span]:
    """Make the span that a call's metadata names current, or, where it names one, a span `method` below that."""
    if _tracer is None:
        return OFF
    caller = _parent_in(metadata)
    if not method or not caller.traceparent:
        return within(caller)
    return span(method, Role.SERVER, caller, {"rpc.system.name": "grpc", "rpc.method": method})


@contextmanager
def detached() -> Iterator[None]:
    """What is started here belongs to no request: a task that outlives the one that starts it."""
    tokens = _current.set(NOTHING), _request_id.set("")
    try:
        yield
    finally:
        _current.reset(tokens[0])
        _request_id.reset(tokens[1])


def _parent_in(pairs: Iterable[tuple[str, str | bytes | None]]) -> Span:
    found = {name: value for name, value in pairs if name in ("traceparent", "tracestate")}
    return parent(_text(found.get("traceparent")), _text(found.get("tracestate")))


def _text(value: str | bytes | None) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value or ""
