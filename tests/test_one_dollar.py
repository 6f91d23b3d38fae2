"""Ten thousand calls at once on one dollar: the books promise no more than there is, and refuse nobody wrongly."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hive_billing.service import billing_service
from hive_billing.settings import BillingSettings
from hive_edge.service import edge_service
from hive_edge.settings import EdgeSettings
from hive_guardrails.service import guardrails_service
from hive_host import Process
from hive_relay.asgi import App
from hive_routing.service import routing_service
from hive_routing.settings import RoutingSettings
from hive_runtime.settings import HostSettings
from hive_testing.asgi import Answered, Client
from hive_testing.simulator import Simulator
from modelhive.billing.v1.books_pb2 import (
    Budget,
    CreditRequest,
    FundBudgetRequest,
    ListBudgetsRequest,
    VerifyRequest,
)
from modelhive.billing.v1.books_pb2_grpc import BooksStub

if TYPE_CHECKING:
    from modelhive.billing.v1.books_pb2_grpc import BooksAsyncStub
from modelhive.control.v1 import control_pb2 as control

SECRET = "sk-hive-one-dollar-one-dollar"
TENANT, KEY = "acme", "key_1"
DOLLAR = 1_000_000_000
CALLS = 10_000
REFUSAL = re.compile(r"Insufficient budget\. Remaining: \$(\d+\.\d+), estimated cost: \$(\d+\.\d+)")


@dataclass
class Hive:
    app: App
    books: BooksAsyncStub

    async def ask(self, number: int, *, stream: bool = False, max_tokens: int | None = 40) -> Answered:
        body: dict[str, Any] = {
            "model": "long" if stream else "short",
            "stream": stream,
            "messages": [{"role": "user", "content": f"call number {number}"}],
        }
        if max_tokens is not None:
            body["max_tokens"] = max_tokens
        headers = {
            "authorization": f"Bearer {SECRET}",
            "content-type": "application/json",
            "x-hive-guard": "none",  # all wait for one process here, and this is about money
        }
        parts = [json.dumps(body).encode()]
        while True:
            client = Client(self.app, "POST", "/v1/chat/completions", headers=headers, parts=parts)
            answer = await client.send()
            if answer.status != 503:
                return answer
            await asyncio.sleep(float(answer.headers["retry-after"]))  # as SDKs do: the process was busy

    async def budget(self) -> Budget:
        (found,) = (await self.books.ListBudgets(ListBudgetsRequest(tenant_id=TENANT))).budgets
        return found


@asynccontextmanager
async def hive(
    folder: Path, simulator: Simulator, *, balanced: bool, routers: str = "0", nanos: int = DOLLAR
) -> AsyncIterator[Hive]:
    """A key with a budget of its own, in a tenant whose wallet is empty but for that."""
    async with Process(HostSettings(data_dir=folder / "data")) as process, AsyncExitStack() as services:
        bus = process.bus
        provider = control.Provider(id="sim", kind="openai", base_url=simulator.url)
        await bus.publish(control.ControlChanged(key="provider/sim", provider=provider))
        price = control.Price(units={"prompt": "2.50", "completion": "10"}, per=1_000_000)
        for name in ("short", "long"):
            deployment = control.Deployment(provider_id="sim", model=f"gpt-4o-{name}", weight=1)
            model = control.Model(id=name, mode="chat", deployments=[deployment], price=price)
            await bus.publish(control.ControlChanged(key=f"model/{name}", model=model))
        terms = control.Billing(mode=control.BILLING_MODE_PREPAID, balanced=balanced)
        tenant = control.Tenant(id=TENANT, name="Acme", billing=terms)
        await bus.publish(control.ControlChanged(key=f"tenant/{TENANT}", tenant=tenant))
        sha256 = hashlib.sha256(SECRET.encode()).digest()
        key = control.ApiKey(id=KEY, tenant_id=TENANT, sha256=sha256, has_budget=True)
        await bus.publish(control.ControlChanged(key=f"key/{KEY}", api_key=key))
        await services.enter_async_context(billing_service(process.host("billing"), BillingSettings()))
        books = BooksStub(process.network.channel("billing"))
        await books.Credit(CreditRequest(tenant_id=TENANT, amount_nanos=nanos, source="manual"))
        await books.FundBudget(FundBudgetRequest(tenant_id=TENANT, key_id=KEY, amount_nanos=nanos))
        await services.enter_async_context(guardrails_service(process.host("guardrails")))
        for number in routers:
            host = process.host("routing", number)
            await services.enter_async_context(routing_service(host, RoutingSettings(cache_seconds=0)))
        await services.enter_async_context(edge_service(process.host("edge"), EdgeSettings()))
        yield Hive(process.mounts["public"], books)


async def at_once(calls: Iterable[Coroutine[Any, Any, Answered]]) -> list[Answered]:
    """All answers. Where one call fails the others end: each would go on asking a gateway that has left."""
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(call) for call in calls]
    return [each.result() for each in asked]


def tell_refusals_apart(answers: list[Answered]) -> tuple[list[Answered], list[tuple[Decimal, Decimal]]]:
    """The served ones, and of each refusal what remained and what was needed."""
    served, refused = [], []
    for answer in answers:
        if answer.status == 200:
            served.append(answer)
            continue
        assert answer.status == 402, (answer.status, answer.body)
        error = json.loads(answer.body)["error"]
        assert (error["type"], error["code"]) == ("budget_exceeded", 402)
        found = REFUSAL.fullmatch(error["message"])
        assert found is not None, error["message"]
        refused.append((Decimal(found[1]), Decimal(found[2])))
    return served, refused


async def settled(hive: Hive) -> Budget:
    """The budget once all that was used is posted: what is leased then is idle."""
    async with asyncio.timeout(60):
        before = -1
        while (found := await hive.budget()).used_nanos != before:
            before = found.used_nanos
            await asyncio.sleep(0.3)
    return found


async def assert_books_are_well(hive: Hive) -> None:
    problems = (await hive.books.Verify(VerifyRequest())).problems
    assert list(problems) == []


@pytest.mark.timeout(300)
async def test_ten_thousand_calls_at_once_on_one_dollar(tmp_path: Path) -> None:
    """One in fifty is a stream that outgrows what it was held for, and has to be extended in the middle."""
    async with Simulator(keep=CALLS) as simulator, hive(tmp_path, simulator, balanced=True) as gateway:
        simulator.script(model="gpt-4o-long", chunks=1600, chunk_bytes=4, content="word ")
        answers = await at_once(
            gateway.ask(each, stream=each % 50 == 0, max_tokens=None if each % 50 == 0 else 40)
            for each in range(CALLS)
        )
        served, refused = tell_refusals_apart(answers)
        streams = [answer for answer in served if b"data:" in answer.body]
        assert all(answer.body.endswith(b"data: [DONE]\n\n") for answer in streams)
        extended = [answer for answer in streams if answer.body.count(b"data:") > 1100]
        assert served and refused and extended
        assert all(remaining < needed for remaining, needed in refused)
        budget = await settled(gateway)
        assert budget.used_nanos + budget.balance_nanos == budget.funded_nanos == DOLLAR
        assert budget.balance_nanos >= 0
        billed = simulator.bill_totals
        assert len(served) >= billed["calls"] > 0
        await assert_books_are_well(gateway)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("routers", ["0", "01"])
async def test_all_that_fit_are_served_and_no_more(tmp_path: Path, routers: str) -> None:
    """Strict holds: as many calls as the money carries, through one router or two of them."""
    usage = {"prompt_tokens": 12, "completion_tokens": 40, "total_tokens": 52}
    each = (12 * 2_500_000 + 40 * 10_000_000) // 1000
    async with (
        Simulator(keep=CALLS) as simulator,
        hive(tmp_path, simulator, balanced=False, routers=routers, nanos=300 * each) as gateway,
    ):
        simulator.script(usage=usage)
        answers = await at_once(gateway.ask(number) for number in range(1000))
        served, refused = tell_refusals_apart(answers)
        assert all(remaining < needed for remaining, needed in refused)
        # Holds are a little more than costs: what was given back carries more calls, one after another.
        later = 0
        while (answer := await gateway.ask(1000 + later)).status == 200:
            later += 1
        assert answer.status == 402
        assert 298 <= len(served) + later <= 300
        budget = await settled(gateway)
        assert budget.used_nanos == (len(served) + later) * each == simulator.bill_totals["calls"] * each
        await assert_books_are_well(gateway)
