"""Every process of the cluster is restarted under load, one after the other: no call fails, and the books hold."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Self

import httpx2
import openai
import pytest

from hive_testing.cluster import SERVICES, Cluster, Ground, Replica
from hive_testing.gateway import PRICE
from hive_testing.proofs import prove
from hive_testing.simulator import SimulatorThread

pytestmark = pytest.mark.cluster

CREDIT = Decimal(1000)
WORKERS = 4
"""So many make one call after the other, and as many read one stream after the other."""
PAUSE_SECONDS = 0.1
BETWEEN = 3 * WORKERS
"""So many calls end well between two restarts."""
SECONDS = 60.0


@pytest.fixture(scope="module")
def own(
    catalogue: dict[str, Any], ground: Ground, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Two of those without which no call goes through; leases carry calls over the absence of billing."""
    services = {**SERVICES, "guardrails": 2}
    settings = {
        "HIVE_BOOTSTRAP_CREDIT_USD": str(CREDIT),
        "HIVE_LOCAL_MODELS": "0",
        "HIVE_DRAIN_DELAY_SECONDS": "0.5",
        "HIVE_DRAIN_SECONDS": "15",
    }
    folder = tmp_path_factory.mktemp("cluster")
    with Cluster(folder, ground.fresh(), catalogue, services, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def catalogue(catalogue: dict[str, Any]) -> dict[str, Any]:
    """With a model that streams for two seconds."""
    brief = {"provider": "sim", "model": "sim/chunks=20,chunk_bytes=8,chunk_delay=0.1"}
    return {
        **catalogue,
        "models": [*catalogue["models"], {"id": "brief", "deployments": [brief], "price": PRICE}],
    }


class Load:
    """Callers as they are: the official client with its two retries. ended: calls and streams by how they ended."""

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self.ended: Counter[str] = Counter()
        self._client = client
        self._over = False
        self._tasks = [asyncio.ensure_future(self._work(n, n % 2 == 0)) for n in range(2 * WORKERS)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def failures(self) -> dict[str, int]:
        return {how: count for how, count in self.ended.items() if how not in ("answered", "finished")}

    async def more(self, count: int) -> None:
        """Wait until so many more have ended."""
        wanted = self.ended.total() + count
        async with asyncio.timeout(SECONDS):
            while self.ended.total() < wanted:
                await asyncio.sleep(0.02)

    async def end(self) -> None:
        """Let what runs come to its end."""
        self._over = True
        await asyncio.wait_for(asyncio.gather(*self._tasks), SECONDS)

    async def _work(self, number: int, streamed: bool) -> None:
        words = f"worker {number}"
        while not self._over:
            try:
                self.ended[await (self._stream(words) if streamed else self._call(words))] += 1
            except (openai.APIError, httpx2.TransportError) as error:
                self.ended[f"{'stream' if streamed else 'call'}: {error!r} after {error.__cause__!r}"] += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def _call(self, words: str) -> str:
        answer = await self._client.chat.completions.create(
            model="plain", messages=[{"role": "user", "content": words}]
        )
        return "answered" if answer.choices[0].message.content == f"Echo: {words}" else "another's answer"

    async def _stream(self, words: str) -> str:
        events = await self._client.chat.completions.create(
            model="brief", messages=[{"role": "user", "content": words}], stream=True
        )
        finished = False
        async for event in events:
            finished = finished or bool(event.choices and event.choices[0].finish_reason)
        return "finished" if finished else "silent end"


def restart(replica: Replica) -> None:
    replica.stop()
    replica.start()


@pytest.mark.timeout(400)
async def test_nobody_notices(cluster: Cluster, simulator: SimulatorThread) -> None:
    restarted = []
    async with cluster.async_client(max_retries=2, timeout=60) as client, Load(client) as load:
        await load.more(BETWEEN)
        for service in ("console", "billing", "analytics", "guardrails", "routing", "edge"):
            for replica in cluster.of(service):
                pid = replica.pid
                await asyncio.to_thread(restart, replica)
                assert replica.pid not in (None, pid)
                restarted.append(replica.name)
                await load.more(BETWEEN)
                assert not load.failures, (restarted, load.ended)
        await load.end()
    assert not load.failures, load.ended
    assert len(restarted) == len(cluster.replicas)
    proof = await asyncio.to_thread(prove, cluster, simulator.bill, CREDIT)
    assert proof.billed == proof.exact == load.ended.total()
    print(f"\n{len(restarted)} processes restarted under {dict(load.ended)}: no failure. {proof}")
