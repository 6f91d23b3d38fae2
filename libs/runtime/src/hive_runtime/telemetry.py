"""Logs and metrics of a process: structured lines on stderr, counters and histograms in one registry."""

from __future__ import annotations

import logging
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest

from hive_runtime import tracing
from hive_runtime.series import SECONDS, SHORT_SECONDS, Histogram, Readings, Tally

log = structlog.get_logger(__name__)

TOGETHER = 256
"""So many figures of one kind are put away at once, which costs each of them next to nothing; or as many as there are
when read."""


def configure_logging(level: str, form: str) -> None:
    """Write to stderr from now on; `form` is `json`, `text` or `auto` (text on a terminal)."""
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    # Rich tracebacks would show local variables, and among those are keys.
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer: Any = plain if text else structlog.processors.JSONRenderer()
    threshold = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _add_identity,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            *([] if text else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(threshold, logging.WARNING), stream=sys.stderr, force=True)


def _add_identity(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Of which request and of which trace a line is; what it says of that itself comes first."""
    return {**tracing.identity(), **event}


def report_lost_task(name: str, error: BaseException) -> None:
    """What becomes of a task's exception that nobody awaited."""
    log.error("task failed", task=name, error=repr(error), exc_info=error)


class Metrics:
    """The counters and gauges of one process, as Prometheus reads them.

    Asked twice for one name, it gives the same one: services of several instances share them, with a label.
    """

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._tallies: dict[str, Tally] = {}
        self._histograms: dict[str, Histogram] = {}
        self._put_away: list[Callable[[], None]] = []
        ProcessCollector(registry=self._registry)
        said = "Spans that did not get to their collector, since the start."
        self.readings("hive_trace_spans_lost", said, (), lambda: [((), tracing.lost())], grows=True)

    def counter(self, name: str, help: str, labels: tuple[str, ...] = ()) -> Counter:
        if name not in self._counters:
            self._counters[name] = Counter(name, help, labels, registry=self._registry)
        return self._counters[name]

    def gauge(self, name: str, help: str, labels: tuple[str, ...] = ()) -> Gauge:
        if name not in self._gauges:
            self._gauges[name] = Gauge(name, help, labels, registry=self._registry)
        return self._gauges[name]

    def tally(self, name: str, help: str, labels: Sequence[str]) -> Tally:
        """A counter for what happens often: `name` is shown with `_total`."""
        if name not in self._tallies:
            self._tallies[name] = made = Tally(name, help, labels)
            self._registry.register(made)
        return self._tallies[name]

    def histogram(
        self, name: str, help: str, labels: Sequence[str], bounds: Sequence[float] = SECONDS
    ) -> Histogram:
        """bounds: seconds, ascending."""
        if name not in self._histograms:
            self._histograms[name] = made = Histogram(name, help, labels, bounds)
            self._registry.register(made)
        return self._histograms[name]

    def readings(
        self,
        name: str,
        help: str,
        labels: Sequence[str],
        read: Callable[[], Iterable[tuple[tuple[str, ...], float]]],
        *,
        grows: bool = False,
    ) -> None:
        """Figures by labels, asked for when somebody looks. grows: they never get less; shown with `_total`."""
        self._registry.register(Readings(name, help, labels, read, grows=grows))

    def before_reading(self, put_away: Callable[[], None]) -> None:
        """Call this whenever somebody looks: what was noted and does not show yet goes where it belongs."""
        self._put_away.append(put_away)

    def page(self) -> bytes:
        for put_away in self._put_away:
            put_away()
        return generate_latest(self._registry)


class Requests:
    """Rate, errors and duration of what a service is asked, the same for every service.

    hive_requests_total{service, method, code} and hive_request_seconds{service, method}. method: a route or an rpc,
    out of a bounded set. code: a status of HTTP or gRPC. seconds: to the end of the answer.
    """

    def __init__(self, metrics: Metrics, service: str) -> None:
        self._service = service
        self._count = metrics.tally(
            "hive_requests", "Requests that were answered.", ("service", "method", "code")
        )
        self._seconds = metrics.histogram(
            "hive_request_seconds", "Seconds from a request to the end of its answer.", ("service", "method")
        )
        self._noted: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        metrics.before_reading(self._put_away)

    def note(self, method: str, code: str, seconds: float) -> None:
        noted = self._noted[method, code]
        noted.append(seconds)
        if len(noted) == TOGETHER:
            self._put_away()

    def _put_away(self) -> None:
        for (method, code), seconds in self._noted.items():
            self._count.add((self._service, method, code), len(seconds))
            self._seconds.observe_all((self._service, method), seconds)
        self._noted.clear()


class Handled:
    """The same of what consumers take from the bus: hive_records_total{topic, group, outcome}, hive_record_seconds.

    outcome: `handled`, or `failed` for a try that raised. seconds: of one handler's call, for a batch too.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._count = metrics.tally("hive_records", "Records of the bus.", ("topic", "group", "outcome"))
        self._seconds = metrics.histogram(
            "hive_record_seconds", "Seconds that a handler took.", ("topic", "group"), SHORT_SECONDS
        )
        self._noted: defaultdict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
        metrics.before_reading(self._put_away)

    def handled(self, topic: str, group: str, records: int, seconds: float) -> None:
        noted = self._noted[topic, group]
        noted.append((records, seconds))
        if len(noted) == TOGETHER:
            self._put_away()

    def failed(self, topic: str, group: str, records: int) -> None:
        self._count.add((topic, group, "failed"), records)

    def _put_away(self) -> None:
        for (topic, group), noted in self._noted.items():
            records, seconds = zip(*noted, strict=True)
            self._count.add((topic, group, "handled"), sum(records))
            self._seconds.observe_all((topic, group), seconds)
        self._noted.clear()
