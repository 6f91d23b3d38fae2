"""The running service through its doors: rpc, the bus, health; on the database and bus of one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from hive_billing.service import billing_service
from hive_billing.settings import BillingSettings
from hive_billing.work import Billing
from hive_bus import Batch
from hive_bus.memory import MemoryBus
from hive_host import Process
from hive_runtime.errors import HiveError, Kind
from hive_runtime.settings import HostSettings
from modelhive.billing.v1 import books_pb2 as books
from modelhive.billing.v1 import leases_pb2 as leases
from modelhive.billing.v1.books_pb2_grpc import BooksStub
from modelhive.billing.v1.leases_pb2_grpc import (
    LeaseHolderServicer,
    LeasesStub,
    add_LeaseHolderServicer_to_server,
)
from modelhive.control.v1 import control_pb2 as control
from modelhive.events.v1.ledger_pb2 import POSTING_KIND_CREDIT, POSTING_KIND_USAGE, LedgerPosted
from modelhive.events.v1.receipts_pb2 import KeptRequest
from modelhive.events.v1.receipts_pb2_grpc import ReceiptsStub
from modelhive.events.v1.usage_pb2 import UsageRecorded

DOLLAR = 1_000_000_000


class MoodyBus(MemoryBus):
    """Takes no postings while it is `away`."""

    away = False

    async def publish(self, message: Message) -> None:
        self._require(message)
        await super().publish(message)

    async def publish_all(self, messages: Sequence[Message]) -> int:
        for message in messages:
            self._require(message)
        return await super().publish_all(messages)

    def _require(self, message: Message) -> None:
        if self.away and isinstance(message, LedgerPosted):
            raise HiveError(Kind.UNAVAILABLE, "the broker is away")


class Desk:
    """One process with billing, another service's stubs, and what the others hear."""

    def __init__(self, process: Process, billing: Billing, bus: MoodyBus) -> None:
        self.process = process
        self.billing = billing
        self.bus = bus
        self.host = process.host("other")
        channel = self.host.channel("billing")
        self.leases: Any = LeasesStub(channel)
        self.books: Any = BooksStub(channel)
        self.receipts: Any = ReceiptsStub(channel)
        self.heard: list[LedgerPosted] = []
        self.heard_more = asyncio.Event()

    async def hear(self, batch: Sequence[LedgerPosted]) -> None:
        self.heard += batch
        self.heard_more.set()

    async def hears(self, count: int) -> list[LedgerPosted]:
        async with asyncio.timeout(5):
            while len(self.heard) < count:
                self.heard_more.clear()
                await self.heard_more.wait()
        return self.heard

    async def tell(self, key: str, **entity: Any) -> None:
        await self.bus.publish(control.ControlChanged(key=key, **entity))

    async def wallet(self, tenant: str = "default") -> books.Wallet:
        answer: books.GetWalletResponse = await self.books.GetWallet(books.GetWalletRequest(tenant_id=tenant))
        return answer.wallet

    def acquire(
        self, wanted: int = 0, holder: str = "h", key: str = "key_1", address: str = "nowhere"
    ) -> Any:
        return self.leases.Acquire(
            leases.AcquireRequest(
                holder=holder, address=address, tenant_id="default", key_id=key, wanted_nanos=wanted
            )
        )

    async def notes(self) -> dict[str, str]:
        """What billing tells of itself in `/readyz` without being unready by it."""
        health = self.process.health
        assert not [name for name in health.complaints() if "billing" in name]
        return {name: it for name, it in health.notes().items() if "billing" in name}


def usage(number: int, cost: int = 1000, **fields: Any) -> UsageRecorded:
    usual: dict[str, Any] = {
        "request_id": f"req_{number}",
        "attempt": 1,
        "call": 1,
        "tenant_id": "default",
        "key_id": "key_1",
        "model": "m",
        "provider": "p",
        "deployment": "p/m",
        "started_unix_ms": 1_795_564_800_000,
        "units": {"prompt": 3, "completion": 0},
        "cost_nanos": cost,
        "provider_cost_nanos": cost // 2,
        "price_version": 7,
        "holder": "h",
        "sequence": number,
        "scopes": ["wallet:default"],
        "carried_nanos": cost,
        "tags": ["blue"],
    }
    return UsageRecorded(**{**usual, **fields})


