"""What analytics asks billing for: postings that did not come by the bus, and what is left of money."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hive_analytics.runway import Purse
from hive_rpc import Channel
from hive_runtime.errors import HiveError, Kind
from modelhive.billing.v1.books_pb2 import Budget, GetWalletRequest, ListBudgetsRequest, ListPostingsRequest
from modelhive.billing.v1.books_pb2_grpc import BooksStub

PAGE = 1000
SECONDS = 10.0
PREPAID = "prepaid"


@dataclass(frozen=True, slots=True)
class Page:
    """postings: serialized. last: the sequence of the last of them; 0 where there is none."""

    postings: Sequence[bytes]
    last: int


class Books:
    """Every method raises HiveError where billing does not answer."""

    def __init__(self, channel: Channel) -> None:
        self._stub = BooksStub(channel)

    async def newest(self) -> int:
        """Sequence of the newest posting; 0 where nothing was posted yet."""
        request = ListPostingsRequest(limit=1, newest_first=True)
        found = await self._stub.ListPostings(request, timeout=SECONDS)
        return max((posting.sequence for posting in found.postings), default=0)

    async def after(self, sequence: int) -> Page:
        """The postings behind this one, oldest first."""
        found = await self._stub.ListPostings(
            ListPostingsRequest(after=sequence, limit=PAGE), timeout=SECONDS
        )
        last = max((posting.sequence for posting in found.postings), default=0)
        return Page([posting.SerializeToString() for posting in found.postings], last)

    async def budgets(self, tenants: Sequence[str], keys: Sequence[str]) -> list[Purse]:
        """What the budgets of keys have left. Empty: of all tenants, of all keys."""
        found: list[Budget] = []
        for tenant in tenants or [""]:
            request = ListBudgetsRequest(tenant_id=tenant, key_ids=keys)
            found += (await self._stub.ListBudgets(request, timeout=SECONDS)).budgets
        return [Purse(budget.tenant_id, budget.key_id, budget.balance_nanos) for budget in found]

    async def wallets(self, tenants: Iterable[str]) -> list[Purse]:
        """What tenants have left that pay in advance, their keys' budgets included. Unknown ones are left out."""
        found = []
        for tenant in tenants:
            try:
                answer = await self._stub.GetWallet(GetWalletRequest(tenant_id=tenant), timeout=SECONDS)
            except HiveError as error:
                if error.kind is Kind.NOT_FOUND:
                    continue
                raise
            wallet = answer.wallet
            if wallet.mode == PREPAID:
                found.append(Purse(tenant, "", wallet.balance_nanos + wallet.budgets_nanos))
        return found
