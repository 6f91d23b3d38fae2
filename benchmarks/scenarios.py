"""What is measured, one function per scenario; each returns its figures, one entry per round."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.bodies import Kind
from benchmarks.figures import Figures, slope
from benchmarks.load import LanePlan, Outcome, Plan
from benchmarks.measure import MEGABYTE
from benchmarks.processes import KEY, Gateway, Upstream, generate_load

CONNECTIONS = 32
LIGHT_RATE = 50.0
STREAM_RATE = 100.0
DIRECT_STREAM_RATE = 20.0
FILES_PER_STREAM = 2
SPARE_FILES = 200
AFTERMATH = 0.3
"""Seconds after the last answer whose CPU time still counts: what a request leaves to be done later."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured: rounds of a scenario, and seconds of a round."""

    rounds: int
    rest: float
    saturated: float
    light: float
    streams: float
    others: float
    held: int
    """Streams held open at once."""
    memory_rounds: int


FULL = Sizes(rounds=3, rest=20, saturated=4, light=6, streams=4, others=2, held=1000, memory_rounds=6)
QUICK = Sizes(rounds=1, rest=5, saturated=1.5, light=3, streams=2, others=1, held=200, memory_rounds=2)


class Spent(NamedTuple):
    """CPU seconds of the gateway and all its processes, and what of them was not in its first process."""

    whole: float
    beside: float


@dataclass(slots=True)
class Bench:
    """What scenarios work on. `faults` collects every answer that was not as it must be."""

    upstream: Upstream
    gateway: Gateway
    sizes: Sizes
    file_limit: int
    faults: list[str] = field(default_factory=list)
    _warm: int = 0

    def lane(self, kind: Kind, connections: int = CONNECTIONS, rate: float = 0.0) -> LanePlan:
        """Requests to the gateway."""
        return LanePlan("gateway", self.gateway.port, kind, connections, rate)

    def direct(self, kind: Kind, connections: int = CONNECTIONS, rate: float = 0.0) -> LanePlan:
        """The same straight to the upstream: what there is without a gateway."""
        return LanePlan("direct", self.upstream.port, kind, connections, rate)

    def load(self, seconds: float, *lanes: LanePlan) -> Outcome:
        outcome = generate_load(Plan(KEY, seconds, list(lanes)))
        self.check(outcome)
        return outcome

    def costed(self, seconds: float, *lanes: LanePlan) -> tuple[Outcome, Spent]:
        """The outcome, and what it cost."""
        tree = self.gateway.tree
        whole, own = tree.cpu_seconds(), tree.own_cpu_seconds()
        outcome = self.load(seconds, *lanes)
        time.sleep(AFTERMATH)
        whole, own = tree.cpu_seconds() - whole, tree.own_cpu_seconds() - own
        return outcome, Spent(whole, whole - own)

    def check(self, outcome: Outcome) -> None:
        for each in outcome.lanes:
            if each.errors:
                self.faults.append(
                    f"{each.errors} of {each.errors + each.count} to the {each.name}: {each.first_error}"
                )

    def warm_up(self) -> None:
        """The first requests of a process compile, connect and cache; they belong to no figure."""
        if self._warm == self.gateway.pid:
            return
        self._warm = self.gateway.pid
        self.load(0.5, self.lane(Kind.CHAT), self.lane(Kind.STREAM), self.lane(Kind.EMBEDDINGS))


def harness(bench: Bench) -> list[Figures]:
    before = bench.upstream.tree.cpu_seconds()
    outcome = bench.load(1.0, bench.direct(Kind.CHAT))
    spent = bench.upstream.tree.cpu_seconds() - before
    direct = outcome.lanes[0]
    count = max(1, direct.count)
    return [
        {
            "upstream_us": spent / count * 1e6,
            "load_us": outcome.cpu_seconds / count * 1e6,
            "per_second": direct.count / (direct.seconds or 1.0),
        }
    ]


