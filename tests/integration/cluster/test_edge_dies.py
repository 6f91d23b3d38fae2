"""An edge dies, or sleeps, in the middle of streams: providers are told to stop, what came is charged once."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal

import httpx2
import openai
import pytest

from hive_testing.cluster import Cluster, Replica
from hive_testing.http import eventually
from hive_testing.proofs import posted, prove
from hive_testing.simulator import SimulatorThread
from hive_testing.simulator.calls import Call

pytestmark = pytest.mark.cluster

CREDIT = Decimal(1000)
EACH = 20
OTHERS = 5
SECONDS = 30.0
"""How long anything may take that is waited for."""


class Reader:
    """A client that reads a stream which never ends. pieces: what came of it; ended: how it ended, if it did."""

    def __init__(self, client: openai.AsyncOpenAI, prompt: str) -> None:
        self.prompt = prompt
        self.pieces = 0
        self.ended = ""
        self.task = asyncio.ensure_future(self._read(client))

    async def _read(self, client: openai.AsyncOpenAI) -> None:
        try:
            events = await client.chat.completions.create(
                model="endless",
                messages=[{"role": "user", "content": self.prompt}],
                stream=True,
            )
            async for event in events:
                self.pieces += bool(event.choices and event.choices[0].delta.content)
        except openai.APIConnectionError:
            self.ended = "connection lost"
        except openai.APIError as error:
            self.ended = "error event" if "broke off" in str(error) else repr(error)
        except httpx2.TransportError:
            self.ended = "connection lost"
        else:
            self.ended = "silent end"

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def at(cluster: Cluster, edge: Replica) -> openai.AsyncOpenAI:
    """A client of this edge alone."""
    return cluster.async_client(base_url=f"http://127.0.0.1:{edge.port}/v1", timeout=120)


async def more(readers: list[Reader]) -> None:
    """Wait until each of them has got more."""
    before = [reader.pieces for reader in readers]
    async with asyncio.timeout(SECONDS):
        while any(reader.pieces <= had for reader, had in zip(readers, before, strict=True)):
            assert not any(reader.task.done() for reader in readers), [each.ended for each in readers]
            await asyncio.sleep(0.02)


def called(simulator: SimulatorThread, prompt: str) -> list[Call]:
    """The provider's calls whose prompt begins so."""
    return [call for call in simulator.calls if call.json["messages"][0]["content"].startswith(prompt)]


async def told_to_stop(simulator: SimulatorThread, prompt: str) -> list[Call]:
    calls = called(simulator, prompt)
    assert len(calls) == EACH
    await asyncio.to_thread(
        eventually,
        lambda: all(call.closed.is_set() and call.disconnected for call in calls),
        SECONDS,
        "every call of the provider is given up",
    )
    return calls


def assert_charged_once(cluster: Cluster, calls: list[Call]) -> Decimal:
    """Each request has one posting, an estimate, which its tenant pays; what all paid together."""
    requests = {call.header(b"x-client-request-id").rsplit("-", 2)[0] for call in calls}
    found = [posting for posting in posted(cluster) if posting["request"] in requests]
    assert Counter(posting["request"] for posting in found) == dict.fromkeys(requests, 1)
    for posting in found:
        assert posting["estimated"], posting
        assert Decimal(posting["spent_usd"]) == Decimal(posting["provider_cost_usd"]) > 0, posting
    return sum((Decimal(posting["spent_usd"]) for posting in found), Decimal())


def answers(cluster: Cluster, edge: Replica | None = None) -> bool:
    url = cluster.url if edge is None else f"http://127.0.0.1:{edge.port}"
    with cluster.client(base_url=f"{url}/v1") as client:
        found = client.chat.completions.create(
            model="plain", messages=[{"role": "user", "content": "still?"}]
        )
    return found.choices[0].message.content == "Echo: still?"


@pytest.mark.timeout(240)
async def test_killed_in_the_middle_of_streams(cluster: Cluster, simulator: SimulatorThread) -> None:
    dying, other = cluster.of("edge")
    async with at(cluster, dying) as client, at(cluster, other) as elsewhere:
        lost = [Reader(client, f"killed {number}") for number in range(EACH)]
        kept = [Reader(elsewhere, f"kept {number}") for number in range(OTHERS)]
        await more(lost + kept)
        await asyncio.to_thread(dying.kill)
        await asyncio.wait_for(asyncio.gather(*(reader.task for reader in lost)), SECONDS)
        assert Counter(reader.ended for reader in lost) == {"connection lost": EACH}
        calls = await told_to_stop(simulator, "killed")
        await more(kept)
        for _ in range(4):
            assert await asyncio.to_thread(answers, cluster)
        for reader in kept:
            await reader.leave()
    await asyncio.to_thread(cluster.restore)
    proof = await asyncio.to_thread(prove, cluster, simulator.bill, CREDIT)
    paid = await asyncio.to_thread(assert_charged_once, cluster, calls)
    got = sum(reader.pieces for reader in lost)
    print(f"\n{EACH} streams cut after {got} pieces, ${paid} charged for them. {proof}")


@pytest.mark.timeout(240)
async def test_an_edge_that_sleeps_is_one_that_vanished(cluster: Cluster, simulator: SimulatorThread) -> None:
    sleeping, other = cluster.of("edge")
    spent = Decimal(cluster.admin("GET", "/wallets/default")["balance_usd"])
    async with at(cluster, sleeping) as client, at(cluster, other) as elsewhere:
        lost = [Reader(client, f"asleep {number}") for number in range(EACH)]
        kept = [Reader(elsewhere, f"awake {number}") for number in range(OTHERS)]
        await more(lost + kept)
        await asyncio.to_thread(sleeping.pause)
        calls = await told_to_stop(simulator, "asleep")
        await more(kept)
        assert await asyncio.to_thread(answers, cluster, other)
        await asyncio.to_thread(sleeping.resume)
        await asyncio.wait_for(asyncio.gather(*(reader.task for reader in lost)), SECONDS)
        assert Counter(reader.ended for reader in lost) == {"error event": EACH}
        assert await asyncio.to_thread(answers, cluster, sleeping)
        assert sleeping.is_ready()
        for reader in kept:
            await reader.leave()
    proof = await asyncio.to_thread(prove, cluster, simulator.bill, CREDIT)
    paid = await asyncio.to_thread(assert_charged_once, cluster, calls)
    assert Decimal(cluster.admin("GET", "/wallets/default")["balance_usd"]) <= spent - paid
    print(f"\n{EACH} streams ended with an error event when the edge woke up, ${paid} charged. {proof}")
