"""The budget's rows as a run of peers shows them, and why we miss one or lose against somebody.

The words are beside the figures, so that who changes one sees the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.budget import Row


@dataclass(frozen=True, slots=True)
class Promise:
    """A row of the budget for one subject. why: what is said where it is missed."""

    subject: str
    row: Row
    why: str = ""


_WORK = (
    "some 12,000 Python instructions a chat beside what batches share (19,000 in all: "
    "`python -m benchmarks.counts`), in three hundred functions that run once each, with cold caches"
)
_COLD = "at this rate each request finds the caches cold: its work takes three to four times as long as under load"
_CHUNK = "two system calls and two wake-ups of other processes for each chunk, and a fiftieth of its request's cost"
_HOPS = (
    "a request passes edge, routing and guardrails twice and a cache; each is woken for it, with cold caches"
)
_SERVICES = "six processes read, check and answer their part: the interpreter's work is done several times"
_RUNTIMES = (
    "a cluster is measured at its first start, in which console takes in the configuration file, and after prompts of "
    "100 KB, which routing keeps 10 MB of; at a later start console rests at 92 MB, billing at 90, routing at 98, "
    "guardrails at 82, analytics at 86 and edge at 69"
)
_FILLING = (
    "the cache of answers keeps each for an hour and fills up to its 64 MiB meanwhile; in the second half of another "
    "hour 17 bytes were added for each request"
)
_WARM = "it is looked at after prompts of 100 KB; a gateway that had none rests at 118 MB"

PROMISES = (
    Promise("embedded", Row("chat_32", "cpu_ms", "small chat, 32 connections: CPU", "ms", 0.45, 0.25), _WORK),
    Promise(
        "embedded",
        Row("chat_32", "per_second", "small chat, 32 connections: answered", "/s", 2200, 4000, True),
        _WORK,
    ),
    Promise("embedded", Row("light", "added_p50_ms", "small chat at 50/s: added p50", "ms", 1.5), _COLD),
    Promise("embedded", Row("light", "added_p99_ms", "small chat at 50/s: added p99", "ms", 4), _COLD),
    Promise(
        "embedded",
        Row("streams_100", "cpu_us_per_chunk", "100 streams/s: CPU per chunk", "µs", 60, 45),
        _CHUNK,
    ),
    Promise(
        "embedded",
        Row("light_streams", "added_first_p50_ms", "5 streams/s: added to the first chunk", "ms", 1.5),
        _COLD,
    ),
    Promise("embedded", Row("hit", "cpu_ms", "exact cache hit: CPU", "ms", 0.20), _WORK),
    Promise(
        "embedded", Row("idle", "main_rss_mb", "idle: memory without the analytical store", "MB", 150), _WARM
    ),
    Promise(
        "embedded",
        Row(
            "hour",
            "growth_bytes",
            "an hour of mixed traffic: growth per request, without the analytical store",
            "B",
            50,
        ),
        _FILLING,
    ),
    Promise(
        "embedded", Row("start", "first_chat_s", "second start: exec to the first 200 of a chat", "s", 2.5)
    ),
    Promise("embedded", Row("held", "kb_per_stream", "open streams: memory each", "KB", 40)),
    Promise(
        "cluster",
        Row(
            "chat_32", "path_cpu_ms", "small chat, 32 connections: CPU of edge and routing", "ms", 0.80, 0.50
        ),
        _SERVICES,
    ),
    Promise(
        "cluster",
        Row("chat_32", "per_second", "small chat, 32 connections: answered", "/s", 1200, None, True),
        _SERVICES,
    ),
    Promise("cluster", Row("light", "added_p50_ms", "small chat at 50/s: added p50", "ms", 4), _HOPS),
    Promise("cluster", Row("light", "added_p99_ms", "small chat at 50/s: added p99", "ms", 12), _HOPS),
    Promise(
        "cluster",
        Row(
            "streams_100",
            "path_cpu_us_per_chunk",
            "100 streams/s: CPU of edge and routing per chunk",
            "µs",
            200,
            120,
        ),
        _SERVICES,
    ),
    Promise(
        "cluster",
        Row("light_streams", "added_first_p50_ms", "5 streams/s: added to the first chunk", "ms", 4),
        _HOPS,
    ),
    Promise(
        "cluster",
        Row("hit", "path_cpu_ms", "exact cache hit: CPU of edge and routing", "ms", 0.50),
        _SERVICES,
    ),
    Promise(
        "cluster", Row("idle", "largest_rss_mb", "idle: memory of the largest service", "MB", 100), _RUNTIMES
    ),
    Promise("cluster", Row("held", "kb_per_stream", "open streams: memory each, all services", "KB", 60)),
)

_ROWS = "rows go into the analytical store every three seconds, however few there are; the peers keep none"

LOSSES = {
    ("prompt_100kb", "cpu_ms"): "our default guards read every word of the prompt; the peers read none of it",
    ("light", "cpu_ms"): _ROWS,
    ("soak", "cpu_ms"): _ROWS,
    ("idle", "cpu_percent"): _ROWS,
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
BETTER = {
    "bifrost": (
        "Bifrost core is compiled, and here it does nothing but hand requests on: it shows the floor of what a "
        "gateway costs"
    )
}
"""By peer: why it is better wherever it is."""
