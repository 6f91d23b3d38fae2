"""Settles attempts: who pays how much of what was used, in whatever order the attempts are told.

Of one request the tenant pays the highest attempt that costs; the others are the operator's (`overrun`), and so is
what neither the holder's lease nor the free money of every scope can carry. Whatever the order, the tenant has paid
min(cost of the highest, what was carried by all of them + what is free) in the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec
from msgspec.structs import replace

from hive_billing import ledger
from hive_billing.books import UNBOUNDED, Books, Why
from hive_billing.ledger import Posting, PostingKind, Usage


class Request(msgspec.Struct, eq=False):
    """What its postings come to: `highest` attempt that costs, its cost now, and what the tenant paid."""

    highest: Posting | None = None
    cost: int = 0
    paid: int = 0

    @classmethod
    def of(cls, postings: Iterable[Posting]) -> Request:
        """From all postings of the request, in their order."""
        request = cls()
        for posting in postings:
            request._add(posting)
        return request

    def _add(self, posting: Posting) -> None:
        self.paid += posting.spent
        if posting.kind is PostingKind.USAGE:
            if posting.cost and (self.highest is None or _place(posting) > _place(self.highest)):
                self.highest, self.cost = posting, posting.cost
        elif self.highest is not None and posting.corrects == self.highest.cause:
            self.cost += posting.cost


@lru_cache(maxsize=4096)
def payer_of(tenant_id: str, scopes: Sequence[str]) -> str:
    """The account that pays for usage that was held in these scopes."""
    payer = ledger.receivable(tenant_id)
    for scope in scopes:
        if scope.startswith("budget:"):
            return scope
        if scope.startswith("wallet:"):
            payer = scope
    return payer


def settle(books: Books, usage: Usage, known: list[Posting]) -> None:
    """Post one attempt, unless its cause stands in the ledger.

    known: all postings of its request, in order; what is posted is added. The caps among its scopes, and among those
    of `known`, are open.
    """
    if usage.carried and not _is_carried(books, usage):
        usage = replace(usage, carried=0)
    cause = usage.cause
    before = next((posting for posting in known if posting.cause == cause), None) if known else None
    if before is not None:
        if (before.cost, before.provider_cost) != (usage.cost, usage.provider_cost):
            books.draft.conflicts.append(cause)
    elif usage.cost or usage.provider_cost:
        _post(books, usage, cause, known)
    elif usage.carried and not _is_kept(books, usage):
        _release(books, usage, Why.SETTLED)
    if usage.sequence:
        books.holder(usage.holder).kept.add(usage.sequence)
        books.draft.holders.add(usage.holder)


def reprice(
    books: Books,
    posting: Posting,
    known: list[Posting],
    cost: int,
    provider_cost: int,
    cause: str,
    price_version: int,
) -> Posting:
    """Correct the posting of an attempt by these differences; `cause` must be new.

    posting: of kind usage. known: all postings of its request, in order; the correction is added. A higher price is
    paid as far as money is free, a lower one gives back what the new cost does not need. The caps among the scopes
    of `known` are open.
    """
    request = Request.of(known)
    paid = 0
    if request.highest is not None and request.highest.cause == posting.cause:
        target = min(request.paid, request.cost + cost)
        if cost > 0:
            target = request.paid + min(cost, _free(books, posting.scopes))
        paid = target - request.paid
    entries = ledger.spending(posting.account, paid, cost, posting.provider, provider_cost)
    return _correct(books, posting, known, cause, entries, paid, cost, provider_cost, price_version)


def _post(books: Books, usage: Usage, cause: str, known: list[Posting]) -> None:
    taken = _release(books, usage, None)
    request = Request.of(known)
    highest = request.highest
    pays = bool(usage.cost) and (highest is None or _place(usage) > _place(highest))
    if pays and highest is not None and request.paid:
        entries = ledger.spending(highest.account, -request.paid, 0, "", 0)
        _correct(books, highest, known, f"correction:{highest.cause}", entries, -request.paid)
    payer = payer_of(usage.tenant_id, usage.scopes)
    paid = min(usage.cost, _available(books, usage.scopes, taken)) if pays else 0
    entries = ledger.spending(payer, paid, usage.cost, usage.provider, usage.provider_cost)
    posting = Posting(
        sequence=books.sequence + 1,
        cause=cause,
        kind=PostingKind.USAGE,
        occurred_ms=usage.occurred_ms,
        posted_ms=books.now_ms,
        entries=entries,
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
    books.append(posting)
    known.append(posting)
    if not pays and highest is not None and request.paid < request.cost:
        _pay_the_rest(books, highest, request.cost - request.paid, known, usage)


def _pay_the_rest(books: Books, highest: Posting, lacks: int, known: list[Posting], usage: Usage) -> None:
    """What a lower attempt had carried is free now: the highest, where it was short, is paid from it."""
    more = min(lacks, _free(books, highest.scopes))
    if more > 0:
        cause = f"correction:{highest.cause}:{usage.attempt}.{usage.call}"
        entries = ledger.spending(highest.account, more, 0, "", 0)
        _correct(books, highest, known, cause, entries, more)


def _correct(
    books: Books,
    posting: Posting,
    known: list[Posting],
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
    known.append(correction)
    return correction


def _release(books: Books, usage: Usage, why: Why | None) -> list[int]:
    """Shrink the holder's leases by what they carry; how much each scope gave. why: None where a posting says it."""
    given = []
    name, carried = usage.holder, usage.carried
    for scope in usage.scopes:
        taken = min(carried, books.lease(name, scope)) if carried else 0
        if taken:
            books.change_lease(name, scope, -taken, why)
        given.append(taken)
    holder = books.holders.get(name)
    if holder is not None and holder.report is not None and usage.sequence <= holder.report.through:
        surplus = holder.report.surplus
        for scope, taken in zip(usage.scopes, given, strict=True):
            if scope in surplus:
                surplus[scope] -= taken
    return given


def _available(books: Books, scopes: tuple[str, ...], taken: list[int]) -> int:
    """What the tenant can pay now. The leases are free already: where that left a cap exceeded, they count still."""
    least = UNBOUNDED
    for scope, given in zip(scopes, taken, strict=True):
        free = books.free(scope)
        if free < given:
            free = given
        if free < least:
            least = free
    return least


def _free(books: Books, scopes: Iterable[str]) -> int:
    return max(0, min((books.free(scope) for scope in scopes), default=UNBOUNDED))


def _is_carried(books: Books, usage: Usage) -> bool:
    """Whether its holder still has the leases that carry it: none of a later generation, nor what was given up."""
    holder = books.holders.get(usage.holder)
    return holder is None or (holder.has(usage.generation) and not 0 < usage.sequence <= holder.given_up)


def _is_kept(books: Books, usage: Usage) -> bool:
    return usage.sequence > 0 and usage.sequence in books.holder(usage.holder).kept


def _place(attempt: Usage | Posting) -> tuple[int, int]:
    return attempt.attempt, attempt.call
