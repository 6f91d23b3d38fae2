"""A deployment as queues: what a request asks of each part, and how many of each part there are."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.simulate.formulas import Station, Work

MEASURED = Path(__file__).parent / "services.toml"
TABLES = 3
"""Tables of the analytical store that get a row of a request: usage, ledger, requests."""
LEASE_SECONDS = 60.0
"""How long routing spends what it was lent (HIVE_BILLING_LEASE_SECONDS)."""
PRECISION = 1e-6
MOST_USE = 0.9
"""How busy a part may be in a burst."""
MOST_ROWS = 100_000
"""The largest HIVE_ANALYTICS_BATCH_ROWS."""
INSERT_SECONDS = 3.0
"""Rows wait no longer than that for others (HIVE_ANALYTICS_BATCH_SECONDS)."""


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU seconds of each part for a small chat, and for a chunk of a stream; of console for one news to one watcher,
    and of billing for a lease.

    variation: squared coefficient of variation of the services. floor_ms: added latency without any queue, p50, p99.
    """

    chat: Mapping[str, float]
    chunk: Mapping[str, float]
    news: float
    lease: float
    variation: float
    floor_ms: tuple[float, float]
    stream_bytes: float
    source: str

    @classmethod
    def read(cls, file: Path = MEASURED) -> Costs:
        found: dict[str, Any] = tomllib.loads(file.read_text())
        return cls(
            chat={name: value / 1e3 for name, value in found["chat_ms"].items()},
            chunk={name: value / 1e6 for name, value in found["chunk_us"].items()},
            news=found["news_us"] / 1e6,
            lease=found["lease_us"] / 1e6,
            variation=found["variation"],
            floor_ms=(found["floor_ms"]["p50"], found["floor_ms"]["p99"]),
            stream_bytes=found["stream_kb"] * 1000,
            source=found["source"],
        )


@dataclass(frozen=True, slots=True)
class Traffic:
    """What comes in. rate: requests per second on average; burst: how many times that for some seconds.

    streams: share of the requests whose answer is streamed in `chunks`. seconds, spread: median of a provider's
    answer and the standard deviation of its logarithm. changes: of keys, models and the like, per second. tenants:
    those that ask, all as often.
    """

    rate: float
    streams: float = 0.0
    chunks: int = 50
    burst: float = 2.0
    seconds: float = 1.5
    spread: float = 1.0
    changes: float = 5.0
    tenants: int = 10_000

    @property
    def open_requests(self) -> float:
        """Requests that wait for their provider at a time (Little)."""
        return self.rate * self.seconds * math.exp(self.spread**2 / 2)


@dataclass(frozen=True, slots=True)
class Deployment:
    """How many there are of each part. spread: processes of routing that see requests of one tenant; None is all.

    brokers, postgres and clickhouse use the processors of a node together; everything else has one of its own.
    """

    edge: int = 2
    routing: int = 2
    guardrails: int = 2
    billing: int = 1
    analytics: int = 1
    console: int = 1
    partitions: int = 12
    brokers: int = 1
    valkey: int = 1
    postgres: int = 1
    clickhouse: int = 1
    node_processors: int = 2
    batch_rows: int = 5000
    spread: int | None = None

    @property
    def processes(self) -> int:
        return self.edge + self.routing + self.guardrails + self.billing + self.analytics + self.console

    @property
    def processors(self) -> int:
        """One for each process of ours and of Valkey, those of a node for each other server."""
        return (
            self.processes
            + self.valkey
            + (self.brokers + self.postgres + self.clickhouse) * self.node_processors
        )


CHART = Deployment()
"""The chart's defaults: two of edge, routing and guardrails, one billing that decides, twelve partitions."""

VISITS = {"edge": 2, "valkey": 1, "kafka": 1, "routing": 2, "guardrails": 1}
"""How often a request comes to a part before its answer has left; the other parts work behind the answer."""
PARTS = (
    "edge",
    "valkey",
    "kafka",
    "routing",
    "guardrails",
    "billing",
    "postgres",
    "analytics",
    "clickhouse",
    "console",
)
_FIELDS = {"kafka": "brokers"}


def count(deployment: Deployment, part: str) -> int:
    found: int = getattr(deployment, _FIELDS.get(part, part))
    return found