Start = Callable[..., Any]


@pytest.fixture
def start(tmp_path: Path, databases: Any) -> Start:
    """Starts a process with billing over the same database each time."""
    urls: list[str] = []

    @asynccontextmanager
    async def running(**values: Any) -> AsyncIterator[Desk]:
        if not urls:
            urls.append(await databases.make())
        settings = HostSettings(data_dir=tmp_path, sql_url=urls[0])
        async with AsyncExitStack() as stack:
            process = await stack.enter_async_context(Process(settings))
            failures: list[BaseException] = []
            bus = MoodyBus(process.clock, lambda name, error: failures.append(error))
            process.bus = bus
            stack.push_async_callback(bus.close)
            tenant = control.Tenant(id="default", billing=control.Billing(mode=control.BILLING_MODE_PREPAID))
            await bus.publish(control.ControlChanged(key="tenant/default", tenant=tenant))
            key = control.ApiKey(id="key_1", tenant_id="default")
            await bus.publish(control.ControlChanged(key="key/key_1", api_key=key))
            host = process.host("billing")
            office = await stack.enter_async_context(billing_service(host, BillingSettings(**values)))
            billing = office.billing
            assert billing is not None
            billing.lender.patience = billing.bookkeeper.patience = 0.05
            desk = Desk(process, billing, bus)
            await bus.subscribe_batches(LedgerPosted, "test", desk.hear, Batch(256, 0.01))
            yield desk
        assert failures == []

    return running


@pytest.fixture
async def desk(start: Start) -> AsyncIterator[Desk]:
    async with start(bootstrap_credit_usd="10.00") as desk:
        yield desk


async def test_the_first_wallet_is_credited_once(start: Start) -> None:
    for _ in range(2):
        async with start(bootstrap_credit_usd="10.00") as desk:
            wallet = await desk.wallet()
            assert (wallet.mode, wallet.balance_nanos, wallet.funded_nanos) == (
                "prepaid",
                10 * DOLLAR,
                10 * DOLLAR,
            )
            postings = (await desk.books.ListPostings(books.ListPostingsRequest())).postings
            assert [(each.cause, each.kind) for each in postings] == [
                ("bootstrap:default", POSTING_KIND_CREDIT)
            ]


async def test_money_is_lent_used_settled_posted_and_told(desk: Desk) -> None:
    answer = await desk.acquire(5)
    assert list(answer.terms.scopes) == ["wallet:default"]
    assert answer.terms.strictness == leases.STRICTNESS_STRICT
    assert (answer.terms.default_max_output, answer.terms.valid_seconds) == (4096, 60)
    assert [(each.scope, each.amount_nanos, each.free_nanos) for each in answer.slices] == [
        ("wallet:default", 10 * DOLLAR, 0)
    ]
    for number in (1, 2, 3):
        await desk.bus.publish(usage(number))
    heard = await desk.hears(4)
    assert [each.sequence for each in heard] == [1, 2, 3, 4]
    told = heard[1]
    assert told.kind == POSTING_KIND_USAGE
    assert {each.account: each.amount_nanos for each in told.entries} == {
        "wallet:default": -1000,
        "revenue": 1000,
        "provider_cost:p": -500,
        "payable:p": 500,
    }
    assert (told.spent_nanos, told.provider_cost_nanos, told.price_version) == (1000, 500, 7)
    assert (told.cause, told.request_id, list(told.tags)) == ("usage:req_1:1.1", "req_1", ["blue"])
    assert (told.occurred_unix_ms, told.deployment) == (1_795_564_800_000, "p/m")
    kept = await desk.receipts.Kept(KeptRequest(holder="h"))
    assert kept.through_sequence == 3
    wallet = await desk.wallet()
    assert wallet.leased_nanos == wallet.balance_nanos == 10 * DOLLAR - 3000
    assert wallet.used_nanos == 3000


