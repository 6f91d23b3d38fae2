"""What the model answers, as rows of tables: the page `docs/scale.md` and the command print the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean

from benchmarks.figures import percentile
from benchmarks.simulate import deployment as model
from benchmarks.simulate.deployment import CHART, PARTS, VISITS, Costs, Deployment, Traffic
from benchmarks.simulate.events import waits

CHATS = Traffic(rate=100_000)
MIXED = Traffic(rate=100_000, streams=0.3)
TRAFFIC = {"small chats": CHATS, "three in ten are streams of 50 chunks": MIXED}
USE, WAIT_MS = 0.6, 3.0
"""How busy a part is on average, and the wait of 99 % of the visits to one in a burst, at most."""
KEPT_TO = 4
JOBS, SEED = 50_000, 20261130

Row = Sequence[str]

WHAT = {
    "edge": "processes of edge",
    "valkey": "Valkey servers",
    "kafka": "brokers",
    "routing": "processes of routing",
    "guardrails": "processes of guardrails",
    "billing": "keepers of the books",
    "postgres": "PostgreSQL servers",
    "analytics": "processes of analytics",
    "clickhouse": "ClickHouse servers",
    "console": "processes of console",
}


def walls(costs: Costs) -> Iterator[Row]:
    """How many requests per second each part stands as the chart has it, the first to break first."""
    yield "part", "of them", *TRAFFIC
    found = [dict(model.walls(CHART, traffic, costs)) for traffic in TRAFFIC.values()]
    for part, _ in model.walls(CHART, CHATS, costs):
        yield WHAT[part], str(model.count(CHART, part)), *(f"{each[part]:,.0f}/s" for each in found)


def sizes(costs: Costs) -> Iterator[Row]:
    """What 100,000 requests per second need."""
    found = {name: needed(traffic, costs) for name, traffic in TRAFFIC.items()}
    yield "needed", *found
    for part in PARTS:
        yield WHAT[part], *(f"{model.count(each, part):,}" for each in found.values())
    yield (
        "leases per second",
        *(
            f"{model.leases(each, traffic):,.0f}"
            for each, traffic in zip(found.values(), TRAFFIC.values(), strict=True)
        ),
    )
    kept = [needed(traffic, costs, spread=KEPT_TO) for traffic in TRAFFIC.values()]
    yield (
        f"keepers, were a tenant's requests kept to {KEPT_TO} of routing",
        *(f"{each.billing:,}" for each in kept),
    )
    yield "partitions of `hive.requests.routing`", *(f"{each.partitions:,}" for each in found.values())
    yield (
        "partitions of event topics, at least",
        *(f"{max(e.analytics, e.billing):,}" for e in found.values()),
    )
    yield "processors", *(f"{each.processors:,}" for each in found.values())
    yield (
        f"nodes of {CHART.node_processors} processors",
        *(f"{each.processors / each.node_processors:,.0f}" for each in found.values()),
    )
    yield (
        "requests that wait for a provider",
        *(f"{traffic.open_requests:,.0f}" for traffic in TRAFFIC.values()),
    )
    yield (
        "memory of them",
        *(f"{traffic.open_requests * costs.stream_bytes / 1e9:,.0f} GB" for traffic in TRAFFIC.values()),
    )
    told = [
        model.inserts(each, traffic) for each, traffic in zip(found.values(), TRAFFIC.values(), strict=True)
    ]
    yield (
        "inserts into ClickHouse, and the rows of one",
        *(f"{each:,.0f}/s, {rows:,.0f}" for each, rows in told),
    )
    yield (
        "streams of gRPC between edge and routing",
        *(f"{each.edge * each.routing:,}" for each in found.values()),
    )


def queues(costs: Costs, traffic: Traffic = CHATS) -> Iterator[Row]:
    """The deployment that is needed, at its mean rate and in a burst: formula beside events."""
    found = needed(traffic, costs)
    yield "part", "use", "mean wait", "of events", "p99 wait", "of events"
    for words, factor in (("", 1.0), (", burst", traffic.burst)):
        now = replace(traffic, rate=traffic.rate * factor)
        for place, part in enumerate(VISITS):
            station = model.station(found, now, costs, part)
            seen = sorted(waits(station, JOBS, SEED + place))
            times = station.mean_wait, fmean(seen), station.wait_quantile(0.99), percentile(seen, 0.99)
            yield part + words, f"{station.use:.0%}", *(f"{each * 1e3:.2f} ms" for each in times)


def added(costs: Costs, traffic: Traffic = CHATS) -> Iterator[Row]:
    """What all queues of a request's way add together, by events: a wait of each visit, drawn together."""
    found = needed(traffic, costs)
    yield "queues of the way, all together", "mean", "p99"
    for words, factor in (("at the mean rate", 1.0), (f"at {traffic.burst:g} times the rate", traffic.burst)):
        now = replace(traffic, rate=traffic.rate * factor)
        draw = partial(waits, jobs=JOBS)
        each_visit = [
            draw(model.station(found, now, costs, part), seed=SEED + 100 + place)
            for place, part in enumerate(model.visits())
        ]
        totals = sorted(map(sum, zip(*each_visit, strict=True)))
        yield words, f"{fmean(totals) * 1e3:.1f} ms", f"{percentile(totals, 0.99) * 1e3:.1f} ms"


def needed(traffic: Traffic, costs: Costs, spread: int | None = None) -> Deployment:
    return model.sized(traffic, costs, use=USE, wait_ms=WAIT_MS, spread=spread)
