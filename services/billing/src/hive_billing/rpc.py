"""The doors for calls: leases for routing, books for those who administrate, receipts for tellers of usage."""

from __future__ import annotations

from hive_billing import windows
from hive_billing.auditing import audit
from hive_billing.bookkeeper import Bookkeeper, Budget, Wallet
from hive_billing.consumers import settling
from hive_billing.leases import Granted, Position, Said, Short
from hive_billing.lender import Asked, Lender
from hive_billing.messages import posted_of, usage_of
from hive_billing.price_list import PriceList
from hive_billing.rerate import Span, StoredUsage, rerate
from hive_billing.store import Store, snapshot
from hive_billing.writer import BATCH, Writer
from hive_runtime.errors import HiveError, Kind
from hive_sql import Database
from modelhive.billing.v1 import books_pb2 as books
from modelhive.billing.v1 import leases_pb2 as leases
from modelhive.billing.v1.books_pb2_grpc import BooksServicer, add_BooksServicer_to_server
from modelhive.billing.v1.leases_pb2_grpc import LeasesServicer, add_LeasesServicer_to_server
from modelhive.events.v1.receipts_pb2 import KeptRequest, KeptResponse
from modelhive.events.v1.receipts_pb2_grpc import ReceiptsServicer, add_ReceiptsServicer_to_server

LARGEST_PAGE = 1000
USUAL_PAGE = 100


class LeasesDoor(LeasesServicer):
    attach = staticmethod(add_LeasesServicer_to_server)

    def __init__(self, lender: Lender, bookkeeper: Bookkeeper, valid_seconds: float) -> None:
        self._lender = lender
        self._bookkeeper = bookkeeper
        self._valid_seconds = valid_seconds

    async def Acquire(self, request: leases.AcquireRequest, context: object) -> leases.AcquireResponse:
        _require(request.holder, "holder")
        asked = Asked(
            holder=request.holder,
            address=request.address,
            tenant_id=request.tenant_id,
            key_id=request.key_id,
            wants={want.scope: want.amount_nanos for want in request.wants},
            wanted=request.wanted_nanos,
            generation=request.generation,
            through=request.through_sequence,
        )
        return self._answer(await self._lender.acquire(asked))

    async def Renew(self, request: leases.RenewRequest, context: object) -> leases.RenewResponse:
        said = Said(
            positions=[Position(each.scope, each.lease_nanos) for each in request.positions],
            generation=request.generation,
            through=request.through_sequence,
            number=request.number,
            last_exact=request.last_exact,
        )
        known, generation = await self._lender.renew(request.holder, request.address, said)
        return leases.RenewResponse(known=known, valid_seconds=self._valid_seconds, generation=generation)

    async def Return(self, request: leases.ReturnRequest, context: object) -> leases.ReturnResponse:
        amounts = {each.scope: each.amount_nanos for each in request.slices}
        await self._lender.give_back(
            request.holder,
            amounts,
            last=request.last,
            settled=request.settled,
            generation=request.generation,
        )
        return leases.ReturnResponse()

    async def Settle(self, request: leases.SettleRequest, context: object) -> leases.SettleResponse:
        for start in range(0, len(request.events), BATCH):
            events = request.events[start : start + BATCH]
            with settling(events):
                await self._bookkeeper.settle([usage_of(event) for event in events])
        return leases.SettleResponse()

    def _answer(self, answer: Granted | Short) -> leases.AcquireResponse:
        balanced = answer.terms.balanced
        response = leases.AcquireResponse(
            terms=leases.Terms(
                scopes=answer.terms.scopes,
                strictness=leases.STRICTNESS_BALANCED if balanced else leases.STRICTNESS_STRICT,
                default_max_output=answer.terms.default_max_output,
                valid_seconds=self._valid_seconds,
                until_unix_ms=answer.terms.until_ms,
            ),
            generation=answer.generation,
        )
        if isinstance(answer, Short):
            response.short_scope, response.free_nanos = answer.scope, answer.free
        else:
            response.slices.extend(
                leases.Slice(scope=each.scope, amount_nanos=each.amount, free_nanos=each.free)
                for each in answer.slices
            )
        return response


