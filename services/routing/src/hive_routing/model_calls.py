"""What is told of each call of a model while it happens: a span in its request's trace, and figures by model."""

from __future__ import annotations

from typing import Final

from hive_routing.attempts import Attempt, Outcome, UsageLog
from hive_routing.spending import CACHE
from hive_runtime import tracing
from hive_runtime.money import PROMPT_UNITS
from hive_runtime.telemetry import Metrics

_OPERATIONS: Final = {
    "chat/completions": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
    "messages": "chat",
    "responses": "chat",
    "generateContent": "generate_content",
    "interactions": "generate_content",
}
_OUTCOMES: Final = ("", *(outcome.name.lower() for outcome in sorted(Outcome)))
"""By number."""
_OUTPUT_UNITS: Final = ("completion", "reasoning", "audio_out")


class WatchedLog(UsageLog):
    """A `UsageLog` that shows what it is told; answers that are given again are no calls, and pass unseen."""

    def __init__(self, log: UsageLog, metrics: Metrics) -> None:
        self._log = log
        self._calls = metrics.tally(
            "hive_model_calls", "Calls of models.", ("provider", "model", "outcome", "error")
        )
        labels = ("provider", "model")
        self._seconds = metrics.histogram(
            "hive_model_call_seconds", "Seconds from a call of a model to the end of its answer.", labels
        )
        self._first_token = metrics.histogram(
            "hive_model_first_token_seconds",
            "Seconds from a call to the first content of its stream.",
            labels,
        )
        self._tokens = metrics.tally("hive_model_tokens", "Tokens of answered calls.", (*labels, "kind"))

    def open(self, attempt: Attempt) -> None:
        self._log.open(attempt)
        if tracing.is_on():
            attempt.span = tracing.current() if attempt.provider == CACHE else _begun(attempt)

    def progress(self, attempt: Attempt) -> None:
        self._log.progress(attempt)

    def close(self, attempt: Attempt) -> None:
        self._log.close(attempt)
        if attempt.provider == CACHE:
            return
        self._count(attempt)
        if attempt.span.is_recording:
            _describe(attempt.span, attempt)
            attempt.span.end(attempt.duration_us)

    def _count(self, attempt: Attempt) -> None:
        provider, model, units = attempt.provider, attempt.model, attempt.units
        labels = provider, model
        self._calls.add((provider, model, _OUTCOMES[attempt.outcome], attempt.error))
        self._seconds.observe(labels, attempt.duration_us / 1_000_000)
        if attempt.first_content_us is not None:
            self._first_token.observe(labels, attempt.first_content_us / 1_000_000)
        if attempt.cost or attempt.outcome is Outcome.ANSWERED:
            for unit, count in units.items():
                if count:
                    self._tokens.add((provider, model, unit), count)


def _begun(attempt: Attempt) -> tracing.Span:
    operation = _OPERATIONS.get(attempt.endpoint, attempt.endpoint)
    name = attempt.deployment.partition("/")[2]  # as the provider calls it
    attributes: dict[str, tracing.Value] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": attempt.provider,
        "gen_ai.request.model": name,
        "gen_ai.request.stream": attempt.streamed,
        "hive.request_id": attempt.request_id,
        "hive.attempt": attempt.attempt,
        "hive.call": attempt.call,
        "hive.model": attempt.model,
    }
    return tracing.start(f"{operation} {name}", tracing.Role.CLIENT, attributes=attributes)


def _describe(span: tracing.Span, attempt: Attempt) -> None:
    """How it ended: figures and labels, no words."""
    units, outcome = attempt.units, attempt.outcome
    span.set("hive.outcome", _OUTCOMES[outcome])
    if attempt.upstream_request_id:
        span.set("hive.upstream_request_id", attempt.upstream_request_id)
    if attempt.first_content_us is not None:
        span.set("gen_ai.response.time_to_first_chunk", attempt.first_content_us / 1_000_000)
    if units:
        span.set("gen_ai.usage.input_tokens", sum(units.get(unit, 0) for unit in PROMPT_UNITS))
        span.set("gen_ai.usage.output_tokens", sum(units.get(unit, 0) for unit in _OUTPUT_UNITS))
        span.set("hive.usage.estimated", attempt.estimated)
    if cached := units.get("cached_prompt"):
        span.set("gen_ai.usage.cache_read.input_tokens", cached)
    if reasoning := units.get("reasoning"):
        span.set("gen_ai.usage.reasoning.output_tokens", reasoning)
    if outcome is Outcome.ABANDONED:
        span.fail("cancelled", ours=False)
    elif outcome is not Outcome.ANSWERED:
        span.fail(attempt.error or _OUTCOMES[outcome])