def with_count(deployment: Deployment, part: str, number: int) -> Deployment:
    changes: dict[str, Any] = {_FIELDS.get(part, part): number}
    return replace(deployment, **changes)


def busiest(deployment: Deployment, part: str) -> float:
    """The share of the work that comes to the busiest one of a part: partitions are not always shared out evenly."""
    number = count(deployment, part)
    if part != "routing":
        return 1 / number
    return math.ceil(deployment.partitions / number) / deployment.partitions


def station(deployment: Deployment, traffic: Traffic, costs: Costs, part: str) -> Station:
    """The queue at the busiest one of a part."""
    share, visits = busiest(deployment, part), VISITS.get(part, 1)
    servers = deployment.node_processors if part in ("kafka", "postgres", "clickhouse") else 1
    work = [
        Work(traffic.rate * share * visits, costs.chat[part] / visits, costs.variation),
        Work(
            traffic.rate * traffic.streams * traffic.chunks * share,
            costs.chunk.get(part, 0.0),
            costs.variation,
        ),
    ]
    if part == "billing":
        work.append(Work(leases(deployment, traffic) * share, costs.lease, costs.variation))
    if part == "console":
        work.append(Work(traffic.changes * deployment.processes * share, costs.news, costs.variation))
    return Station.of(servers, work)


def leases(deployment: Deployment, traffic: Traffic) -> float:
    """Leases per second: one for each process of routing and each tenant that it sees while a lease lasts."""
    pairs = traffic.tenants * min(deployment.routing, deployment.spread or deployment.routing)
    return pairs / LEASE_SECONDS * -math.expm1(-traffic.rate * LEASE_SECONDS / pairs)


def most(deployment: Deployment, traffic: Traffic, costs: Costs, part: str) -> float:
    """The rate at which a part is busy all the time. Raises ValueError where it is without a request."""

    def use(rate: float) -> float:
        return station(deployment, replace(traffic, rate=rate), costs, part).use

    if use(0.0) >= 1:
        raise ValueError(f"{part} is busy without a request")
    low, high = 0.0, 1.0
    while use(high) < 1:
        low, high = high, high * 2
    while high - low > high * PRECISION:
        middle = (low + high) / 2
        low, high = (middle, high) if use(middle) < 1 else (low, middle)
    return low


def walls(deployment: Deployment, traffic: Traffic, costs: Costs) -> list[tuple[str, float]]:
    """Each part with the rate that it stands, the first to break first."""
    return sorted(
        ((part, most(deployment, traffic, costs, part)) for part in PARTS), key=lambda wall: wall[1]
    )


def sized(
    traffic: Traffic, costs: Costs, *, use: float, wait_ms: float, spread: int | None = None
) -> Deployment:
    """The smallest deployment in which no part is busier than `use` on average, nor than `MOST_USE` in a burst, and
    99 % of the visits to a part wait `wait_ms` at most where an answer waits with them, in a burst too.
    """
    peak = replace(traffic, rate=traffic.rate * traffic.burst)
    found = replace(CHART, batch_rows=MOST_ROWS, spread=spread)
    for part in PARTS:
        number = 0
        while not number or not _fits(found, traffic, peak, costs, part, use, wait_ms / 1e3):
            number += 1
            found = with_count(found, part, number)
            if part == "routing":
                found = replace(found, partitions=2 * number)  # as many for each process, and some to grow
    return found


def _fits(
    deployment: Deployment, traffic: Traffic, peak: Traffic, costs: Costs, part: str, use: float, wait: float
) -> bool:
    high = station(deployment, peak, costs, part)
    if station(deployment, traffic, costs, part).use > use or high.use > MOST_USE:
        return False
    return part not in VISITS or high.wait_quantile(0.99) <= wait


def inserts(deployment: Deployment, traffic: Traffic) -> tuple[float, float]:
    """Inserts per second into ClickHouse, all tables together, and the rows of one."""
    rows = traffic.rate / deployment.analytics
    seconds = min(INSERT_SECONDS, deployment.batch_rows / rows)
    return deployment.analytics * TABLES / seconds, rows * seconds


def visits() -> Iterator[str]:
    """The parts that a request comes to before its answer has left, in that order, as often as it does."""
    for part, times in VISITS.items():
        yield from [part] * times
