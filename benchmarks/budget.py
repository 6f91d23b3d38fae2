"""What a request may cost, and whether it does: the budget of the gateway in one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.figures import Figures


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one scenario. Without a limit it is only shown."""

    scenario: str
    figure: str
    label: str
    unit: str
    limit: float | None = None
    goal: float | None = None
    at_least: bool = False
    """The limit is a floor."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`kept` is None where there is no limit or nothing was measured."""

    row: Row
    measured: float | None
    kept: bool | None


BUDGET = (
    Row("saturated", "cpu_ms", "small chat, 32 connections: CPU per request", "ms", 0.45, 0.25),
    Row("saturated", "beside_ms", "of it the analytical store's process", "ms"),
    Row("saturated", "per_second", "small chat, 32 connections: requests per second", "/s", 2200, 4000, True),
    Row("light", "added_p50_ms", "small chat at 50/s: added latency p50", "ms", 1.5),
    Row("light", "added_p99_ms", "small chat at 50/s: added latency p99", "ms", 4),
    Row("light", "cpu_ms", "small chat at 50/s: CPU per request", "ms"),
    Row("streams", "cpu_us_per_chunk", "100 streams/s of 50 chunks: CPU per chunk", "µs", 60, 45),
    Row("streams", "added_first_p50_ms", "100 streams/s: added time to first chunk p50", "ms", 1.5),
    Row("streams", "gap_p99_ms", "100 streams/s: gap between chunks p99 (sent: 5)", "ms"),
    Row("translated", "cpu_us_per_chunk", "the same streams for a client of messages: CPU per chunk", "µs"),
    Row("guarded", "added_first_p50_ms", "20 streams/s, toxicity read: added time to first chunk p50", "ms"),
    Row("guarded", "added_whole_p50_ms", "20 streams/s, toxicity read: added time to the end p50", "ms"),
    Row("guarded", "cpu_us_per_chunk", "20 streams/s, toxicity read: CPU per chunk", "µs"),
    Row("hits", "cpu_ms", "exact cache hit: CPU per request", "ms", 0.20),
    Row("hits", "per_second", "exact cache hit: requests per second", "/s"),
    Row("held", "kb_per_stream", "open streams: resident memory each", "KB", 40),
    Row("embeddings", "cpu_ms", "embeddings, 8 texts: CPU per request", "ms"),
    Row("large", "cpu_ms", "chat with a prompt of 100 KB: CPU per request", "ms"),
    Row("cold", "first_chat_s", "second start: exec to the first 200 of a chat", "s", 2.5),
    Row("cold", "ready_s", "second start: exec to the first 200 of /readyz", "s"),
    Row("idle", "rss_mb", "idle: resident memory", "MB", 150),
    Row("idle", "beside_mb", "idle: resident memory of the analytical store's process", "MB"),
    Row("idle", "cpu_percent", "idle: CPU of one processor", "%"),
    Row("idle", "open_files", "idle: open files", ""),
    # What is kept for each request shows here byte for byte; the limit is room for the allocator's noise.
    Row("memory", "growth_bytes", "repeated rounds: growth of resident memory per request", "B", 50),
    Row("memory", "rss_mb", "after the rounds: resident memory", "MB"),
    Row("memory", "beside_mb", "after the rounds: the analytical store's process", "MB"),
    Row("memory", "open_files", "after the rounds: open files", ""),
    Row("harness", "upstream_us", "the upstream's own CPU per small chat", "µs"),
    Row("harness", "load_us", "the load generator's own CPU per small chat", "µs"),
    Row("harness", "per_second", "requests per second without a gateway", "/s"),
)


def verdicts(results: Mapping[str, Figures], budget: Sequence[Row] = BUDGET) -> list[Verdict]:
    """One per row, in its order; `results` has the figures of each scenario that was run."""
    return [_verdict(row, results.get(row.scenario, {}).get(row.figure)) for row in budget]


def _verdict(row: Row, measured: float | None) -> Verdict:
    if row.limit is None or measured is None:
        return Verdict(row, measured, None)
    kept = measured >= row.limit if row.at_least else measured <= row.limit
    return Verdict(row, measured, kept)
