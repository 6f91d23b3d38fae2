"""The broker, billing, Postgres and Redis go away under load: what can go on does, the rest is told to come again."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from hive_testing.cluster import Cluster
from hive_testing.http import Door, RawAnswer, eventually
from hive_testing.proofs import posted, prove
from hive_testing.servers.ports import HOST
from hive_testing.servers.server import Server
from hive_testing.simulator import SimulatorThread

pytestmark = pytest.mark.cluster

CREDIT = Decimal(1000)
CHAT = "/v1/chat/completions"
BODY = {"model": "plain", "max_tokens": 40, "messages": [{"role": "user", "content": "hello"}]}
AT_ONCE = 8
CALLS = 240
ON_LEASES = 40
BOUND = 30.0
"""Seconds within which what is away has to be noticed, and what is back used; the machine may be busy."""


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {"HIVE_BILLING_LEASE_SECONDS": "30"}


Say = Callable[[openai.AsyncOpenAI, int], Awaitable[str]]


async def whole(client: openai.AsyncOpenAI, number: int) -> str:
    """How a call that is not streamed ended."""
    try:
        answer = await client.chat.completions.create(
            model="plain", messages=_messages(number), max_tokens=40
        )
    except openai.APIError as error:
        return _how(error)
    return "answered" if answer.choices[0].message.content == f"Echo: number {number}" else "another's answer"


async def stream(client: openai.AsyncOpenAI, number: int) -> str:
    said, finished = "", False
    try:
        events = await client.chat.completions.create(
            model="plain", messages=_messages(number), max_tokens=40, stream=True
        )
        async for event in events:
            for choice in event.choices:
                said += choice.delta.content or ""
                finished = finished or choice.finish_reason is not None
    except openai.APIError as error:
        return _how(error)
    return "answered" if finished and said == f"Echo: number {number}" else "silent end"


def _messages(number: int) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": f"number {number}"}]


def _how(error: openai.APIError) -> str:
    """`come again`: a 503 that says when."""
    if isinstance(error, openai.APIStatusError):
        if error.status_code == 503 and int(error.response.headers.get("retry-after", 0)) >= 1:
            return "come again"
        return f"{error.status_code} {dict(error.response.headers)}: {error.message}"
    return f"{type(error).__name__}: {error}"


async def ends(cluster: Cluster, numbers: Sequence[int]) -> Counter[str]:
    """Calls through both edges in turn, every other one streamed, a few at a time: how they ended."""
    turns = asyncio.Semaphore(AT_ONCE)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                cluster.async_client(
                    base_url=f"http://{HOST}:{edge.port}/v1",
                    timeout=60,
                    max_retries=openai.DEFAULT_MAX_RETRIES,
                )
            )
            for edge in cluster.of("edge")
        ]

        async def one(number: int) -> str:
            async with turns:
                say: Say = stream if number // 2 % 2 else whole
                return await say(clients[number % len(clients)], number)

        return Counter(await asyncio.gather(*map(one, numbers)))


@pytest.mark.timeout(300)
async def test_the_broker_and_then_billing_too(cluster: Cluster, simulator: SimulatorThread) -> None:
    numbers = itertools.count()
    before = await asyncio.to_thread(settled, cluster)
    first = await ends(cluster, [next(numbers) for _ in range(8)])
    key = await asyncio.to_thread(cluster.add_key)
    await asyncio.to_thread(cluster.backing.kafka.kill)

    without_broker = await ends(cluster, [next(numbers) for _ in range(CALLS)])
    assert without_broker == {"answered": CALLS}
    all_settled = lambda: settled(cluster) == before + 8 + CALLS  # noqa: E731
    await asyncio.to_thread(eventually, all_settled, 60, "all usage in the books while the broker is away")
    await asyncio.to_thread(cluster.admin, "DELETE", f"/keys/{key['id']}")
    for edge in cluster.of("edge"):
        door = Door(f"http://{HOST}:{edge.port}", key["key"])
        refused: Callable[[], bool] = lambda: door.ask("GET", "/v1/models").status == 401  # noqa: E731, B023
        await asyncio.to_thread(eventually, refused, BOUND, f"{edge.name} refuses a revoked key")
    assert await ends(cluster, [next(numbers) for _ in range(AT_ONCE)]) == {"answered": AT_ONCE}

    await asyncio.to_thread(cluster["billing-0"].kill)
    on_leases = await ends(cluster, [next(numbers) for _ in range(ON_LEASES)])
    assert on_leases.keys() <= {"answered", "come again"} and on_leases["answered"] > 0, on_leases
    assert await asyncio.to_thread(unkept, cluster) >= on_leases["answered"]
    assert cluster.backing.kafka.control.pid is None  # type: ignore[attr-defined]

    await asyncio.to_thread(cluster.restore)
    proof = await asyncio.to_thread(prove, cluster, simulator.bill, CREDIT)
    answered = first["answered"] + CALLS + AT_ONCE + on_leases["answered"]
    assert await asyncio.to_thread(settled, cluster) == before + answered == before + len(simulator.calls)
    print(f"\nwithout the broker {dict(without_broker)}, without billing too {dict(on_leases)}. {proof}")


@pytest.mark.timeout(300)
async def test_billing(cluster: Cluster, simulator: SimulatorThread) -> None:
    """Two keys: one whose wallet has much, and one with so small a budget that its leases run out."""
    door = await asyncio.to_thread(lambda: known(cluster, name="small", budget_usd="0.05"))
    before = await asyncio.to_thread(settled, cluster)
    at_first = await ends(cluster, range(ON_LEASES))  # every process of routing has borrowed
    assert at_first == {"answered": ON_LEASES}
    told: list[RawAnswer] = []

    def ask(times: int) -> list[RawAnswer]:
        answers = [door.ask("POST", CHAT, BODY) for _ in range(times)]
        told.extend(answers)
        return answers

    assert {each.status for each in await asyncio.to_thread(ask, 8)} == {200}
    await asyncio.to_thread(cluster["billing-0"].kill)
    on_leases = await ends(cluster, range(ON_LEASES))
    assert on_leases.keys() <= {"answered", "come again"} and on_leases["answered"] > 0, on_leases

    def spent() -> bool:
        return all(each.status == 503 for each in ask(8))

    await asyncio.to_thread(eventually, spent, 60, "the end of what the key's leases hold")
    assert {each.status for each in told} == {200, 503}
    refusals = [each for each in told if each.status == 503]
    assert all(int(each.headers["retry-after"]) >= 1 for each in refusals)

    await asyncio.to_thread(cluster["billing-0"].start)
    back = lambda: cluster.public.ask("POST", CHAT, BODY).status == 200  # noqa: E731
    await asyncio.to_thread(eventually, back, BOUND, "an answer after billing's return")
    served = [Decimal(each.headers["x-hive-cost"]) for each in told if each.status == 200]
    proof = await asyncio.to_thread(prove, cluster, simulator.bill, CREDIT)
    count = at_first["answered"] + on_leases["answered"] + len(served) + 1
    assert await asyncio.to_thread(settled, cluster) == before + count == before + len(simulator.calls)
    of_key = [each for each in await asyncio.to_thread(usage, cluster) if each["key"] == door.key]
    assert sum(Decimal(each["spent_usd"]) for each in of_key) == sum(served) <= Decimal("0.05")
    print(f"\n{len(served)} of the small key served, {len(refusals)} told to come again. {proof}")


class Around:
    """The doors of a cluster as callers and operators meet them while something is away."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.free = known(cluster, name="free")
        self.limited = known(cluster, name="limited", rpm=1_000_000, concurrency=100)
        self.asks: dict[str, Callable[[], RawAnswer]] = {
            "free": lambda: self.free.ask("POST", CHAT, BODY),
            "limited": lambda: self.limited.ask("POST", CHAT, BODY),
            "with a key": self._ask_with_key,
            "admin": lambda: cluster.internal.ask("GET", "/api/admin/tenants"),
        }
        self.seen: dict[str, Counter[int]] = {name: Counter() for name in self.asks}
        self._numbers = itertools.count()
        for _ in range(cluster.looks):
            assert {name: self.ask(name) for name in self.asks} == dict.fromkeys(self.asks, 200)

    def ask(self, name: str) -> int:
        """The status; one that says to come again says when."""
        answer = self.asks[name]()
        if answer.status == 503:
            assert int(answer.headers["retry-after"]) >= 1, answer
        self.seen[name][answer.status] += 1
        return answer.status

    def become(self, expected: dict[str, int]) -> None:
        """All of them answer so, several times in a row, within a bound; and nobody hears anything else but 503."""

        def so() -> bool:
            return all({name: self.ask(name) for name in self.asks} == expected for _ in range(3))

        eventually(so, 2 * BOUND, f"{expected} instead of {self.seen}")
        assert all(statuses.keys() <= {200, 503} for statuses in self.seen.values()), self.seen

    def _ask_with_key(self) -> RawAnswer:
        return self.free.ask("POST", CHAT, BODY, {**self.free.bearer, "idempotency-key": self._name()})

    def _name(self) -> str:
        return f"number {next(self._numbers)} of {id(self)}"


