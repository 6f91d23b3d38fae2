"""What a run found: medians over the rounds, ratios to our own, and what went wrong where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

OURS = "embedded"
STRAIGHT = "none"
"""The load without a gateway."""


@dataclass(frozen=True, slots=True)
class Line:
    """A figure that is shown. at_least: more is better."""

    scenario: str
    figure: str
    label: str
    unit: str
    at_least: bool = False


LINES = (
    Line("chat_1", "cpu_ms", "small chat, 1 connection: CPU", "ms"),
    Line("chat_16", "cpu_ms", "small chat, 16 connections: CPU", "ms"),
    Line("chat_32", "cpu_ms", "small chat, 32 connections: CPU", "ms"),
    Line("chat_64", "cpu_ms", "small chat, 64 connections: CPU", "ms"),
    Line("chat_256", "cpu_ms", "small chat, 256 connections: CPU", "ms"),
    Line("light", "cpu_ms", "small chat at 50/s: CPU", "ms"),
    Line("streams_64", "cpu_us_per_chunk", "64 streams of 50 chunks: CPU per chunk", "µs"),
    Line("streams_100", "cpu_us_per_chunk", "100 streams/s of 50 chunks: CPU per chunk", "µs"),
    Line("prompt_100kb", "cpu_ms", "prompt of 100 KB: CPU", "ms"),
    Line("image_1mb", "cpu_ms", "image of 1 MB: CPU", "ms"),
    Line("tools", "cpu_ms", "two turns with a tool: CPU", "ms"),
    Line("batch", "cpu_ms", "embeddings of 256 texts: CPU", "ms"),
    Line("hit", "cpu_ms", "exact cache hit: CPU", "ms"),
    Line("keys", "cpu_ms", "small chat, 10,000 keys in turn: CPU", "ms"),
    Line("failover", "cpu_ms", "one of two upstreams fails: CPU", "ms"),
    Line("toxicity", "cpu_ms", "prompt and answer read for toxicity: CPU", "ms"),
    Line("redaction", "cpu_ms", "personal data taken out of the prompt: CPU", "ms"),
    Line("output_check", "cpu_us_per_chunk", "stream read for toxicity: CPU per chunk", "µs"),
    Line("soak", "cpu_ms", "mixed traffic: CPU", "ms"),
    Line("chat_1", "per_second", "small chat, 1 connection: answered", "/s", True),
    Line("chat_32", "per_second", "small chat, 32 connections: answered", "/s", True),
    Line("chat_64", "per_second", "small chat, 64 connections: answered", "/s", True),
    Line("chat_256", "per_second", "small chat, 256 connections: answered", "/s", True),
    Line("streams_64", "per_second", "64 streams of 50 chunks: answered", "/s", True),
    Line("image_1mb", "per_second", "image of 1 MB: answered", "/s", True),
    Line("light", "added_p50_ms", "small chat at 50/s: added p50", "ms"),
    Line("light", "added_p95_ms", "small chat at 50/s: added p95", "ms"),
    Line("light", "added_p99_ms", "small chat at 50/s: added p99", "ms"),
    Line("light_streams", "added_first_p50_ms", "5 streams/s: added to the first chunk, p50", "ms"),
    Line("streams_100", "added_first_p50_ms", "100 streams/s: added to the first chunk, p50", "ms"),
    Line(
        "output_check", "added_first_p50_ms", "stream read for toxicity: added to the first chunk, p50", "ms"
    ),
    Line("light_streams", "gap_p99_ms", "5 streams/s: gap between chunks p99 (sent: 5)", "ms"),
    Line("streams_64", "gap_p99_ms", "64 streams: gap between chunks p99 (sent: 5)", "ms"),
    Line("idle", "rss_mb", "idle: resident memory, all processes", "MB"),
    Line("idle", "main_rss_mb", "idle: … without what they start beside them", "MB"),
    Line("soak", "rss_mb", "after mixed traffic: resident memory, all processes", "MB"),
    Line("hour", "rss_mb", "after an hour of mixed traffic: resident memory, all processes", "MB"),
    Line("hour", "main_rss_mb", "after an hour of it: … without what they start beside them", "MB"),
    Line("hour", "slope_mb_per_hour", "an hour of mixed traffic: growth of memory", "MB/h"),
    Line("held", "kb_per_stream", "open streams: resident memory each", "KB"),
    Line("idle", "cpu_percent", "idle: CPU of one processor", "%"),
    Line("start", "first_chat_s", "start: exec to the first 200 of a chat", "s"),
    Line("install", "installed_mb", "installed, without the language's own runtime", "MB"),
    Line("chat_32", "path_cpu_ms", "small chat, 32 connections: CPU of edge and routing alone", "ms"),
    Line("chat_32", "servers_cpu_ms", "small chat, 32 connections: CPU of the servers beside it", "ms"),
    Line("chat_64", "upstream_us", "the harness: upstream's CPU per small chat", "µs"),
    Line("chat_64", "load_us", "the harness: load generator's CPU per small chat", "µs"),
)
"""In the order of what counts: processor time first."""
NEUTRAL = frozenset({"path_cpu_ms", "upstream_us", "load_us", "servers_cpu_ms", "slope_mb_per_hour"})
"""Figures that say nothing about who is better."""


@dataclass(slots=True)
class Summary:
    """By subject and scenario. rounds: figures of each round; faults and lacks: words."""

    rounds: dict[str, dict[str, list[dict[str, float]]]] = field(default_factory=dict)
    faults: dict[str, dict[str, str]] = field(default_factory=dict)
    lacks: dict[str, dict[str, str]] = field(default_factory=dict)

    def median(self, subject: str, line: Line) -> float | None:
        found = self.values(subject, line)
        return median(found) if found else None

    def values(self, subject: str, line: Line) -> list[float]:
        rounds = self.rounds.get(subject, {}).get(line.scenario, [])
        return [each[line.figure] for each in rounds if line.figure in each]

    def ratio(self, subject: str, line: Line) -> float | None:
        """How many times our own figure; None where one of them is missing, or not above zero."""
        theirs, ours = self.median(subject, line), self.median(OURS, line)
        if theirs is None or ours is None or min(theirs, ours) <= 0:
            return None
        if line.figure in NEUTRAL or subject == STRAIGHT:
            return None
        return theirs / ours

    def lost(self, subject: str, line: Line) -> bool:
        """Is this subject better than ours?"""
        theirs, ours = self.median(subject, line), self.median(OURS, line)
        if theirs is None or ours is None or line.figure in NEUTRAL:
            return False
        return theirs > ours if line.at_least else theirs < ours

    def fault(self, subject: str, scenario: str) -> str | None:
        return self.faults.get(subject, {}).get(scenario)

    def lack(self, subject: str, scenario: str) -> str | None:
        return self.lacks.get(subject, {}).get(scenario)


def summary(cells: Sequence[Mapping[str, Any]]) -> Summary:
    """Of raw cells. A cell with faults keeps its figures and is marked; what failed has none."""
    made = Summary()
    for cell in cells:
        subject, scenario = cell["subject"], cell["scenario"]
        if lack := cell.get("lack"):
            made.lacks.setdefault(subject, {})[scenario] = lack
        if cell["faults"]:
            made.faults.setdefault(subject, {}).setdefault(scenario, cell["faults"][0])
        if cell["figures"]:
            made.rounds.setdefault(subject, {}).setdefault(scenario, []).append(cell["figures"])
    return made