async def test_settle_does_what_the_topic_does(desk: Desk) -> None:
    events = [usage(number) for number in range(1, 600)]
    await desk.leases.Settle(leases.SettleRequest(events=events))
    await desk.leases.Settle(leases.SettleRequest(events=events[:5]))
    assert (await desk.wallet()).used_nanos == 599_000
    assert len(await desk.hears(600)) == 600


async def test_short_money_is_named(desk: Desk) -> None:
    answer = await desk.acquire(11 * DOLLAR)
    assert (answer.short_scope, answer.free_nanos, len(answer.slices)) == ("wallet:default", 10 * DOLLAR, 0)
    assert list(answer.terms.scopes) == ["wallet:default"]


async def test_leases_are_renewed_and_returned(desk: Desk) -> None:
    unknown = await desk.leases.Renew(leases.RenewRequest(holder="h"))
    assert not unknown.known
    await desk.acquire(5)
    position = leases.Position(scope="wallet:default", lease_nanos=10 * DOLLAR, idle_nanos=10 * DOLLAR)
    renewed = await desk.leases.Renew(leases.RenewRequest(holder="h", positions=[position]))
    assert renewed.known and renewed.valid_seconds == 60
    back = leases.Slice(scope="wallet:default", amount_nanos=7)
    await desk.leases.Return(leases.ReturnRequest(holder="h", slices=[back]))
    assert (await desk.wallet()).leased_nanos == 10 * DOLLAR - 7
    await desk.leases.Return(leases.ReturnRequest(holder="h", settled=True))
    assert (await desk.wallet()).leased_nanos == 0


async def test_what_is_not_known_is_not_found(desk: Desk) -> None:
    for call in (
        desk.acquire(key="nobody"),
        desk.books.GetWallet(books.GetWalletRequest(tenant_id="nobody")),
        desk.books.Credit(books.CreditRequest(tenant_id="nobody", amount_nanos=1)),
    ):
        with pytest.raises(HiveError) as caught:
            await call
        assert caught.value.kind is Kind.NOT_FOUND
    for call in (
        desk.acquire(holder=""),
        desk.books.FundBudget(books.FundBudgetRequest(tenant_id="default")),
        desk.books.Rerate(books.RerateRequest(from_unix_ms=5, to_unix_ms=5)),
    ):
        with pytest.raises(HiveError) as caught:
            await call
        assert caught.value.kind is Kind.INVALID


async def test_budgets_are_funded_and_listed(desk: Desk) -> None:
    request = books.FundBudgetRequest(tenant_id="default", key_id="key_2", amount_nanos=100, cause="f")
    answer = await desk.books.FundBudget(request)
    assert answer.posted and answer.budget.balance_nanos == 100
    assert not (await desk.books.FundBudget(request)).posted
    listed = await desk.books.ListBudgets(books.ListBudgetsRequest(tenant_id="default"))
    assert [(each.key_id, each.funded_nanos) for each in listed.budgets] == [("key_2", 100)]
    assert (await desk.wallet()).budgets_nanos == 100


async def test_postings_are_found_by_what_they_are_about(desk: Desk) -> None:
    await desk.leases.Settle(
        leases.SettleRequest(
            events=[usage(1), usage(2, provider="q_%"), usage(3, cost=0, provider_cost_nanos=4)]
        )
    )

    async def causes(**filters: Any) -> list[str]:
        answer = await desk.books.ListPostings(books.ListPostingsRequest(**filters))
        return [each.cause.removeprefix("usage:") for each in answer.postings]

    everything = ["bootstrap:default", "req_1:1.1", "req_2:1.1", "req_3:1.1"]
    assert await causes() == everything
    assert await causes(newest_first=True) == everything[::-1]
    assert await causes(after=2) == everything[2:]
    assert await causes(after=2, newest_first=True) == everything[:1]
    assert await causes(account="wallet:default") == everything[:3]
    assert await causes(account="funding:bootstrap") == everything[:1]
    assert await causes(account="revenue") == everything[1:3]
    assert await causes(account="payable:q_%") == everything[2:3]
    assert await causes(account="payable:q") == []
    assert await causes(request_id="req_1") == everything[1:2]
    assert await causes(key_id="key_1", tenant_id="default") == everything[1:]
    page = await desk.books.ListPostings(books.ListPostingsRequest(limit=3))
    assert page.has_more and len(page.postings) == 3


