"""The formulas and the events against each other and against what is known exactly."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from benchmarks.figures import percentile
from benchmarks.simulate import deployment as model
from benchmarks.simulate import measured
from benchmarks.simulate.deployment import CHART, PARTS, VISITS, Costs, Deployment, Traffic
from benchmarks.simulate.events import waits
from benchmarks.simulate.formulas import Station, Work, erlang_c

JOBS = 200_000


def station(servers: int, use: float, variation: float) -> Station:
    return Station(servers, rate=use * servers / 0.001, seconds=0.001, variation=variation)


@pytest.mark.parametrize("use", [0.3, 0.7, 0.9])
def test_one_exponential_server_waits_as_the_textbook_says(use: float) -> None:
    found = station(1, use, 1.0)
    assert found.mean_wait == pytest.approx(use / (1 - use) * 0.001)
    assert found.wait_quantile(0.99) == pytest.approx(math.log(use * 100) / (1 - use) * 0.001)


@pytest.mark.parametrize("use", [0.3, 0.7, 0.9])
def test_fixed_services_wait_half_as_long(use: float) -> None:
    assert station(1, use, 0.0).mean_wait == pytest.approx(use / (1 - use) * 0.0005)


def test_several_servers_wait_as_erlang_says() -> None:
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)  # by hand: a²/2 / (1 - a/2) of 1 + a + that
    assert station(2, 0.5, 1.0).mean_wait == pytest.approx(0.001 / 3)


def test_nobody_waits_where_nothing_comes_and_all_without_end_where_too_much_comes() -> None:
    assert Station.of(1, []).mean_wait == 0
    assert station(3, 1.0, 1.0).mean_wait == math.inf
    assert station(3, 1.2, 1.0).wait_quantile(0.5) == math.inf


def test_different_jobs_in_one_queue_are_their_mixture() -> None:
    """Half of the jobs take 1 s, half 3 s, always: a mean of 2, a variance of 1."""
    found = Station.of(1, [Work(0.1, 1.0, 0.0), Work(0.1, 3.0, 0.0), Work(0.0, 9.0)])
    assert (found.rate, found.seconds, found.variation) == pytest.approx((0.2, 2.0, 0.25))
    assert found.mean_wait == pytest.approx(0.1 * 1 / 2 / 0.6 + 0.1 * 9 / 2 / 0.6)  # λ·E[S²] / 2(1-ρ)


@pytest.mark.parametrize(
    ("servers", "variation"),
    [(1, 1.0), (1, 0.0), (1, 3.0), (4, 1.0)],
    ids=["M/M/1", "M/D/1", "M/G/1", "M/M/4"],
)
def test_events_wait_as_the_formulas_say(servers: int, variation: float) -> None:
    asked = station(servers, 0.6, variation)
    found = waits(asked, JOBS, seed=7)
    assert fmean(found) == pytest.approx(asked.mean_wait, rel=0.08)
    if variation == 1:
        assert percentile(sorted(found), 0.99) == pytest.approx(asked.wait_quantile(0.99), rel=0.08)


def test_the_same_seed_gives_the_same_events() -> None:
    assert waits(station(2, 0.8, 2.0), 1000, seed=3) == waits(station(2, 0.8, 2.0), 1000, seed=3)
    assert waits(station(2, 0.8, 2.0), 1000, seed=3) != waits(station(2, 0.8, 2.0), 1000, seed=4)


COSTS = Costs(
    chat=dict.fromkeys(PARTS, 0.0001) | {"routing": 0.001, "billing": 0.0004},
    chunk={"edge": 0.0001, "routing": 0.0002},
    news=0.0001,
    lease=0.0005,
    variation=1.0,
    floor_ms=(5.0, 10.0),
    stream_bytes=60_000,
    source="by hand",
)


def test_partitions_that_do_not_share_out_evenly_load_one_process_more() -> None:
    assert model.busiest(Deployment(routing=5, partitions=12), "routing") == 3 / 12
    assert model.busiest(Deployment(routing=24, partitions=12), "routing") == 1 / 12
    assert model.busiest(Deployment(edge=5), "edge") == 1 / 5


def test_the_first_wall_is_the_part_that_is_busy_first() -> None:
    found = model.walls(CHART, Traffic(rate=1.0, changes=0.0, tenants=1), COSTS)
    assert [part for part, _ in found[:2]] == ["routing", "billing"]
    assert [rate for _, rate in found[:2]] == pytest.approx([2000, 2500], rel=1e-3)
    streams = dict(model.walls(CHART, Traffic(rate=1.0, streams=1.0, chunks=10, tenants=1), COSTS))
    assert streams["routing"] == pytest.approx(2 / (0.001 + 10 * 0.0002), rel=1e-4)
    assert streams["billing"] == pytest.approx(2500, rel=1e-3)


def test_what_watches_console_takes_of_what_it_stands() -> None:
    calm, busy = (Traffic(rate=1.0, changes=each) for each in (0.0, 100.0))
    took = 100 * CHART.processes * COSTS.news
    assert model.most(CHART, calm, COSTS, "console") == pytest.approx(10_000, rel=1e-4)
    assert model.most(CHART, busy, COSTS, "console") == pytest.approx(10_000 * (1 - took), rel=1e-4)
    with pytest.raises(ValueError, match="console is busy without a request"):
        model.most(CHART, replace(busy, changes=10_000.0), COSTS, "console")


def test_a_lease_is_asked_for_by_each_process_that_sees_a_tenant() -> None:
    four = Deployment(routing=4)
    often, seldom = Traffic(rate=1e6, tenants=60), Traffic(rate=0.001, tenants=60)
    assert model.leases(four, often) == pytest.approx(4 * 60 / 60)
    assert model.leases(replace(four, spread=2), often) == pytest.approx(2 * 60 / 60)
    assert model.leases(four, seldom) == pytest.approx(0.001, rel=1e-3)  # each request asks for its own


def test_a_sized_deployment_keeps_its_limits_and_one_less_of_a_part_does_not() -> None:
    traffic = Traffic(rate=5000, changes=0.0)
    peak = replace(traffic, rate=10_000)
    found = model.sized(traffic, COSTS, use=0.6, wait_ms=3.0)
    for part in PARTS:
        assert model.station(found, traffic, COSTS, part).use <= 0.6
        high = model.station(found, peak, COSTS, part)
        assert high.use <= model.MOST_USE
        assert part not in VISITS or high.wait_quantile(0.99) <= 0.003
    fewer = replace(found, routing=found.routing - 1, partitions=found.partitions - 2)
    assert model.station(fewer, peak, COSTS, "routing").wait_quantile(0.99) > 0.003


def test_rows_are_inserted_when_they_are_many_or_old() -> None:
    slow = replace(CHART, batch_rows=5000)
    assert model.inserts(slow, Traffic(rate=100)) == (1.0, 300)
    assert model.inserts(slow, Traffic(rate=10_000)) == (6.0, 5000)


def test_costs_come_from_the_raw_figures_of_a_cluster(tmp_path: Path) -> None:
    names = [f"of {part}-0" for part in measured.OURS] + [f"of {each}" for each in measured.SERVERS.values()]
    rounds = {
        "saturated": [dict.fromkeys(names, value) for value in (0.5, 0.4, 0.9)],
        "streams": [dict.fromkeys(names, 110.0)],
        "light": [{"added_p50_ms": 7.0, "added_p99_ms": 15.0}],
    }
    machine = {"processor": "a processor", "moment": "2026-11-30T08:00:00Z"}
    raw, written = tmp_path / "raw.json", tmp_path / "services.toml"
    raw.write_text(json.dumps({"machine": machine, "rounds": {measured.SUBJECT: rounds}}))
    measured.write(raw, written)
    found = Costs.read(written)
    assert set(found.chat) == set(PARTS)
    assert found.chat["edge"] == pytest.approx(0.0005)
    assert found.chunk == {part: pytest.approx(100e-6) for part in ("edge", "routing")}
    assert found.floor_ms == (7.0, 15.0)