WELL = {"free": 200, "limited": 200, "with a key": 200, "admin": 200}
WITHOUT = {
    "postgres": WELL | {"with a key": 503, "admin": 503},
    "redis": WELL | {"limited": 503},
}
"""What they hear while it is away. Without Postgres nobody is lent money: this is within the leases of routing."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["kill", "pause"])
@pytest.mark.parametrize("which", ["redis", "postgres"])
def test_a_store(cluster: Cluster, simulator: SimulatorThread, which: str, how: str) -> None:
    around = Around(cluster)
    server: Server = getattr(cluster.backing, which)
    pids = {name: replica.pid for name, replica in cluster.replicas.items()}
    getattr(server, how)()
    around.become(WITHOUT[which])
    assert all(replica.says("/healthz") == 200 for replica in cluster.replicas.values())
    server.restore()
    around.become(WELL)
    for replica in cluster.replicas.values():
        eventually(replica.is_ready, BOUND, f"{replica.name} is ready")
    assert pids == {name: replica.pid for name, replica in cluster.replicas.items()}
    print(f"\n{which}, {how}: {around.seen}")


def known(cluster: Cluster, **fields: Any) -> Asking:
    """The door of a new key that every edge knows."""
    made = cluster.admin("POST", "/keys", {"tenant": "default", **fields})
    door = Asking(cluster.url, made["id"], made["key"])
    eventually(lambda: all(door.lets_in() for _ in range(cluster.looks)), BOUND, "the new key")
    return door


class Asking(Door):
    """The public listener for the holder of a key."""

    def __init__(self, url: str, key: str, secret: str) -> None:
        super().__init__(url, secret)
        self.key = key
        self.bearer = {"authorization": f"Bearer {secret}"}

    def lets_in(self) -> bool:
        return self.ask("GET", "/v1/models").status == 200


def usage(cluster: Cluster) -> Iterator[dict[str, Any]]:
    return (each for each in posted(cluster) if each["kind"] == "usage")


def settled(cluster: Cluster) -> int:
    """Attempts in the books."""
    return sum(1 for _ in usage(cluster))


def unkept(cluster: Cluster) -> float:
    """Usage that the journals of routing keep."""
    figures = cluster.metrics()
    return sum(value for name, value in figures.items() if name.startswith("hive_routing_usage_unkept"))
