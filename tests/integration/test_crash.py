"""kill -9 at twenty moments of a mixed run: every attempt that the provider billed stands in the books, once."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest

from hive_testing.gateway import PRICE, Gateway, eventually
from hive_testing.proofs import prove
from hive_testing.simulator import SimulatorThread

pytestmark = pytest.mark.embedded

CALLS = 2_000
KILLS = 20
WORKERS = 24
KINDS = {
    "plain": "gpt-4o",
    "uncounted": "sim/no_usage=true",
    "slow": "sim/chunks=12,chunk_delay=0.004",
    "cut": "sim/cut_after=5,chunk_delay=0.002",
    "refused": "sim/status=400",
    "lost": "sim/hang_up=true",
}
"""Models by what their provider does."""


@dataclass
class Load:
    """A fixed number of calls through whatever process answers at the moment. ends: how each ended for its caller."""

    url: str
    key: str
    random: random.Random
    ends: Counter[str] = field(default_factory=Counter)
    made: int = 0
    up: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        headers = {"authorization": f"Bearer {self.key}"}
        limits = httpx2.Limits(max_connections=WORKERS)
        async with httpx2.AsyncClient(
            base_url=self.url, headers=headers, limits=limits, timeout=20, trust_env=False
        ) as client:
            await asyncio.gather(*(self._work(client) for _ in range(WORKERS)))

    async def _work(self, client: httpx2.AsyncClient) -> None:
        while self.made < CALLS:
            self.made += 1
            await self.up.wait()
            try:
                self.ends[await self._call(client, self.made)] += 1
            except httpx2.HTTPError:
                self.ends["connection lost"] += 1

    async def _call(self, client: httpx2.AsyncClient, number: int) -> str:
        kind = self.random.choice(["plain", "plain", "slow", "slow", "uncounted", "cut", "refused", "lost"])
        stream = kind in ("slow", "cut") or self.random.random() < 0.3
        body = {
            "model": kind,
            "stream": stream,
            "messages": [{"role": "user", "content": f"Say something about number {number}."}],
        }
        leaves = stream and self.random.random() < 0.2
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            async for line in answer.aiter_lines():
                if leaves and line:
                    return "left"
                if line == "data: [DONE]":
                    return "served"
            return "broken stream" if answer.status_code == 200 and stream else str(answer.status_code)


class Crashing:
    """A gateway whose process is killed and started again over the same data."""

    def __init__(self, folder: Path, provider: SimulatorThread) -> None:
        here = {"kind": "openai", "base_url": provider.url, "api_key": "sk-sim"}
        models = [
            {"id": id, "deployments": [{"provider": "sim", "model": name}], "price": PRICE}
            for id, name in KINDS.items()
        ]
        catalogue = {"providers": [{"name": "sim", **here}], "models": models}
        settings = {
            "HIVE_PORT": str(free_port()),
            "HIVE_BOOTSTRAP_CREDIT_USD": "1000",
            "HIVE_LOCAL_MODELS": "0",
            "HIVE_ROUTING_ATTEMPTS": "2",
            "HIVE_ROUTING_BREAKER_FAILURES": "1000000",
        }
        self.gateway = Gateway(folder, catalogue, **settings)

    def start(self) -> None:
        self.gateway.spawn()
        eventually(self.gateway._answers, 30, "the line with the addresses")

    def kill(self) -> None:
        self.gateway.signal(signal.SIGKILL)
        self.gateway.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


async def rampage(crashing: Crashing, load: Load) -> int:
    """Run the load and kill the process under it; returns how often."""
    running = asyncio.ensure_future(load.run())
    kills = 0
    load.up.set()
    while kills < KILLS and not running.done():
        until = load.made + load.random.randint(30, 90)
        while load.made < min(until, CALLS) and not running.done():
            await asyncio.sleep(0.001)
        await asyncio.sleep(load.random.random() * 0.05)
        load.up.clear()
        await asyncio.to_thread(crashing.kill)
        kills += 1
        await asyncio.to_thread(crashing.start)
        load.up.set()
    await running
    return kills


@pytest.mark.timeout(400)
def test_nothing_that_reached_the_provider_is_forgotten_or_counted_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = 20261125
    with SimulatorThread(keep=4 * CALLS) as provider:
        crashing = Crashing(tmp_path, provider)
        gateway = crashing.gateway
        crashing.start()
        try:
            load = Load(gateway.url, gateway.key, random.Random(seed))
            kills = asyncio.run(rampage(crashing, load))
            eventually(lambda: not gateway.metrics()["hive_edge_in_flight"], 20, "the end of all requests")
            crashing.kill()
            crashing.start()
            proof = prove(gateway, provider.bill, Decimal(1000))
        finally:
            gateway.stop()
    assert kills == KILLS and proof.exact > 200
    with capsys.disabled():
        ends = ", ".join(f"{name} {count}" for name, count in sorted(load.ends.items()))
        print(f"\n{load.made} calls, {kills} kills (seed {seed}): {ends}. {proof}")