async def test_totals_are_those_of_the_ledger_up_to_a_sequence(desk: Desk) -> None:
    tomorrow = 1_795_564_800_000 + 86_400_000
    events = [usage(1), usage(2, started_unix_ms=tomorrow), usage(3, cost=50, request_id="req_1", call=2)]
    await desk.leases.Settle(leases.SettleRequest(events=events))
    answer = await desk.books.Totals(books.TotalsRequest())
    found = [(t.day, t.spent_nanos, t.provider_cost_nanos, t.postings) for t in answer.totals if t.key_id]
    # req_1: 1000, then another attempt for 50 and the correction of the first
    assert found == [("2026-11-25", 50, 525, 3), ("2026-11-26", 1000, 500, 1)]
    assert answer.last_sequence == 5
    answer = await desk.books.Totals(books.TotalsRequest(through_sequence=2))
    assert [(t.day, t.spent_nanos) for t in answer.totals if t.key_id] == [("2026-11-25", 1000)]
    assert sum(t.postings for t in answer.totals) == 2


async def test_the_books_can_be_verified(desk: Desk) -> None:
    await desk.acquire(5)
    await desk.leases.Settle(leases.SettleRequest(events=[usage(number) for number in range(1, 300)]))
    found = await desk.books.Verify(books.VerifyRequest())
    assert list(found.problems) == []
    assert (found.postings, found.last_sequence) == (300, 300)
    assert {each.account: each.amount_nanos for each in found.balances}["revenue"] == 299_000


async def test_what_the_bus_did_not_take_is_told_when_it_is_back(desk: Desk) -> None:
    await desk.hears(1)
    desk.bus.away = True
    await desk.leases.Settle(leases.SettleRequest(events=[usage(number) for number in range(1, 50)]))
    async with asyncio.timeout(5):
        while not await desk.notes():
            await asyncio.sleep(0.001)
    desk.bus.away = False
    assert [each.sequence for each in await desk.hears(50)] == list(range(1, 51))
    async with asyncio.timeout(5):
        while await desk.notes():
            await asyncio.sleep(0.001)


async def test_what_was_not_told_before_the_end_is_told_at_the_next_start(start: Start) -> None:
    async with start(bootstrap_credit_usd="10.00") as desk:
        await desk.hears(1)
        await desk.billing.publisher.flush()
        desk.bus.away = True
        await desk.leases.Settle(leases.SettleRequest(events=[usage(number) for number in range(1, 5)]))
    async with start() as desk:
        assert [each.sequence for each in await desk.hears(4)] == [2, 3, 4, 5]
        assert (await desk.receipts.Kept(KeptRequest(holder="h"))).through_sequence == 4
    async with start() as desk:
        await desk.leases.Settle(leases.SettleRequest(events=[usage(5)]))
        assert [each.sequence for each in await desk.hears(1)] == [6]


async def test_all_that_was_taken_is_posted_and_told_when_the_service_is_left(start: Start) -> None:
    async with start(bootstrap_credit_usd="10.00") as desk:
        for number in range(1, 700):
            await desk.bus.publish(usage(number))
    async with start() as desk:
        used, done = (await desk.wallet()).used_nanos, await desk.books.Verify(books.VerifyRequest())
        assert used == (done.postings - 1) * 1000 and not done.problems
        kept = await desk.receipts.Kept(KeptRequest(holder="h"))
        assert kept.through_sequence == done.postings - 1


