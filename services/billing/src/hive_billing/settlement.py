"""Settles attempts: who pays how much of what was used, in whatever order the attempts are told.

Of one request the tenant pays the highest attempt that costs; the others are the operator's (`overrun`), and so is
what neither the holder's lease nor the free money of every scope can carry. Whatever the order, the tenant has paid
min(cost of the highest, what was carried by all of them + what is free) in the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hive_billing import ledger
from hive_billing.books import UNBOUNDED, Books, Why
from hive_billing.ledger import Posting, PostingKind, Usage


@dataclass(slots=True, eq=False)
class Request:
    """What is posted of one request: `highest` attempt that costs, its cost now, and what the tenant paid."""

    amounts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Cost and provider cost by the cause of each attempt, as it was posted first."""
    highest: Posting | None = None
    cost: int = 0
    paid: int = 0

    @classmethod
    def of(cls, postings: Iterable[Posting]) -> Request:
        """From all postings of the request, in their order."""
        request = cls()
        for posting in postings:
            request.add(posting)
        return request

    def add(self, posting: Posting) -> None:
        self.paid += posting.spent
        if posting.kind is PostingKind.USAGE:
            self.amounts[posting.cause] = (posting.cost, posting.provider_cost)
            if posting.cost and (self.highest is None or _place(posting) > _place(self.highest)):
                self.highest, self.cost = posting, posting.cost
        elif self.highest is not None and posting.corrects == self.highest.cause:
            self.cost += posting.cost


def payer_of(tenant_id: str, scopes: Iterable[str]) -> str:
    """The account that pays for usage that was held in these scopes."""
    payer = ledger.receivable(tenant_id)
    for scope in scopes:
        if scope.startswith("budget:"):
            return scope
        if scope.startswith("wallet:"):
            payer = scope
    return payer


def settle(books: Books, usage: Usage, request: Request) -> None:
    """Post one attempt, unless its cause stands in the ledger. CapsNotOpen before anything has changed."""
    _require(books, usage.scopes, request)
    known = request.amounts.get(usage.cause) if request.amounts else None
    if known is not None:
        if known != (usage.cost, usage.provider_cost):
            books.draft.conflicts.append(usage.cause)
    elif usage.cost or usage.provider_cost:
        _post(books, usage, request)
    elif usage.carried and not _is_kept(books, usage):
        _release(books, usage, Why.SETTLED)
    if usage.sequence:
        books.holder(usage.holder).kept.add(usage.sequence)
        books.draft.holders.add(usage.holder)


def reprice(
    books: Books,
    posting: Posting,
    request: Request,
    cost: int,
    provider_cost: int,
    cause: str,
    price_version: int,
) -> Posting:
    """Correct the posting of an attempt by these differences; `cause` must be new.

    posting: of kind usage. A higher price is paid as far as money is free, a lower one gives back what the new
    cost does not need. CapsNotOpen before anything has changed.
    """
    _require(books, posting.scopes, request)
    paid = 0
    if request.highest is not None and request.highest.cause == posting.cause:
        target = min(request.paid, request.cost + cost)
        if cost > 0:
            target = request.paid + min(cost, _free(books, posting.scopes))
        paid = target - request.paid
    entries = ledger.spending(posting.account, paid, cost, posting.provider, provider_cost)
    return _correct(books, posting, request, cause, entries, paid, cost, provider_cost, price_version)


def _post(books: Books, usage: Usage, request: Request) -> None:
    taken = _release(books, usage, None)
    highest = request.highest
    pays = bool(usage.cost) and (highest is None or _place(usage) > _place(highest))
    if pays and highest is not None and request.paid:
        entries = ledger.spending(highest.account, -request.paid, 0, "", 0)
        _correct(books, highest, request, f"correction:{highest.cause}", entries, -request.paid)
    payer = payer_of(usage.tenant_id, usage.scopes)
    paid = min(usage.cost, _available(books, usage.scopes, taken)) if pays else 0
    entries = ledger.spending(payer, paid, usage.cost, usage.provider, usage.provider_cost)
    posting = books.post(
        PostingKind.USAGE,
        usage.cause,
        entries,
        occurred_ms=usage.occurred_ms,
        tenant_id=usage.tenant_id,
        key_id=usage.key_id,
        request_id=usage.request_id,
        attempt=usage.attempt,
        call=usage.call,
        model=usage.model,
        provider=usage.provider,
        deployment=usage.deployment,
        account=payer,
        cost=usage.cost,
        spent=paid,
        provider_cost=usage.provider_cost,
        price_version=usage.price_version,
        estimated=usage.estimated,
        units=usage.units,
        scopes=usage.scopes,
        holder=usage.holder,
        carried=usage.carried,
        tags=usage.tags,
    )
    request.add(posting)
    if not pays and highest is not None and request.paid < request.cost:
        _pay_the_rest(books, highest, request, usage)


def _pay_the_rest(books: Books, highest: Posting, request: Request, usage: Usage) -> None:
    """What a lower attempt had carried is free now: the highest, where it was short, is paid from it."""
    more = min(request.cost - request.paid, _free(books, highest.scopes))
    if more > 0:
        cause = f"correction:{highest.cause}:{usage.attempt}.{usage.call}"
        entries = ledger.spending(highest.account, more, 0, "", 0)
        _correct(books, highest, request, cause, entries, more)


def _correct(
    books: Books,
    posting: Posting,
    request: Request,
    cause: str,
    entries: ledger.Entries,
    spent: int,
    cost: int = 0,
    provider_cost: int = 0,
    price_version: int = 0,
) -> Posting:
    correction = books.post(
        PostingKind.CORRECTION,
        cause,
        entries,
        occurred_ms=posting.occurred_ms,
        tenant_id=posting.tenant_id,
        key_id=posting.key_id,
        request_id=posting.request_id,
        attempt=posting.attempt,
        call=posting.call,
        model=posting.model,
        provider=posting.provider,
        deployment=posting.deployment,
        account=posting.account,
        cost=cost,
        spent=spent,
        provider_cost=provider_cost,
        price_version=price_version or posting.price_version,
        estimated=posting.estimated,
        corrects=posting.cause,
        scopes=posting.scopes,
        tags=posting.tags,
    )
    request.add(correction)
    return correction


def _release(books: Books, usage: Usage, why: Why | None) -> list[int]:
    """Shrink the holder's leases by what they carry; how much each scope gave. why: None where a posting says it."""
    given = []
    for scope in usage.scopes:
        taken = min(usage.carried, books.lease(usage.holder, scope)) if usage.carried else 0
        if taken and why is None:
            books.move_lease(usage.holder, scope, -taken)
        elif taken and why is not None:
            books.change_lease(usage.holder, scope, -taken, why)
        given.append(taken)
    return given


def _available(books: Books, scopes: tuple[str, ...], taken: list[int]) -> int:
    """What the tenant can pay now. The leases are free already: where that left a cap exceeded, they count still."""
    least = UNBOUNDED
    for scope, given in zip(scopes, taken, strict=True):
        least = min(least, max(given, books.free(scope)))
    return least


def _free(books: Books, scopes: Iterable[str]) -> int:
    return max(0, min((books.free(scope) for scope in scopes), default=UNBOUNDED))


def _require(books: Books, scopes: Iterable[str], request: Request) -> None:
    books.require(scopes)
    if request.highest is not None:
        books.require(request.highest.scopes)


def _is_kept(books: Books, usage: Usage) -> bool:
    return usage.sequence > 0 and usage.sequence in books.holder(usage.holder).kept


def _place(attempt: Usage | Posting) -> tuple[int, int]:
    return attempt.attempt, attempt.call
