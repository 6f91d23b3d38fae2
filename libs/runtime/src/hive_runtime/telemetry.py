"""Logs and metrics of a process: structured lines on stderr, counters in one registry."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest

log = structlog.get_logger(__name__)


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
        ProcessCollector(registry=self._registry)

    def counter(self, name: str, help: str, labels: tuple[str, ...] = ()) -> Counter:
        if name not in self._counters:
            self._counters[name] = Counter(name, help, labels, registry=self._registry)
        return self._counters[name]

    def gauge(self, name: str, help: str, labels: tuple[str, ...] = ()) -> Gauge:
        if name not in self._gauges:
            self._gauges[name] = Gauge(name, help, labels, registry=self._registry)
        return self._gauges[name]

    def page(self) -> bytes:
        return generate_latest(self._registry)