class BooksDoor(BooksServicer):
    attach = staticmethod(add_BooksServicer_to_server)

    def __init__(self, bookkeeper: Bookkeeper, database: Database, prices: PriceList) -> None:
        self._bookkeeper = bookkeeper
        self._database = database
        self._prices = prices
        self._posted = StoredUsage(database, bookkeeper.reprice)

    async def Credit(self, request: books.CreditRequest, context: object) -> books.CreditResponse:
        cause, posted, wallet = await self._bookkeeper.credit(
            request.tenant_id, request.amount_nanos, request.cause, request.source, request.note
        )
        return books.CreditResponse(cause=cause, posted=posted, wallet=_wallet(wallet))

    async def GetWallet(self, request: books.GetWalletRequest, context: object) -> books.GetWalletResponse:
        return books.GetWalletResponse(wallet=_wallet(await self._bookkeeper.wallet(request.tenant_id)))

    async def FundBudget(self, request: books.FundBudgetRequest, context: object) -> books.FundBudgetResponse:
        _require(request.key_id, "key_id")
        posted, budget = await self._bookkeeper.fund(
            request.tenant_id, request.key_id, request.amount_nanos, request.cause, empty=request.empty
        )
        return books.FundBudgetResponse(budget=_budget(budget), posted=posted)

    async def ListBudgets(
        self, request: books.ListBudgetsRequest, context: object
    ) -> books.ListBudgetsResponse:
        found = await self._bookkeeper.budgets(request.tenant_id, list(request.key_ids))
        return books.ListBudgetsResponse(budgets=[_budget(each) for each in found])

    async def ListPostings(
        self, request: books.ListPostingsRequest, context: object
    ) -> books.ListPostingsResponse:
        limit = min(request.limit or USUAL_PAGE, LARGEST_PAGE)
        async with self._database.read() as connection:
            found = await Store(connection).listed(
                after=request.after,
                limit=limit + 1,
                newest_first=request.newest_first,
                account=request.account,
                tenant_id=request.tenant_id,
                key_id=request.key_id,
                request_id=request.request_id,
            )
        postings = [posted_of(posting) for posting in found[:limit]]
        return books.ListPostingsResponse(postings=postings, has_more=len(found) > limit)

    async def Verify(self, request: books.VerifyRequest, context: object) -> books.VerifyResponse:
        done, balances = await audit(self._database)
        return books.VerifyResponse(
            postings=done.postings,
            last_sequence=done.sequence,
            problems=done.problems,
            balances=[
                books.Balance(account=account, amount_nanos=balances[account].amount)
                for account in sorted(balances)
            ],
        )

    async def Totals(self, request: books.TotalsRequest, context: object) -> books.TotalsResponse:
        """Of all postings; `through_sequence` 0 is the end."""
        async with snapshot(self._database) as connection:
            store = Store(connection)
            last = await store.last_sequence()
            through = min(last, request.through_sequence or last)
            found = await store.totals(through)
        return books.TotalsResponse(
            totals=[
                books.Total(
                    tenant_id=tenant,
                    key_id=key,
                    day=windows.day_text(day),
                    spent_nanos=spent,
                    provider_cost_nanos=charged,
                    postings=count,
                )
                for tenant, key, day, spent, charged, count in found
            ],
            last_sequence=through,
        )

    async def ListPrices(self, request: books.ListPricesRequest, context: object) -> books.ListPricesResponse:
        return books.ListPricesResponse(prices=await self._prices.list(request.contains, request.past))

    async def Rerate(self, request: books.RerateRequest, context: object) -> books.RerateResponse:
        if request.to_unix_ms <= request.from_unix_ms:
            raise HiveError(
                Kind.INVALID, "The span is empty: its end must lie behind its start.", "to_unix_ms"
            )
        span = Span(request.from_unix_ms, request.to_unix_ms, request.tenant_id, request.model)
        report = await rerate(self._posted, self._prices, span, dry_run=request.dry_run)
        return books.RerateResponse(
            changes=[
                books.Rerated(
                    tenant_id=each.tenant_id,
                    key_id=each.key_id,
                    model=each.model,
                    postings=each.postings,
                    before_nanos=each.before,
                    after_nanos=each.after,
                )
                for each in report.changes
            ],
            examined=report.examined,
            changed=report.changed,
            difference_nanos=report.difference,
        )


class ReceiptsDoor(ReceiptsServicer):
    attach = staticmethod(add_ReceiptsServicer_to_server)

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def Kept(self, request: KeptRequest, context: object) -> KeptResponse:
        return KeptResponse(through_sequence=self._writer.kept(request.holder))


def _wallet(wallet: Wallet) -> books.Wallet:
    return books.Wallet(
        tenant_id=wallet.tenant_id,
        mode="prepaid" if wallet.prepaid else "metered",
        balance_nanos=wallet.balance,
        leased_nanos=wallet.leased,
        receivable_nanos=wallet.receivable,
        funded_nanos=wallet.funded,
        used_nanos=wallet.used,
        budgets_nanos=wallet.budgets,
    )


def _budget(budget: Budget) -> books.Budget:
    return books.Budget(
        key_id=budget.key_id,
        tenant_id=budget.tenant_id,
        balance_nanos=budget.balance,
        leased_nanos=budget.leased,
        funded_nanos=budget.funded,
        used_nanos=budget.used,
    )


def _require(value: str, name: str) -> None:
    if not value:
        raise HiveError(Kind.INVALID, f"{name} is empty: it must be named.", name)
