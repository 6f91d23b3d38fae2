"""One dollar, two processes of routing, one of which sleeps past its lease, and the other dies: never spent beyond, and
nobody is refused who could have paid."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal

import openai
import pytest

from hive_testing.cluster import Cluster
from hive_testing.http import eventually
from hive_testing.proofs import posted, prove
from hive_testing.simulator import SimulatorThread

pytestmark = pytest.mark.cluster

CREDIT = Decimal(1000)
BUDGET = Decimal(1)
LEASE_SECONDS, GRACE_SECONDS = 5, 15
SLEEP_SECONDS = LEASE_SECONDS + GRACE_SECONDS + 1
"""Until what the sleeper was lent is booked no more, and lent to others."""
CALLERS = 24
BEFORE, AFTER = 60, 140
"""So many calls are made around the sleep of one process, and so many around the death of the other."""
MOST_OUTPUT = 1000
USAGE = {"prompt_tokens": 20, "completion_tokens": 990, "total_tokens": 1010}
COST = (20 * Decimal("2.50") + 990 * Decimal(10)) / 1_000_000
"""What each call costs: $0.00995; together the calls would cost about two dollars."""
HELD = (100 * Decimal("2.50") + MOST_OUTPUT * Decimal(10)) / 1_000_000
"""What is held for a call is less than this: its output's bound, and a prompt of fewer than 100 tokens."""


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {
        "HIVE_BILLING_LEASE_SECONDS": str(LEASE_SECONDS),
        "HIVE_BILLING_LEASE_GRACE_SECONDS": str(GRACE_SECONDS),
    }


@dataclass
class Spenders:
    """Callers that share a key. Each call is made again until it is answered, or refused for lack of money.

    answered, refused, under_way: so many calls are. troubles: what calls met before they were made again.
    early: refusals that came while the budget carried more.
    """

    client: openai.AsyncOpenAI
    simulator: SimulatorThread
    answered: int = 0
    refused: int = 0
    under_way: int = 0
    troubles: Counter[str] = field(default_factory=Counter)
    early: list[str] = field(default_factory=list)

    def make(self, calls: int) -> asyncio.Future[list[None]]:
        """Let the callers make so many calls; done when all of them have ended."""
        left = deque(range(calls))

        async def caller() -> None:
            while left:
                await self._make(f"call {left.pop()}")

        return asyncio.ensure_future(asyncio.gather(*(caller() for _ in range(CALLERS))))

    async def _make(self, words: str) -> None:
        while True:
            self.under_way += 1
            try:
                answer = await self.client.chat.completions.create(
                    model="plain", messages=[{"role": "user", "content": words}], max_tokens=MOST_OUTPUT
                )
            except openai.APIStatusError as error:
                if error.status_code == 402:
                    self._refuse(str(error))
                    return
                assert error.status_code in (502, 503), error
                self.troubles[f"{error.status_code}: {error.message}"] += 1
            else:
                assert answer.choices[0].message.content == f"Echo: {words}"
                self.answered += 1
                return
            finally:
                self.under_way -= 1
            await asyncio.sleep(0.1)

    def _refuse(self, words: str) -> None:
        """Every call of the provider has spent or holds its part, and every call under way may hold one."""
        self.refused += 1
        covered = len(self.simulator.calls) + self.under_way - 1
        if covered * HELD <= BUDGET - HELD:
            self.early.append(f"{words} after {covered} calls")

    async def have(self, answered: int) -> None:
        """Wait until so many are answered."""
        async with asyncio.timeout(60):
            while self.answered < answered:
                await asyncio.sleep(0.02)


@pytest.mark.timeout(300)
async def test_a_budget_of_a_dollar(cluster: Cluster, simulator: SimulatorThread) -> None:
    sleeping, dying = cluster.of("routing")
    simulator.script(model="gpt-4o", usage=USAGE, latency=0.5)
    made = cluster.admin("POST", "/keys", {"tenant": "default", "name": "dollar", "budget_usd": str(BUDGET)})
    cluster.wait_for_key(made["key"])
    looks = Looks(cluster, made["id"])
    async with cluster.async_client(api_key=made["key"], timeout=60) as client:
        spenders = Spenders(client, simulator)
        with looks.kept_up():
            first = spenders.make(BEFORE)
            await spenders.have(BEFORE // 3)
            await asyncio.to_thread(sleeping.pause)
            night = asyncio.ensure_future(asyncio.sleep(SLEEP_SECONDS))
            await spenders.have(BEFORE // 2)
            await night
            await asyncio.to_thread(sleeping.resume)
            await asyncio.wait_for(first, 60)
            assert spenders.answered == BEFORE
            second = spenders.make(AFTER)
            await spenders.have(BEFORE + 10)
            await asyncio.to_thread(dying.kill)
            await asyncio.to_thread(dying.start)
            await asyncio.wait_for(second, 120)
            assert spenders.answered + spenders.refused == BEFORE + AFTER and spenders.refused
            await asyncio.to_thread(cluster.restore)
            await asyncio.to_thread(assert_never_above, cluster, made["id"])
            # What the dead and the sleeping were lent comes back within a while.
            async with asyncio.timeout(60):
                while BUDGET - spenders.answered * COST >= HELD:
                    await spenders.make(1)
                    await asyncio.sleep(0.2)
        assert looks.beyond == [] and looks.count
        assert spenders.early == []
    proof = await asyncio.to_thread(prove, cluster, simulator.bill, CREDIT)
    spent = await asyncio.to_thread(assert_never_above, cluster, made["id"])
    assert spent == spenders.answered * COST, "somebody was answered for nothing, or paid more than once"
    assert BUDGET - spent < HELD, "a call more could have been paid"
    print(
        f"\n{spenders.answered} calls answered and {spenders.refused} refused,"
        f" ${spent} of ${BUDGET} spent, never more held than was left in {looks.count} looks;"
        f" on the way {dict(spenders.troubles)}. {proof}"
    )


@dataclass
class Looks:
    """What billing says of a key's budget while it is spent. beyond: where it has lent more than is left."""

    cluster: Cluster
    key: str
    count: int = 0
    beyond: list[dict[str, str]] = field(default_factory=list)

    def look(self) -> dict[str, str]:
        (found,) = [each for each in self.cluster.admin("GET", "/budgets")["data"] if each["key"] == self.key]
        return dict(found)

    @contextmanager
    def kept_up(self) -> Iterator[None]:
        """Look again and again, in a thread."""
        over = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            looking = pool.submit(self._look_until, over)
            try:
                yield
            finally:
                over.set()
            looking.result(30)

    def _look_until(self, over: threading.Event) -> None:
        while not over.wait(0.2):
            found = self.look()
            self.count += 1
            if not 0 <= Decimal(found["held_usd"]) <= Decimal(found["remaining_usd"]):
                self.beyond.append(found)


def assert_never_above(cluster: Cluster, key: str) -> Decimal:
    """At every prefix of the ledger the key's budget carries what was spent of it. What was spent in the end."""
    balance = spent = Decimal()
    for posting in posted(cluster):
        for entry in posting["entries"]:
            if entry["account"] == f"budget:{key}":
                balance += Decimal(entry["amount_usd"])
                assert balance >= 0, posting
        if posting["key"] == key:
            spent += Decimal(posting["spent_usd"])
            assert spent <= BUDGET, posting
    looks = Looks(cluster, key)
    eventually(lambda: Decimal(looks.look()["remaining_usd"]) == BUDGET - spent, 30, "the budget says so too")
    return spent
