"""What is measured of each subject; a scenario returns the figures of one round."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from benchmarks.bodies import Kind
from benchmarks.figures import Figures, slope
from benchmarks.lane import Account
from benchmarks.load import LanePlan, Outcome, Plan
from benchmarks.measure import MEGABYTE, Tree
from benchmarks.peers.subject import Running, Subject
from benchmarks.processes import KEY, Upstream, generate_load

AFTERMATH = 1.0
"""Seconds after the last answer whose CPU time still counts: what a request leaves to be done later."""
LIGHT_RATE = 50.0
LIGHT_STREAM_RATE = 5.0
STREAM_RATE = 100.0
HELD_RATE = 100.0
"""Streams opened per second until all are held open."""
FLOOD_KEYS = 10_000
SOAK = {Kind.CHAT: 10.0, Kind.STREAM: 2.0, Kind.EMBEDDINGS: 3.0, Kind.TOOLS: 2.0, Kind.LARGE: 0.5}
"""The mixed traffic: requests per second of each kind."""
SOAK_SAMPLES = 30
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Seconds of a scenario. held: streams open at once. soak: seconds of mixed traffic."""

    warm: float = 2.0
    rest: float = 2.0
    closed: float = 2.5
    light: float = 5.0
    held: int = 1000
    soak: float = 10.0


QUICK = Sizes(warm=1.0, rest=1.0, closed=1.0, light=2.0, held=200, soak=3.0)


@dataclass(slots=True)
class Trial:
    """A subject that runs, under load. `faults` collects every answer of a cell that was not as it must be."""

    provider: Upstream
    subject: Subject
    running: Running
    sizes: Sizes
    faults: list[str] = field(default_factory=list)

    def warm_up(self) -> None:
        """The first requests of a process compile, connect and cache; they belong to no figure."""
        kinds = (Kind.CHAT, Kind.STREAM, Kind.EMBEDDINGS, Kind.LARGE)
        self.load(self.sizes.warm, *(self.lane(kind, 4) for kind in kinds))

    def lane(
        self, kind: Kind, connections: int, rate: float = 0.0, keys: list[str] | None = None
    ) -> LanePlan:
        form = self.running.form(kind)
        return LanePlan(self.subject.name, self.running.port, kind, connections, rate, form, keys or [])

    def straight(self, kind: Kind, connections: int, rate: float) -> LanePlan:
        """The same to the upstream: what there is without a gateway."""
        return LanePlan("upstream", self.provider.port, kind, connections, rate)

    def load(self, seconds: float, *lanes: LanePlan, hold: Callable[[], None] | None = None) -> Outcome:
        outcome = generate_load(Plan(KEY, seconds, list(lanes), hold is not None), hold)
        self.faults += [
            f"{each.errors} of {each.errors + each.count} to {each.name}: {each.first_error}"
            for each in outcome.lanes
            if each.errors
        ]
        return outcome

    def costed(self, seconds: float, *lanes: LanePlan) -> tuple[Outcome, Figures]:
        """The outcome, and CPU seconds: of the gateway, of those of it that every request passes, of what it stands
        on, of the upstream and of the load generator.
        """
        trees = {
            "cpu": self.running.parts,
            "path": self.running.on_path,
            "servers": self.running.servers,
            "upstream": [self.provider.tree],
        }
        before = {name: _seconds(each) for name, each in trees.items()}
        outcome = self.load(seconds, *lanes)
        time.sleep(AFTERMATH)
        spent = {name: _seconds(each) - before[name] for name, each in trees.items()}
        return outcome, spent | {"load": outcome.cpu_seconds}

    def rss_mb(self) -> float:
        """Resident memory of all processes; pages that several share count once for each."""
        return sum(each.rss_bytes() + each.beside_bytes() for each in self.running.parts) / MEGABYTE

    def main_rss_mb(self) -> float:
        """The same without what they start beside them."""
        return sum(each.rss_bytes() for each in self.running.parts) / MEGABYTE


def _seconds(trees: Iterable[Tree]) -> float:
    return sum(each.cpu_seconds() for each in trees)


def start(trial: Trial) -> Figures:
    return {"first_chat_s": trial.running.start_s}


def install(trial: Trial) -> Figures:
    size = trial.subject.installed_bytes
    return {"installed_mb": size() / MEGABYTE} if size else {}


def idle(trial: Trial) -> Figures:
    """After the warm-up: memory, and what it does unasked."""
    time.sleep(trial.sizes.rest)
    before = _seconds(trial.running.parts)
    time.sleep(trial.sizes.rest)
    spent = _seconds(trial.running.parts) - before
    parts = trial.running.parts
    return {
        "rss_mb": trial.rss_mb(),
        "main_rss_mb": trial.main_rss_mb(),
        "largest_rss_mb": max(each.rss_bytes() + each.beside_bytes() for each in parts) / MEGABYTE,
        "cpu_percent": spent / trial.sizes.rest * 100,
    }


def closed(trial: Trial, kind: Kind, connections: int, keys: list[str] | None = None) -> Figures:
    """Each connection sends its next request when its last one is answered: as fast as it goes."""
    outcome, spent = trial.costed(trial.sizes.closed, trial.lane(kind, connections, keys=keys))
    lane = outcome.lanes[0]
    count = max(1, lane.count)
    figures = {
        "cpu_ms": spent["cpu"] / count * 1e3,
        "per_second": lane.count / (lane.seconds or 1.0),
        "p50_ms": lane.latency.p50,
        "p95_ms": lane.latency.p95,
        "p99_ms": lane.latency.p99,
        "servers_cpu_ms": spent["servers"] / count * 1e3,
        "upstream_us": spent["upstream"] / count * 1e6,
        "load_us": spent["load"] / count * 1e6,
    }
    if trial.running.on_path:
        figures["path_cpu_ms"] = spent["path"] / count * 1e3
    return figures | _streamed(trial, lane, spent)