async def test_holders_are_told_to_forget_and_asked_to_give_back(desk: Desk) -> None:
    heard: asyncio.Queue[leases.ForgetRequest] = asyncio.Queue()

    class Door(LeaseHolderServicer):
        async def Recall(self, request: leases.RecallRequest, context: object) -> leases.RecallResponse:
            [want] = request.wants
            given = leases.Slice(scope=want.scope, amount_nanos=want.amount_nanos)
            return leases.RecallResponse(slices=[given] if request.holder == "h" else [])

        async def Forget(self, request: leases.ForgetRequest, context: object) -> leases.ForgetResponse:
            heard.put_nowait(request)
            return leases.ForgetResponse()

    holder = desk.process.host("holder")
    holder.serve(add_LeaseHolderServicer_to_server, Door())
    async with holder.running(), asyncio.timeout(5):
        await desk.acquire(5, address=holder.address)
        answer = await desk.acquire(7, holder="other", address=holder.address)
        assert [each.amount_nanos for each in answer.slices] == [7]
        key = control.ApiKey(id="key_1", tenant_id="default", caps=control.Caps(day_nanos=5))
        await desk.tell("key/key_1", api_key=key)
        assert list((await heard.get()).key_ids) == ["key_1"]
        metered = control.Billing(mode=control.BILLING_MODE_METERED, balanced=True, default_max_output=9)
        await desk.tell("tenant/default", tenant=control.Tenant(id="default", billing=metered))
        assert list((await heard.get()).tenant_ids) == ["default"]
        answer = await desk.acquire(5, address=holder.address)
        assert [each.scope.rpartition(":")[0] for each in answer.slices] == ["cap:key/key_1:day"]
        assert answer.terms.strictness == leases.STRICTNESS_BALANCED
        assert answer.terms.default_max_output == 9 and answer.terms.until_unix_ms > 0
        await desk.bus.retire(control.ControlChanged, "key/key_1")
        assert list((await heard.get()).key_ids) == ["key_1"]
        with pytest.raises(HiveError):
            await desk.acquire(5, address=holder.address)


async def test_prices_are_listed_and_past_usage_is_rerated(desk: Desk) -> None:
    price = control.Price(units={"prompt": "1.00"}, per=1_000_000)
    await desk.tell("provider/p", provider=control.Provider(id="p", kind="openai", base_url="http://p"))
    deployments = [control.Deployment(provider_id="p", model="m", weight=1)]
    await desk.tell("model/m", model=control.Model(id="m", deployments=deployments, price=price))
    listed = await _listed(desk, "model/m")
    event = usage(1, cost=3000, price_version=listed.version)
    await desk.leases.Settle(leases.SettleRequest(events=[event]))
    price.units["prompt"] = "2.00"
    await desk.tell("model/m", model=control.Model(id="m", deployments=deployments, price=price))
    async with asyncio.timeout(5):
        while (await _listed(desk, "model/m")).version == listed.version:
            await asyncio.sleep(0.001)
    span = books.RerateRequest(from_unix_ms=0, to_unix_ms=2**50)
    report = await desk.books.Rerate(span)
    assert (report.examined, report.changed, report.difference_nanos) == (1, 1, 3000)
    assert (await desk.wallet()).used_nanos == 6000
    again = await desk.books.Rerate(span)
    assert (again.examined, again.changed) == (1, 0)
    assert list((await desk.books.Verify(books.VerifyRequest())).problems) == []


async def _listed(desk: Desk, subject: str) -> Any:
    async with asyncio.timeout(5):
        while not (found := (await desk.books.ListPrices(books.ListPricesRequest(contains=subject))).prices):
            await asyncio.sleep(0.001)
    return found[0]


async def test_figures_are_counted(desk: Desk) -> None:
    await desk.acquire(5)
    await desk.leases.Settle(
        leases.SettleRequest(events=[usage(1), usage(2, cost=11 * DOLLAR, carried_nanos=0)])
    )
    await desk.leases.Settle(leases.SettleRequest(events=[usage(1, cost=5)]))
    page = desk.process.metrics.page().decode()
    assert 'hive_billing_postings_total{kind="usage"} 2.0' in page
    assert "hive_billing_overrun_nanos_total 1.1e+10" in page
    assert "hive_billing_cause_conflicts_total 1.0" in page
    assert "hive_billing_leases 1.0" in page


def test_settings_refuse_what_is_no_amount() -> None:
    for wrong in ("ten", "-1", "0", "1.0000000001"):
        with pytest.raises(ValueError, match="bootstrap_credit_usd"):
            BillingSettings(bootstrap_credit_usd=wrong)
    assert BillingSettings(bootstrap_credit_usd="10.50").bootstrap_credit == 10_500_000_000
    assert BillingSettings().bootstrap_credit == 0
