"""Spans on their way out: a bounded queue and a thread. A collector that is away costs spans, and nothing else."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Final

import structlog
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from hive_runtime.clock import Clock, SystemClock

log = structlog.get_logger(__name__)

COMPLAINT_SECONDS: Final = 60.0
"""Between two lines of the log about a collector that is away."""
LAST_EXPORT_SECONDS: Final = 0.5
"""After `close` gave up on it, so long is waited for the thread to notice."""


class Sender(SpanProcessor):
    """lost: spans for which there was no room, or that the collector did not take."""

    def __init__(
        self, exporter: SpanExporter, *, most: int, together: int, delay: float, clock: Clock | None = None
    ) -> None:
        """most: spans that wait. together: of one message. delay: seconds that a span waits for company."""
        self.lost = 0
        self._exporter = exporter
        self._most = most
        self._together = together
        self._delay = delay
        self._waiting: deque[ReadableSpan] = deque()
        self._woken = threading.Event()
        self._closing = False
        self._complaints = Complaints(clock or SystemClock())
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        context = span.get_span_context()
        if context is None or not context.trace_flags.sampled:
            return
        if len(self._waiting) >= self._most or self._closing:
            self.lost += 1
            return
        self._waiting.append(span)
        if len(self._waiting) >= self._together and not self._woken.is_set():
            self._woken.set()

    def close(self, seconds: float) -> None:
        """Send what waits, at most so long; what is left is lost."""
        self._closing = True
        self._woken.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            self.lost += len(self._waiting)
            self._waiting.clear()
        self._exporter.shutdown()  # it waits no longer for a collector that does not answer
        self._thread.join(LAST_EXPORT_SECONDS)

    def _run(self) -> None:
        while not self._closing:
            self._woken.wait(self._delay)
            self._woken.clear()
            self._send_all()
        self._send_all()

    def _send_all(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._together, len(self._waiting)))]
            try:
                sent = self._exporter.export(batch) is SpanExportResult.SUCCESS
            except Exception as error:  # of the exporter, whatever it is: spans are all that it may cost
                sent = False
                self._complaints.note(repr(error))
            if not sent:
                self.lost += len(batch)
                self._complaints.note("the collector took nothing", lost=self.lost)


class Complaints:
    """Says at most once in a while that something is wrong."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next = 0.0
        self._lock = threading.Lock()

    def note(self, problem: str, **more: object) -> None:
        with self._lock:
            now = self._clock.monotonic()
            if now < self._next:
                return
            self._next = now + COMPLAINT_SECONDS
        log.warning("traces do not get to their collector", problem=problem, **more)


class Silence(logging.Handler):
    """What the SDK has to say goes to the lines of `debug`: what matters of it, `Sender` says."""

    def emit(self, record: logging.LogRecord) -> None:
        log.debug("opentelemetry", said=record.getMessage(), of=record.name)


def quieten() -> None:
    """The SDK's own loggers say a line for each export that fails, and for each try of it."""
    logger = logging.getLogger("opentelemetry")
    if not any(isinstance(each, Silence) for each in logger.handlers):
        logger.addHandler(Silence())
        logger.propagate = False