def _streamed(trial: Trial, lane: Account, spent: Figures) -> Figures:
    if not lane.chunks:
        return {}
    figures = {
        "cpu_us_per_chunk": spent["cpu"] / lane.chunks * 1e6,
        "first_p50_ms": lane.first.p50,
        "gap_p50_ms": lane.gap.p50,
        "gap_p99_ms": lane.gap.p99,
    }
    if trial.running.on_path:
        figures["path_cpu_us_per_chunk"] = spent["path"] / lane.chunks * 1e6
    return figures


def paced(trial: Trial, kind: Kind, connections: int, rate: float) -> Figures:
    """At fixed times, whatever is answered (open loop); as many go straight to the upstream in between."""
    straight = Kind.STREAM if kind.streamed else Kind.CHAT
    lanes = trial.lane(kind, connections, rate), trial.straight(straight, connections, min(rate, LIGHT_RATE))
    outcome, spent = trial.costed(trial.sizes.light, *lanes)
    ours, direct = outcome.lanes
    figures = {
        "cpu_ms": spent["cpu"] / max(1, ours.count) * 1e3,
        "added_p50_ms": ours.latency.p50 - direct.latency.p50,
        "added_p95_ms": ours.latency.p95 - direct.latency.p95,
        "added_p99_ms": ours.latency.p99 - direct.latency.p99,
        "late_p99_ms": ours.late.p99,
    }
    if ours.chunks:
        figures["added_first_p50_ms"] = ours.first.p50 - direct.first.p50
    return figures | _streamed(trial, ours, spent)


def hit(trial: Trial) -> Figures:
    trial.load(trial.sizes.warm, trial.lane(Kind.HIT, 1))
    return closed(trial, Kind.HIT, 32)


def keys(trial: Trial) -> Figures:
    return closed(trial, Kind.CHAT, 64, trial.running.keys(FLOOD_KEYS))


def held(trial: Trial) -> Figures:
    """Streams that have sent their first chunk and then nothing: what one open stream keeps in memory."""
    before = trial.rss_mb()
    during: list[float] = []

    def when_held() -> None:
        time.sleep(AFTERMATH)
        during.append(trial.rss_mb())
        trial.provider.release()

    count = trial.sizes.held
    trial.load(count / HELD_RATE, trial.lane(Kind.HOLD, count), hold=when_held)
    return {"kb_per_stream": (during[0] - before) / count * 1000, "rss_mb": during[0]}


def soak(trial: Trial, seconds: float) -> Figures:
    """Mixed traffic at a steady rate, memory looked at meanwhile.

    What grows is judged without what they start beside them: an analytical store keeps what it is given.
    """
    lanes = [trial.lane(kind, 16, rate) for kind, rate in SOAK.items()]
    all_of_it: list[tuple[float, float]] = []
    own: list[tuple[float, float]] = []
    began = time.perf_counter()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(trial.costed, seconds, *lanes)
        while not running.done():
            moment = time.perf_counter() - began
            all_of_it.append((moment, trial.rss_mb()))
            own.append((moment, trial.main_rss_mb()))
            time.sleep(seconds / SOAK_SAMPLES)
        outcome, spent = running.result()
    count = sum(each.count for each in outcome.lanes)
    settled = len(own) // 3
    return {
        "requests": count,
        "cpu_ms": spent["cpu"] / max(1, count) * 1e3,
        "rss_mb": all_of_it[-1][1],
        "main_rss_mb": own[-1][1],
        "slope_mb_per_hour": slope(all_of_it[settled:]) * 3600,
        "growth_bytes": slope(own[settled:]) * MEGABYTE * seconds / max(1, count),
    }


Scenario = Callable[[Trial], Figures]

SCENARIOS: dict[str, Scenario] = {
    "start": start,
    "install": install,
    "idle": idle,
    "held": held,
    **{f"chat_{count}": partial(closed, kind=Kind.CHAT, connections=count) for count in (1, 16, 32, 64, 256)},
    "light": partial(paced, kind=Kind.CHAT, connections=32, rate=LIGHT_RATE),
    "streams_64": partial(closed, kind=Kind.STREAM, connections=64),
    "light_streams": partial(paced, kind=Kind.STREAM, connections=16, rate=LIGHT_STREAM_RATE),
    "streams_100": partial(paced, kind=Kind.STREAM, connections=128, rate=STREAM_RATE),
    "prompt_100kb": partial(closed, kind=Kind.LARGE, connections=16),
    "image_1mb": partial(closed, kind=Kind.IMAGE, connections=8),
    "tools": partial(closed, kind=Kind.TOOLS, connections=16),
    "batch": partial(closed, kind=Kind.BATCH, connections=8),
    "hit": hit,
    "keys": keys,
    "failover": partial(closed, kind=Kind.FAILOVER, connections=16),
    "output_check": partial(paced, kind=Kind.GUARDED, connections=16, rate=LIGHT_STREAM_RATE),
    "toxicity": partial(closed, kind=Kind.JUDGED, connections=16),
    "redaction": partial(closed, kind=Kind.REDACTED, connections=16),
    "soak": lambda trial: soak(trial, trial.sizes.soak),
    "hour": lambda trial: soak(trial, HOUR),
}
"""In the order in which they are run: memory is looked at before the rest has left its traces."""
ON_REQUEST = frozenset({"hour"})
"""Too long for a round: measured only where it is asked for by name."""

OWN = dict.fromkeys(
    ("output_check", "toxicity", "redaction"), "a row of our own: no guard is set up in the peers"
)
"""Scenarios of our guards, and why the others show nothing."""
