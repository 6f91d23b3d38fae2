"""The gateway through Kafka and gRPC beside the one in one process: `python -m benchmarks.cluster [--quick]`.

Three ways to run it get the same load: one process, a cluster with one process of routing, and one with two. Printed
are times, and what a request costs each process; kept are the figures of every round.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from functools import partial

from rich.console import Console
from rich.table import Table

from benchmarks import report
from benchmarks.bodies import Kind
from benchmarks.figures import Figures, medians
from benchmarks.lane import Account
from benchmarks.load import LanePlan, Outcome, Plan
from benchmarks.measure import MEGABYTE, Bystanders, Tree
from benchmarks.processes import KEY, RunFailed, Upstream, generate_load, raise_file_limit, upstream
from benchmarks.subjects import Subject, cluster, embedded

CONNECTIONS = 32
LIGHT_RATE = 50.0
STREAM_RATE = 20.0
AFTERMATH = 1.5
"""Seconds after the last answer whose CPU time still counts: usage, ledger and rows are written behind it."""
REST = 3.0
ORDER = ("gateway", "edge", "routing", "guardrails", "billing", "analytics", "console")
PACKAGES = ("aiokafka", "grpcio", "protobuf", "asyncpg", "clickhouse-connect")
ROWS = (
    ("start", "start_s", "start, its servers running: until a caller is answered", "s"),
    ("idle", "cpu_percent", "idle: CPU of one processor", "%"),
    ("idle", "servers_cpu_percent", "… its servers", "%"),
    ("idle", "rss_mb", "idle: resident memory of all processes", "MB"),
    ("idle", "servers_rss_mb", "… its servers", "MB"),
    ("saturated", "per_second", f"small chat, {CONNECTIONS} connections: requests per second", "/s"),
    ("saturated", "cpu_ms", f"small chat, {CONNECTIONS} connections: CPU per request", "ms"),
    ("saturated", "servers_cpu_ms", "… its servers", "ms"),
    ("light", "added_p50_ms", f"small chat at {LIGHT_RATE:g}/s: added latency p50", "ms"),
    ("light", "added_p95_ms", "… p95", "ms"),
    ("light", "added_p99_ms", "… p99", "ms"),
    ("light", "cpu_ms", f"small chat at {LIGHT_RATE:g}/s: CPU per request", "ms"),
    ("streams", "cpu_us_per_chunk", f"{STREAM_RATE:g} streams/s of 50 chunks: CPU per chunk", "µs"),
    ("streams", "servers_cpu_us_per_chunk", "… its servers", "µs"),
    ("streams", "added_first_p50_ms", f"{STREAM_RATE:g} streams/s: added time to first chunk p50", "ms"),
    ("streams", "gap_p99_ms", f"{STREAM_RATE:g} streams/s: gap between chunks p99 (sent: 5)", "ms"),
)
"""Scenario, figure, words and unit of what is printed."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rounds of a scenario, and seconds of each."""

    rounds: int
    warm: float
    saturated: float
    light: float
    streams: float


FULL = Sizes(rounds=3, warm=4, saturated=8, light=15, streams=6)
QUICK = Sizes(rounds=1, warm=1, saturated=2, light=3, streams=2)


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds by process, of the gateway's own and of the servers that it stands on."""

    parts: Figures
    servers: Figures

    def figures(self, count: int, unit: str, scale: float) -> Figures:
        """Per one of `count`: in all, and of each process under `of its name`."""
        each = scale / max(1, count)
        found = {unit: sum(self.parts.values()) * each, f"servers_{unit}": sum(self.servers.values()) * each}
        found |= {f"of {name}": seconds * each for name, seconds in (self.parts | self.servers).items()}
        return found


