"""Costs from the raw figures of `make bench-cluster`: what `services.toml` is written from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.answers import CHUNKS
from benchmarks.simulate.deployment import MEASURED

SUBJECT = "cluster, 1 × routing"
SERVERS = {
    "kafka": "Kafka",
    "postgres": "PostgreSQL",
    "valkey": "Redis",
    "clickhouse": "ClickHouse's stand-in",
}
OURS = ("edge", "routing", "guardrails", "billing", "analytics", "console")
TAKEN = {
    "variation": (1.0, "squared coefficient of variation of a service: taken for exponential, not measured"),
    "news_us": (75, "one side of a message on a stream of gRPC that stays open"),
    "lease_us": (500, "a call of gRPC and a share of a transaction: taken, not measured"),
    "stream_kb": (60, "resident memory of an open stream, at both ends together"),
}
"""What the run does not measure, with what it is."""


def services(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `services.toml`: medians of the rounds of a cluster with one process of each service."""
    rounds: Mapping[str, list[Mapping[str, float]]] = raw["rounds"][SUBJECT]

    def figure(scenario: str, name: str) -> float:
        return median(each[name] for each in rounds[scenario])

    names = {part: f"of {part}-0" for part in OURS} | {part: f"of {name}" for part, name in SERVERS.items()}
    chat = {part: figure("saturated", name) for part, name in names.items()}
    chunk = {
        part: max(0.0, figure("streams", names[part]) - chat[part] * 1000 / CHUNKS)
        for part in ("edge", "routing")
    }
    return {
        "source": f"`make bench-cluster` on {raw['machine']['processor']}, {raw['machine']['moment'][:10]}",
        **{name: value for name, (value, _) in TAKEN.items()},
        "floor_ms": {"p50": figure("light", "added_p50_ms"), "p99": figure("light", "added_p99_ms")},
        "chat_ms": chat,
        "chunk_us": chunk,
    }


def write(raw_file: Path, file: Path = MEASURED) -> None:
    found = services(json.loads(raw_file.read_text()))
    lines = [
        "# What a request costs each part, as it was measured: processor time in a cluster of one process of each"
        " service.",
        f'source = "{found["source"]}"',
        *(f"{name} = {value:g} # {words}" for name, (value, words) in TAKEN.items()),
    ]
    for section, words in (
        ("floor_ms", "added latency at 50 requests/s, where nobody waits for another"),
        ("chat_ms", "a small chat, saturated"),
        ("chunk_us", "a chunk of a stream, without what its request costs"),
    ):
        lines += ["", f"[{section}] # {words}"]
        lines += [f"{name} = {value:.4g}" for name, value in found[section].items()]
    file.write_text("\n".join(lines) + "\n")