def cold(bench: Bench) -> list[Figures]:
    """Starts over data that is there already."""
    found = []
    for _ in range(bench.sizes.rounds):
        bench.gateway.stop()
        times = bench.gateway.start()
        found.append({"ready_s": times.ready, "first_chat_s": times.first_chat})
    return found


def idle(bench: Bench) -> list[Figures]:
    """After one chat request, when the analytical store that it opened has come to rest."""
    time.sleep(bench.sizes.rest)
    seconds = 3.0
    before = bench.gateway.tree.cpu_seconds()
    time.sleep(seconds)
    tree = bench.gateway.tree
    return [
        {
            "cpu_percent": (tree.cpu_seconds() - before) / seconds * 100,
            "rss_mb": tree.rss_bytes() / MEGABYTE,
            "beside_mb": tree.beside_bytes() / MEGABYTE,
            "open_files": tree.open_files(),
        }
    ]


def held(bench: Bench) -> list[Figures]:
    """Streams that have sent their first chunk and then nothing: what one open stream keeps in memory."""
    bench.warm_up()
    count = min(bench.sizes.held, bench.file_limit // FILES_PER_STREAM - SPARE_FILES)
    before = bench.gateway.tree.rss_bytes()
    during: list[int] = []

    def when_held() -> None:
        time.sleep(AFTERMATH)
        during.append(bench.gateway.tree.rss_bytes())
        bench.upstream.release()

    plan = Plan(KEY, count / 400, [bench.lane(Kind.HOLD, connections=count)], hold=True)
    bench.check(generate_load(plan, when_held))
    return [{"streams": count, "kb_per_stream": (during[0] - before) / count / 1000}]


def saturated(bench: Bench) -> list[Figures]:
    bench.warm_up()
    return [_closed(bench, Kind.CHAT, bench.sizes.saturated) for _ in range(bench.sizes.rounds)]


def embeddings(bench: Bench) -> list[Figures]:
    bench.warm_up()
    return [_closed(bench, Kind.EMBEDDINGS, bench.sizes.others) for _ in range(bench.sizes.rounds)]


def large(bench: Bench) -> list[Figures]:
    bench.warm_up()
    return [_closed(bench, Kind.LARGE, bench.sizes.others) for _ in range(bench.sizes.rounds)]


def _closed(bench: Bench, kind: Kind, seconds: float) -> Figures:
    outcome, spent = bench.costed(seconds, bench.lane(kind))
    gateway = outcome.lanes[0]
    return {
        "cpu_ms": spent.whole / max(1, gateway.count) * 1000,
        "beside_ms": spent.beside / max(1, gateway.count) * 1000,
        "per_second": gateway.count / (gateway.seconds or 1.0),
        "p50_ms": gateway.latency.p50,
        "p99_ms": gateway.latency.p99,
        "load_cpu_percent": outcome.cpu_seconds / seconds * 100,
    }


def light(bench: Bench) -> list[Figures]:
    """An open loop at a rate that leaves the gateway mostly idle; direct requests go in between."""
    bench.warm_up()
    return [_light(bench) for _ in range(bench.sizes.rounds)]


def _light(bench: Bench) -> Figures:
    lanes = bench.lane(Kind.CHAT, rate=LIGHT_RATE), bench.direct(Kind.CHAT, rate=LIGHT_RATE)
    outcome, spent = bench.costed(bench.sizes.light, *lanes)
    gateway, direct = outcome.lanes
    return {
        "cpu_ms": spent.whole / max(1, gateway.count) * 1000,
        "added_p50_ms": gateway.latency.p50 - direct.latency.p50,
        "added_p99_ms": gateway.latency.p99 - direct.latency.p99,
        "direct_p50_ms": direct.latency.p50,
        "direct_p99_ms": direct.latency.p99,
        "late_p99_ms": gateway.late.p99,
    }


def streams(bench: Bench) -> list[Figures]:
    """An open loop of streams; a fifth as many go straight to the upstream."""
    bench.warm_up()
    return [_streams(bench) for _ in range(bench.sizes.rounds)]


def _streams(bench: Bench) -> Figures:
    lanes = (
        bench.lane(Kind.STREAM, connections=128, rate=STREAM_RATE),
        bench.direct(Kind.STREAM, rate=DIRECT_STREAM_RATE),
    )
    outcome, spent = bench.costed(bench.sizes.streams, *lanes)
    gateway, direct = outcome.lanes
    return {
        "cpu_us_per_chunk": spent.whole / max(1, gateway.chunks) * 1e6,
        "added_first_p50_ms": gateway.first.p50 - direct.first.p50,
        "added_first_p99_ms": gateway.first.p99 - direct.first.p99,
        "gap_p50_ms": gateway.gap.p50,
        "gap_p99_ms": gateway.gap.p99,
        "direct_gap_p99_ms": direct.gap.p99,
    }


def translated(bench: Bench) -> list[Figures]:
    """Streams in another dialect than the upstream's, an open loop."""
    bench.warm_up()
    bench.load(1.0, bench.lane(Kind.TRANSLATED, connections=8, rate=10))
    return [_translated(bench) for _ in range(bench.sizes.rounds)]


def _translated(bench: Bench) -> Figures:
    lane = bench.lane(Kind.TRANSLATED, connections=128, rate=STREAM_RATE)
    outcome, spent = bench.costed(bench.sizes.streams, lane)
    return {"cpu_us_per_chunk": spent.whole / max(1, outcome.lanes[0].chunks) * 1e6}


def guarded(bench: Bench) -> list[Figures]:
    """Streams whose output is read by the dearest guard that runs on it: what holding back adds."""
    bench.warm_up()
    bench.load(1.0, bench.lane(Kind.GUARDED, connections=8, rate=10))
    return [_guarded(bench) for _ in range(bench.sizes.rounds)]


def _guarded(bench: Bench) -> Figures:
    lanes = (
        bench.lane(Kind.GUARDED, connections=64, rate=DIRECT_STREAM_RATE),
        bench.direct(Kind.STREAM, rate=DIRECT_STREAM_RATE),
    )
    outcome, spent = bench.costed(bench.sizes.streams, *lanes)
    gateway, direct = outcome.lanes
    return {
        "cpu_us_per_chunk": spent.whole / max(1, gateway.chunks) * 1e6,
        "added_first_p50_ms": gateway.first.p50 - direct.first.p50,
        "added_whole_p50_ms": gateway.latency.p50 - direct.latency.p50,
    }


def hits(bench: Bench) -> list[Figures]:
    bench.warm_up()
    bench.load(0.5, bench.lane(Kind.HIT))
    return [_closed(bench, Kind.HIT, bench.sizes.others) for _ in range(bench.sizes.rounds)]


def memory(bench: Bench) -> list[Figures]:
    """Rounds of saturation: the slope of resident memory over the requests that were answered."""
    bench.warm_up()
    answered = 0
    points = []
    for _ in range(bench.sizes.memory_rounds):
        outcome = bench.load(bench.sizes.saturated, bench.lane(Kind.CHAT))
        time.sleep(AFTERMATH)
        answered += outcome.lanes[0].count
        points.append((float(answered), float(bench.gateway.tree.rss_bytes())))
    return [
        {
            "requests": answered,
            "growth_bytes": slope(points),
            "rss_mb": points[-1][1] / MEGABYTE,
            "beside_mb": bench.gateway.tree.beside_bytes() / MEGABYTE,
            "open_files": bench.gateway.tree.open_files(),
        }
    ]


Scenario = Callable[[Bench], list[Figures]]

SCENARIOS: dict[str, Scenario] = {
    each.__name__: each
    for each in (
        harness,
        cold,
        idle,
        held,
        saturated,
        light,
        streams,
        translated,
        guarded,
        embeddings,
        hits,
        large,
        memory,
    )
}
"""In the order in which they are run: memory is compared before the rest has left its traces."""