@dataclass(slots=True)
class Trial:
    """One subject under load. `faults` collects every answer that was not as it must be."""

    provider: Upstream
    subject: Subject
    sizes: Sizes
    faults: list[str] = field(default_factory=list)

    def run(self) -> dict[str, list[Figures]]:
        """The figures of each round by scenario."""
        self._load(self.sizes.warm, self._lane(Kind.CHAT), self._lane(Kind.STREAM))
        time.sleep(REST)
        found = {"start": [{"start_s": self.subject.start_s}], "idle": [self._idle()]}
        scenarios: dict[str, Callable[[], Figures]] = {
            "saturated": self._saturated,
            "light": self._light,
            "streams": self._streams,
        }
        for name, scenario in scenarios.items():
            print(f"{self.subject.name}: {name} …", file=sys.stderr, flush=True)
            found[name] = [scenario() for _ in range(self.sizes.rounds)]
        return found

    def _idle(self) -> Figures:
        parts, servers = self.subject.parts, self.subject.servers
        spent = self._spent(lambda: time.sleep(REST))
        figures = spent.figures(1, "cpu_percent", 100 / REST)
        return figures | {
            "rss_mb": sum(map(_rss_mb, parts.values())),
            "servers_rss_mb": sum(map(_rss_mb, servers.values())),
            **{f"memory of {name}": _rss_mb(tree) for name, tree in (*parts.items(), *servers.items())},
        }

    def _saturated(self) -> Figures:
        """Each connection sends its next request when its last one is answered."""
        lanes, spent = self._costed(self.sizes.saturated, self._lane(Kind.CHAT))
        chats = lanes[0]
        return {
            "per_second": chats.count / (chats.seconds or 1.0),
            "p50_ms": chats.latency.p50,
            "p99_ms": chats.latency.p99,
            **spent.figures(chats.count, "cpu_ms", 1000),
        }

    def _light(self) -> Figures:
        """At fixed times, whatever is answered (open loop); as many go straight to the provider in between."""
        lanes = self._lane(Kind.CHAT, LIGHT_RATE), self._direct(Kind.CHAT, LIGHT_RATE)
        (ours, direct), spent = self._costed(self.sizes.light, *lanes)
        return {
            "added_p50_ms": ours.latency.p50 - direct.latency.p50,
            "added_p95_ms": ours.latency.p95 - direct.latency.p95,
            "added_p99_ms": ours.latency.p99 - direct.latency.p99,
            "direct_p50_ms": direct.latency.p50,
            "late_p99_ms": ours.late.p99,
            **spent.figures(ours.count, "cpu_ms", 1000),
        }

    def _streams(self) -> Figures:
        lanes = self._lane(Kind.STREAM, STREAM_RATE), self._direct(Kind.STREAM, STREAM_RATE)
        (ours, direct), spent = self._costed(self.sizes.streams, *lanes)
        return {
            "added_first_p50_ms": ours.first.p50 - direct.first.p50,
            "added_first_p99_ms": ours.first.p99 - direct.first.p99,
            "gap_p99_ms": ours.gap.p99,
            "direct_gap_p99_ms": direct.gap.p99,
            **spent.figures(ours.chunks, "cpu_us_per_chunk", 1e6),
        }

    def _costed(self, seconds: float, *lanes: LanePlan) -> tuple[list[Account], Spent]:
        outcomes: list[Outcome] = []

        def load() -> None:
            outcomes.append(self._load(seconds, *lanes))
            time.sleep(AFTERMATH)

        spent = self._spent(load)
        return outcomes[0].lanes, spent

    def _spent(self, work: Callable[[], object]) -> Spent:
        before = _seconds(self.subject.parts), _seconds(self.subject.servers)
        work()
        after = _seconds(self.subject.parts), _seconds(self.subject.servers)
        return Spent(
            *({name: now[name] - was[name] for name in was} for was, now in zip(before, after, strict=True))
        )

    def _lane(self, kind: Kind, rate: float = 0.0) -> LanePlan:
        return LanePlan(self.subject.name, self.subject.port, kind, CONNECTIONS, rate)

    def _direct(self, kind: Kind, rate: float) -> LanePlan:
        return LanePlan("provider itself", self.provider.port, kind, CONNECTIONS, rate)

    def _load(self, seconds: float, *lanes: LanePlan) -> Outcome:
        outcome = generate_load(Plan(KEY, seconds, list(lanes)))
        self.faults += [
            f"{each.errors} of {each.errors + each.count} to the {each.name}: {each.first_error}"
            for each in outcome.lanes
            if each.errors
        ]
        return outcome


