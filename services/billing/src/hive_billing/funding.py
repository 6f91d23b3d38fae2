"""Money that comes in, and money that moves between a wallet (or a receivable) and the budgets of keys."""

from __future__ import annotations

from collections.abc import Mapping

from hive_billing import ledger
from hive_billing.accounts import Tenant
from hive_billing.books import Books
from hive_billing.ledger import Posting, PostingKind
from hive_runtime.errors import HiveError, Kind
from hive_runtime.money import show_usd

Known = Mapping[str, Posting]
"""Postings by cause, as far as they were asked for."""


def credit(
    books: Books, known: Known, tenant_id: str, amount: int, cause: str, source: str, note: str
) -> bool:
    """Put money into a wallet; False where the cause stands in the ledger. HiveError `conflict`, `invalid`."""
    if amount <= 0:
        raise HiveError(
            Kind.INVALID, f"A credit of {amount} nano-dollars is none: name more than 0.", "amount_usd"
        )
    account, funding = ledger.wallet(tenant_id), ledger.funding(source)
    entries = ledger.transfer(funding, account, amount)
    if _is_known(books, known, cause, account, amount):
        return False
    books.post(
        PostingKind.CREDIT, cause, entries, tenant_id=tenant_id, account=account, counter=funding, note=note
    )
    return True


def recharge(books: Books, known: Known, tenant_id: str, amount: int, cause: str, source: str) -> bool:
    """Put a payment into a wallet; False where the cause stands in the ledger."""
    account, funding = ledger.wallet(tenant_id), ledger.funding(source)
    entries = ledger.transfer(funding, account, amount)
    if _is_known(books, known, cause, account, amount):
        return False
    books.post(PostingKind.RECHARGE, cause, entries, tenant_id=tenant_id, account=account, counter=funding)
    return True


def fund(books: Books, known: Known, tenant: Tenant, key_id: str, amount: int, cause: str) -> bool:
    """Move money into a budget, or (negative) out of it; False where the cause stands in the ledger.

    HiveError `budget_exceeded` where what is free does not reach, `conflict`.
    """
    if _is_known(books, known, cause, ledger.budget(key_id), amount):
        return False
    require_free(books, tenant, key_id, amount)
    _move(books, tenant, key_id, amount, cause)
    reopen(books, key_id)
    return True


def reopen(books: Books, key_id: str) -> None:
    """What gets free of its budget stays there again."""
    account = ledger.budget(key_id)
    balance = books.balances.get(account)
    if balance is not None and balance.closing:
        balance.closing = False
        books.draft.balances.add(account)


def require_free(books: Books, tenant: Tenant, key_id: str, amount: int) -> None:
    """HiveError `budget_exceeded` where so much cannot be moved now."""
    source = source_of(tenant, key_id, amount)
    free = max(0, books.free(source)) if source else abs(amount)
    if abs(amount) > free:
        whose = "wallet" if amount > 0 else "budget"
        raise HiveError(
            Kind.BUDGET_EXCEEDED,
            f"The {whose} cannot give {show_usd(abs(amount), up=True)}: {show_usd(free)} of it is free. "
            "Credit the wallet, or move less.",
            "amount_usd",
        )


def source_of(tenant: Tenant, key_id: str, amount: int) -> str | None:
    """The account that has to have the money; None where the tenant may owe it."""
    if amount < 0:
        return ledger.budget(key_id)
    return ledger.wallet(tenant.id) if tenant.prepaid else None


def empty(books: Books, known: Known, tenant: Tenant, key_id: str, cause: str) -> bool:
    """Move out of a budget what nobody leases; the rest follows when it is free. False where the cause stands."""
    account = ledger.budget(key_id)
    if cause in known:
        return False
    if account not in books.balances:
        return False
    books.balances[account].closing = True
    books.draft.balances.add(account)
    amount = books.free(account)
    if amount > 0:
        _move(books, tenant, key_id, -amount, cause)
    return amount > 0


def sweep(books: Books) -> None:
    """Move out what has become free of budgets that were emptied."""
    for account in {scope for _, scope in books.draft.leases}:
        balance = books.balances.get(account)
        if balance is None or not balance.closing or (amount := books.free(account)) <= 0:
            continue
        tenant = books.accounts.tenants.get(balance.tenant_id) or Tenant(balance.tenant_id, prepaid=True)
        cause = f"sweep:{account}:{books.sequence + 1}"
        _move(books, tenant, ledger.owner_id(account), -amount, cause)


def top_up(books: Books, tenant: Tenant, key_id: str, amount: int, cause: str) -> int:
    """Move money into a budget as far as it is there; how much that was. Nano-dollars."""
    if tenant.prepaid:
        amount = min(amount, max(0, books.free(ledger.wallet(tenant.id))))
    if amount > 0:
        _move(books, tenant, key_id, amount, cause)
    return amount


def _entries(tenant: Tenant, key_id: str, amount: int) -> ledger.Entries:
    return ledger.transfer(tenant.purse, ledger.budget(key_id), amount)


def _move(books: Books, tenant: Tenant, key_id: str, amount: int, cause: str) -> None:
    account = ledger.budget(key_id)
    books.post(
        PostingKind.TRANSFER,
        cause,
        _entries(tenant, key_id, amount),
        tenant_id=tenant.id,
        key_id=key_id,
        account=account,
        counter=tenant.purse,
    )


def _is_known(books: Books, known: Known, cause: str, account: str, amount: int) -> bool:
    before = known.get(cause)
    if before is None:
        return False
    if before.account == account and (account, amount) in before.entries:
        return True
    books.draft.conflicts.append(cause)
    raise HiveError(
        Kind.CONFLICT,
        f"The ledger has a posting {cause!r} of another amount already: the first one stands.",
        "cause",
    )
