"""What may be asked of the books: settle, credit, fund, and how things stand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple
from uuid import uuid4

from hive_billing import funding, ledger
from hive_billing.accounts import Accounts
from hive_billing.books import Balance, Books
from hive_billing.ledger import Posting, Usage
from hive_billing.loading import Found
from hive_billing.rerate import Repricing
from hive_billing.settlement import reprice, settle
from hive_billing.writer import Writer

Recall = Callable[[str, int], Awaitable[int]]


class Wallet(NamedTuple):
    """How a tenant stands, in nano-dollars: balance + budgets + used = funded + receivable.

    funded: all that ever came in. used: all that was paid for usage, by its keys' budgets too.
    """

    tenant_id: str
    prepaid: bool
    balance: int
    leased: int
    receivable: int
    funded: int
    used: int
    budgets: int


class Budget(NamedTuple):
    """How a key's budget stands, in nano-dollars: balance + used = funded."""

    key_id: str
    tenant_id: str
    balance: int
    leased: int
    funded: int
    used: int


@dataclass(slots=True)
class Bookkeeper:
    """patience: seconds to wait for the control record of a tenant that is not known."""

    writer: Writer
    accounts: Accounts
    recall: Recall
    patience: float = 1.0

    # Usage

    async def settle(self, usages: Sequence[Usage]) -> None:
        """Post each attempt once; returns when all of them are written."""

        named = set(chain.from_iterable([usage.scopes for usage in usages]))
        requests = {usage.request_id for usage in usages}

        def scopes(found: Found) -> Collection[str]:
            return named | _scopes_of(found, requests)

        def decide(books: Books, found: Found) -> None:
            books.require(scopes(found))
            known_of = found.requests
            for usage in usages:
                known = known_of.get(usage.request_id)
                if known is None:
                    known = known_of[usage.request_id] = []
                settle(books, usage, known)

        ids = [usage.request_id for usage in usages if usage.cost or usage.provider_cost]
        await self.writer.ask(decide, requests=ids, scopes=scopes, durable=True, weight=len(usages))

    async def reprice(self, repricings: Sequence[Repricing]) -> Sequence[Posting | None]:
        """Post corrections; None for each whose cause stands in the ledger already, or that changes nothing."""

        requests = [each.posting.request_id for each in repricings]

        def scopes(found: Found) -> Collection[str]:
            named = {scope for each in repricings for scope in each.posting.scopes}
            return named | _scopes_of(found, requests)

        def decide(books: Books, found: Found) -> list[Posting | None]:
            books.require(scopes(found))
            done: list[Posting | None] = []
            for each in repricings:
                if each.cause in found.causes:
                    done.append(None)
                    continue
                known = found.requests[each.posting.request_id]
                found.causes[each.cause] = correction = reprice(
                    books,
                    each.posting,
                    known,
                    each.cost,
                    each.provider_cost,
                    each.cause,
                    each.price_version,
                )
                done.append(correction)
            return done

        return await self.writer.ask(
            decide,
            requests=requests,
            causes=[each.cause for each in repricings],
            scopes=scopes,
            durable=True,
            weight=len(repricings),
        )

    # Money in, money moved

    async def credit(
        self, tenant_id: str, amount: int, cause: str, source: str, note: str = ""
    ) -> tuple[str, bool, Wallet]:
        """The cause, whether it was posted by this call, and the wallet after it. HiveError `not_found`, `invalid`."""
        await self.accounts.tenant(tenant_id, self.patience)
        cause = cause or f"credit:{uuid4().hex}"

        def decide(books: Books, found: Found) -> tuple[str, bool, Wallet]:
            posted = funding.credit(books, found.causes, tenant_id, amount, cause, source or "manual", note)
            return cause, posted, _wallet(books, tenant_id)

        return await self.writer.ask(decide, causes=(cause,), durable=True)

    async def fund(
        self, tenant_id: str, key_id: str, amount: int, cause: str, *, empty: bool
    ) -> tuple[bool, Budget]:
        """Move money into a key's budget, or out of it. HiveError `not_found`, `budget_exceeded`, `conflict`.

        The key itself need not be known yet.
        """
        tenant = await self.accounts.tenant(tenant_id, self.patience)
        cause = cause or f"fund:{uuid4().hex}"
        source = ledger.budget(key_id) if empty else funding.source_of(tenant, key_id, amount)

        def missing(books: Books, found: Found) -> int:
            if source is None or cause in found.causes:
                return 0
            held = books.leased.get(source)
            return (held.total if held else 0) if empty else abs(amount) - books.free(source)

        def decide(books: Books, found: Found) -> tuple[bool, Budget]:
            if empty:
                posted = funding.empty(books, found.causes, tenant, key_id, cause)
            elif amount:
                posted = funding.fund(books, found.causes, tenant, key_id, amount, cause)
            else:
                posted = False
                funding.reopen(books, key_id)
            return posted, _budget(books, key_id, tenant_id)

        lack = await self.writer.ask(missing, causes=(cause,))
        if lack > 0 and source is not None:
            await self.recall(source, lack)
        return await self.writer.ask(decide, causes=(cause,), durable=True)

    # How things stand

    async def wallet(self, tenant_id: str) -> Wallet:
        """HiveError `not_found`."""
        await self.accounts.tenant(tenant_id, self.patience)
        return await self.writer.ask(lambda books, found: _wallet(books, tenant_id))

    async def budgets(self, tenant_id: str = "", key_ids: Collection[str] = ()) -> list[Budget]:
        """Those of a tenant (or all tenants), or of these keys, as far as they ever had one."""

        def decide(books: Books, found: Found) -> list[Budget]:
            accounts = [ledger.budget(id) for id in key_ids] or [
                account for account in books.balances if account.startswith("budget:")
            ]
            return [
                _budget(books, ledger.owner_id(account), books.balances[account].tenant_id)
                for account in sorted(accounts)
                if account in books.balances and tenant_id in ("", books.balances[account].tenant_id)
            ]

        return await self.writer.ask(decide)


def _scopes_of(found: Found, requests: Iterable[str]) -> set[str]:
    """Of what is posted of these requests: a batch may have found those of many other jobs."""
    known = found.requests
    return {scope for id in requests for posting in known.get(id, ()) for scope in posting.scopes}


def _leased(books: Books, scope: str) -> int:
    found = books.leased.get(scope)
    return 0 if found is None else found.total


def _wallet(books: Books, tenant_id: str) -> Wallet:
    tenant = books.accounts.tenants.get(tenant_id)
    nothing = Balance()
    wallet = books.balances.get(ledger.wallet(tenant_id), nothing)
    owed = books.balances.get(ledger.receivable(tenant_id), nothing)
    budgets = [
        balance
        for account, balance in books.balances.items()
        if balance.tenant_id == tenant_id and account.startswith("budget:")
    ]
    return Wallet(
        tenant_id=tenant_id,
        prepaid=tenant is not None and tenant.prepaid,
        balance=wallet.amount,
        leased=_leased(books, ledger.wallet(tenant_id)),
        receivable=-owed.amount,
        funded=wallet.funded + owed.funded + sum(each.funded for each in budgets),
        used=wallet.used + owed.used + sum(each.used for each in budgets),
        budgets=sum(each.amount for each in budgets),
    )


def _budget(books: Books, key_id: str, tenant_id: str) -> Budget:
    account = ledger.budget(key_id)
    balance = books.balances.get(account, Balance(tenant_id=tenant_id))
    return Budget(
        key_id, balance.tenant_id, balance.amount, _leased(books, account), balance.funded, balance.used
    )