def _seconds(trees: Mapping[str, Tree]) -> Figures:
    return {name: tree.cpu_seconds() for name, tree in trees.items()}


def _rss_mb(tree: Tree) -> float:
    return (tree.rss_bytes() + tree.beside_bytes()) / MEGABYTE


def main(arguments: list[str]) -> int:
    """0 however the figures turn out; 1 where something did not run or answered wrongly."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round each")
    sizes = QUICK if parser.parse_args(arguments).quick else FULL
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    raise_file_limit()
    facts = report.machine(PACKAGES)
    others = Bystanders()
    rounds: dict[str, dict[str, list[Figures]]] = {}
    faults: list[str] = []
    try:
        with upstream() as provider:
            for open_subject in (embedded, partial(cluster, routing=1), partial(cluster, routing=2)):
                _measure(open_subject(provider.port), provider, sizes, rounds, faults)
    except RunFailed as error:
        print(error, file=sys.stderr)
        return 1
    facts["others"] = round(others.processors(), 2)
    found = {
        name: {each: medians(figures) for each, figures in all_.items()} for name, all_ in rounds.items()
    }
    report.show(facts, _figures(found), faults)
    Console(width=125, highlight=False).print(_processes(found))
    raw = {"machine": facts, "sizes": asdict(sizes), "faults": faults, "rounds": rounds}
    print(f"raw figures: {report.save(raw, 'cluster-')}")
    return 1 if faults else 0


def _measure(
    opened: AbstractContextManager[Subject],
    provider: Upstream,
    sizes: Sizes,
    rounds: dict[str, dict[str, list[Figures]]],
    faults: list[str],
) -> None:
    with opened as subject:
        trial = Trial(provider, subject, sizes, faults)
        rounds[subject.name] = trial.run()


def _figures(found: Mapping[str, Mapping[str, Figures]]) -> Table:
    made = _table("figure", "", *found)
    for scenario, figure, words, unit in ROWS:
        values = [all_[scenario].get(figure, 0.0) for all_ in found.values()]
        made.add_row(words, unit, *map(report.number, values))
    return made


def _processes(found: Mapping[str, Mapping[str, Figures]]) -> Table:
    """What a request costs each process, a chunk of a stream, and what it holds when idle."""
    made = _table("process", "", *found)
    figures = {figure for all_ in found.values() for figure in all_["saturated"]}
    names = sorted((figure[3:] for figure in figures if figure.startswith("of ")), key=_place)
    columns = (
        ("saturated", "of {}", "ms a chat"),
        ("streams", "of {}", "µs a chunk"),
        ("idle", "memory of {}", "MB"),
    )
    for name in names:
        for scenario, figure, unit in columns:
            values = [all_[scenario].get(figure.format(name)) for all_ in found.values()]
            cells = ["" if value is None else report.number(value) for value in values]
            made.add_row(name if unit == "ms a chat" else "", unit, *cells)
    return made


def _place(name: str) -> tuple[int, str]:
    """Processes in the order in which a request comes to them, then what they stand on."""
    service = name.partition("-")[0]
    return ORDER.index(service) if service in ORDER else len(ORDER), name


def _table(first: str, unit: str, *names: str) -> Table:
    made = Table(first, unit, title="medians of the rounds", title_justify="left")
    for name in names:
        made.add_column(name, justify="right")
    return made


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
