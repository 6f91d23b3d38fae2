"""Traces by OpenTelemetry, switched on by the standard OTEL_… variables; the SDK is imported only then.

with configure_tracing("routing", "routing-0"):
    …serve…
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

import structlog
from pydantic import ValidationError

from hive_runtime import tracing
from hive_runtime.otel.settings import TracingSettings

log = structlog.get_logger(__name__)

CLOSE_SECONDS = 3.0


class Sending(Protocol):
    def close(self, seconds: float) -> None:
        """Send what waits, at most so long."""
        ...


class Configured:
    """Traces are on, or not. Leaving it sends what waits, and takes no longer than `CLOSE_SECONDS` for it."""

    def __init__(self, sending: Sending | None) -> None:
        self._sending = sending

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Blocks; may be called twice."""
        if self._sending is not None:
            tracing.install(None)
            self._sending.close(CLOSE_SECONDS)
            self._sending = None


def configure_tracing(service: str, instance: str) -> Configured:
    """Switch traces on where OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_TRACES_EXPORTER asks for it; never raises.

    service, instance: the process, in each of its spans; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say otherwise.
    """
    try:
        settings = TracingSettings()
    except ValidationError as error:
        wrong = [f"OTEL_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors()]
        log.warning("traces are off: a variable cannot be read", problems=wrong)
        return Configured(None)
    if not settings.is_asked_for:
        return Configured(None)
    if problem := settings.problem:
        log.warning("traces are off", problem=problem)
        return Configured(None)
    try:
        from hive_runtime.otel.sdk import start_sending
    except ImportError as error:
        log.warning(
            "traces are asked for by OTEL_… variables, and cannot be sent: the extra `otel` is not installed",
            missing=error.name,
        )
        return Configured(None)
    tracer, sending = start_sending(settings, service, instance)
    tracing.install(tracer)
    return Configured(sending)
