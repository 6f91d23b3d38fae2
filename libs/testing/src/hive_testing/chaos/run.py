"""A run from its start to its report: traffic and faults, then peace, then the proofs."""

from __future__ import annotations

import asyncio
import traceback
from collections import defaultdict
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from hive_runtime.clock import SystemClock
from hive_testing.chaos.callers import Callers
from hive_testing.chaos.endings import PLEASANT
from hive_testing.chaos.faults import Disturber, own_ways_to_the_broker
from hive_testing.chaos.plan import Fault, planned
from hive_testing.chaos.replay import dead_letters, figures, read_by_all, replay_usage
from hive_testing.chaos.report import Report
from hive_testing.chaos.traffic import Traffic
from hive_testing.cluster import Cluster
from hive_testing.http import eventually
from hive_testing.proofs import Proof, posted, prove
from hive_testing.simulator import SimulatorThread

CREDIT = Decimal(100_000)
"""What the wallet has to begin with."""
SETTINGS = {
    "HIVE_BOOTSTRAP_CREDIT_USD": str(CREDIT),
    "HIVE_LOCAL_MODELS": "0",
    "HIVE_DISCOVER": "0",
}
"""Of the cluster that is disturbed."""
CONCURRENCY = 3
HOUR = 3600
SMALL = 10_000
"""Bytes of a body that is looked into."""
ROUNDS = 12
PATIENCE = 3
QUIET_SECONDS = 60.0
CALLS_UNDER_WAY = ("hive_edge_in_flight", "hive_routing_attempts_open")


def disturb(cluster: Cluster, provider: SimulatorThread, seed: int, seconds: float, every: float) -> Report:
    """Start the cluster, break it for so many seconds, and prove what must hold; ends with the cluster stopped.

    provider: what all models of the cluster call, and nobody else.
    """
    with own_ways_to_the_broker(cluster) as ways:
        plan = planned(seed, seconds, every, sorted(cluster.replicas), sorted(ways))
        report = Report(seed, seconds, [str(fault) for fault in plan])
        try:
            with cluster:
                disturber = Disturber(cluster, ways)
                asyncio.run(Run(cluster, provider, disturber, report).whole(plan))
        except AssertionError as error:
            if not report.calls:
                raise
            report.problems.append(f"Failures inside of processes:\n{error}")
    return report


class Run:
    """One run against a cluster that has started."""

    def __init__(
        self, cluster: Cluster, provider: SimulatorThread, disturber: Disturber, report: Report
    ) -> None:
        self._cluster = cluster
        self._provider = provider
        self._disturber = disturber
        self._report = report
        now = int(SystemClock().now())
        self._span = str(now - HOUR), str(now + HOUR)

    async def whole(self, plan: Sequence[Fault]) -> None:
        """Everything in its order; what fails is a problem of the report, and the rest is still looked at."""
        limited = await asyncio.to_thread(self._limited_key)
        async with Callers(self._cluster.url, self._cluster.key, limited) as callers:
            traffic = Traffic(callers, self._report.seed, self._disturber.lost_edges)
            await self._disturb(traffic, plan)
            await self._become_well(traffic)
        for look in (self._quiet, self._books, self._again, self._once(callers.idempotent)):
            try:
                await look()
            except Exception as error:
                where = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
                self._report.problems.append(f"{type(error).__name__} in {' > '.join(where)}: {error}")
        self._report.exits = self._disturber.exits

    async def _disturb(self, traffic: Traffic, plan: Sequence[Fault]) -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        start = loop.time()
        async with asyncio.TaskGroup() as group:
            group.create_task(traffic.until(over))
            try:
                await self._disturber.carry_out(plan)
                await self._disturber.rest_until(start + self._report.seconds)
                await self._disturber.restore()
            finally:
                over.set()
        self._report.take(traffic.tally, loop.time() - start, traffic.callers.witness.requests)

    async def _become_well(self, traffic: Traffic) -> None:
        """All kinds of calls are answered again."""
        for number in range(1, ROUNDS + 1):
            tally = await traffic.round(f"round {number}")
            self._report.problems += tally.failures
            self._report.rounds_until_well = number
            if tally.count(*PLEASANT) == tally.calls:
                return
        self._report.problems.append(f"not well after {ROUNDS} rounds: {tally.by_kind()}")

    async def _quiet(self) -> None:
        """No request is under way anywhere."""

        def is_quiet() -> bool:
            samples = self._cluster.metrics()
            return not any(samples.get(name) for name in CALLS_UNDER_WAY)

        await asyncio.to_thread(eventually, is_quiet, QUIET_SECONDS, "no request is under way")
        await read_by_all(self._cluster.backing.kafka)

    async def _books(self) -> None:
        proof = await self._proof()
        self._report.billed, self._report.exact = proof.billed, proof.exact
        self._report.postings, self._report.spent_usd = proof.postings, str(proof.spent)
        dead = await dead_letters(self._cluster.backing.kafka)
        assert not dead, f"records that nobody could handle: {dead}"

    async def _again(self) -> None:
        before = await asyncio.to_thread(figures, self._cluster, *self._span)
        self._report.replayed = await replay_usage(self._cluster.backing.kafka, self._report.seed)
        await self._proof()
        after = await asyncio.to_thread(figures, self._cluster, *self._span)
        for name, found in before.items():
            assert after[name] == found, f"{name} after the replay: {after[name]}, before: {found}"

    async def _proof(self) -> Proof:
        """Asked again where the admin API took longer than a caller waits: that is slow, and not wrong."""
        for _ in range(PATIENCE):
            try:
                return await asyncio.to_thread(prove, self._cluster, self._provider.bill, CREDIT)
            except TimeoutError:
                self._report.slow_proofs += 1
        raise AssertionError(f"the admin API did not answer in time, {PATIENCE} times in a row")

    def _once(self, names: Sequence[str]) -> Callable[[], Any]:
        """names: the texts of calls with an Idempotency-Key. Whatever was sent again, one of them is paid."""

        async def look() -> None:
            spent = await asyncio.to_thread(self._spent_by_request)
            paid: dict[str, set[str]] = defaultdict(set)
            for call in self._provider.calls:
                request = call.header(b"x-client-request-id").rsplit("-", 2)[0]
                if b"messages" in call.body and len(call.body) < SMALL and spent[request]:
                    paid[call.json["messages"][-1]["content"]].add(request)
            assert not names or any(paid[name] for name in names), "no call with an Idempotency-Key was paid"
            twice = {name: paid[name] for name in names if len(paid[name]) > 1}
            assert not twice, f"paid more than once in spite of their Idempotency-Key: {twice}"

        return look

    def _spent_by_request(self) -> dict[str, Decimal]:
        spent: dict[str, Decimal] = defaultdict(Decimal)
        for posting in posted(self._cluster):
            spent[posting["request"]] += Decimal(posting["spent_usd"])
        return spent

    def _limited_key(self) -> str:
        limits = {"tenant": "default", "name": "limited", "concurrency": CONCURRENCY, "rpm": 6000}
        key: str = self._cluster.admin("POST", "/keys", limits)["key"]
        door = self._cluster.public.asked_by(key)
        looks = range(self._cluster.looks)
        eventually(lambda: all(door.ask("GET", "/v1/models").status == 200 for _ in looks), what="the key")
        return key
