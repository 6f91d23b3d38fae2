"""The budget's rows as a run of peers shows them, and why we miss one or lose against somebody.

The words are beside the figures, so that who changes one sees the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.budget import Row

JUDGED_SOAK = 600.0
"""Seconds of mixed traffic from which on growth of memory is more than noise."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A row of the budget for one subject. why: what is said where it is missed."""

    subject: str
    row: Row
    why: str = ""


PROMISES = (
    Promise("embedded", Row("chat_32", "cpu_ms", "small chat, 32 connections: CPU", "ms", 0.45, 0.25)),
    Promise(
        "embedded",
        Row("chat_32", "per_second", "small chat, 32 connections: answered", "/s", 2200, 4000, True),
    ),
    Promise("embedded", Row("light", "added_p50_ms", "small chat at 50/s: added p50", "ms", 1.5)),
    Promise("embedded", Row("light", "added_p99_ms", "small chat at 50/s: added p99", "ms", 4)),
    Promise("embedded", Row("streams_100", "cpu_us_per_chunk", "100 streams/s: CPU per chunk", "µs", 60, 45)),
    Promise(
        "embedded",
        Row("light_streams", "added_first_p50_ms", "5 streams/s: added to the first chunk", "ms", 1.5),
    ),
    Promise("embedded", Row("hit", "cpu_ms", "exact cache hit: CPU", "ms", 0.20)),
    Promise("embedded", Row("idle", "main_rss_mb", "idle: memory without the analytical store", "MB", 150)),
    Promise("embedded", Row("soak", "growth_bytes", "mixed traffic: growth of memory per request", "B", 50)),
    Promise(
        "embedded", Row("start", "first_chat_s", "second start: exec to the first 200 of a chat", "s", 2.5)
    ),
    Promise("embedded", Row("held", "kb_per_stream", "open streams: memory each", "KB", 40)),
    Promise(
        "cluster",
        Row("chat_32", "cpu_ms", "small chat, 32 connections: CPU of all services", "ms", 0.80, 0.50),
    ),
    Promise(
        "cluster",
        Row("chat_32", "per_second", "small chat, 32 connections: answered", "/s", 1200, None, True),
    ),
    Promise("cluster", Row("light", "added_p50_ms", "small chat at 50/s: added p50", "ms", 4)),
    Promise("cluster", Row("light", "added_p99_ms", "small chat at 50/s: added p99", "ms", 12)),
    Promise(
        "cluster", Row("streams_100", "cpu_us_per_chunk", "100 streams/s: CPU per chunk", "µs", 200, 120)
    ),
    Promise(
        "cluster",
        Row("light_streams", "added_first_p50_ms", "5 streams/s: added to the first chunk", "ms", 4),
    ),
    Promise("cluster", Row("hit", "cpu_ms", "exact cache hit: CPU of all services", "ms", 0.50)),
    Promise("cluster", Row("idle", "largest_rss_mb", "idle: memory of the largest service", "MB", 100)),
    Promise("cluster", Row("held", "kb_per_stream", "open streams: memory each, all services", "KB", 60)),
)

LOSSES = {
    ("prompt_100kb", "cpu_ms"): "our default guards read every word of the prompt; the peers read none of it",
    (
        "image_1mb",
        "cpu_ms",
    ): "above 256 KiB a body goes through blob storage, so that it is never held in memory",
    (
        "idle",
        "rss_mb",
    ): "our analytical store is a process of its own; the peers keep no analytics in this set-up",
    (
        "soak",
        "rss_mb",
    ): "our analytical store is a process of its own; the peers keep no analytics in this set-up",
    ("start", "first_chat_s"): "a ledger, a journal and the snapshots of keys and models are opened first",
    ("install", "installed_mb"): "the analytical store and the runtime of local models and guards are in it",
}
"""By scenario and figure: why somebody is better there."""
