"""Prices a span of usage again by the prices of today, and posts the differences as corrections.

What is priced again, from the units that were posted:
* What the tenant owes for the one attempt of a request that it pays for, where the posted cost is what those units
  cost at the version of the price list that the posting names. What was priced otherwise (an answer from the cache,
  a blocked one) and what cost nothing stays as it is, and so does what has no price any more.
* What the provider charges for each attempt that it charges for.

Of a cost that rises the tenant pays what it has free money for and the operator the rest (`overrun`); of one that
falls, the operator's part falls first. A correction changes what stands after all corrections before it, so a second
run changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hive_billing.ledger import Posting
from hive_billing.settlement import Request
from hive_billing.store import Store
from hive_runtime.errors import HiveError, Kind
from hive_runtime.money import Tariff
from hive_sql import Database

PORTION = 200


@dataclass(frozen=True, slots=True)
class Span:
    """Usage that occurred from `from_ms` on and before `to_ms`. tenant_id, model: empty is all."""

    from_ms: int
    to_ms: int
    tenant_id: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Repricing:
    """One correction to be posted. cost, provider_cost: by how much they change, in nano-dollars."""

    posting: Posting
    cost: int
    provider_cost: int
    cause: str
    price_version: int


class PostedUsage(Protocol):
    """The part of the ledger that this needs."""

    async def usage(self, span: Span, after: int, limit: int) -> Sequence[Posting]:
        """The next postings of kind usage in the span, behind the sequence `after`, in order."""
        ...

    async def of_requests(self, ids: Collection[str]) -> Sequence[Posting]:
        """All postings of these requests, in order."""
        ...

    async def reprice(self, repricings: Sequence[Repricing]) -> Sequence[Posting | None]:
        """Post each as `settlement.reprice` does; None for a cause that stands in the ledger already."""
        ...


@dataclass(frozen=True, slots=True)
class StoredUsage:
    """The ledger as it stands in the tables. post: does what `reprice` says, in the task that owns the books."""

    database: Database
    post: Callable[[Sequence[Repricing]], Awaitable[Sequence[Posting | None]]]

    async def usage(self, span: Span, after: int, limit: int) -> Sequence[Posting]:
        async with self.database.read() as connection:
            return await Store(connection).usage(
                after=after,
                limit=limit,
                from_ms=span.from_ms,
                to_ms=span.to_ms,
                tenant_id=span.tenant_id,
                model=span.model,
            )

    async def of_requests(self, ids: Collection[str]) -> Sequence[Posting]:
        async with self.database.read() as connection:
            return await Store(connection).of_requests(ids)

    async def reprice(self, repricings: Sequence[Repricing]) -> Sequence[Posting | None]:
        return await self.post(repricings)


class PriceHistory(Protocol):
    def current(self, subject: str) -> tuple[Tariff, int] | None:
        """The price of today and its version; None where there is none."""
        ...

    async def at(self, subject: str, version: int) -> Tariff:
        """HiveError `not_found` where there was none."""
        ...


@dataclass(slots=True)
class Rerated:
    """What changes for one key and model. before, after: what the tenant pays for these postings."""

    tenant_id: str
    key_id: str
    model: str
    postings: int = 0
    before: int = 0
    after: int = 0


@dataclass(slots=True)
class Report:
    """examined: attempts in the span. changed: those whose cost or provider cost is another now."""

    examined: int = 0
    changed: int = 0
    groups: dict[tuple[str, str, str], Rerated] = field(default_factory=dict)

    @property
    def changes(self) -> list[Rerated]:
        return [self.groups[key] for key in sorted(self.groups)]

    @property
    def difference(self) -> int:
        return sum(each.after - each.before for each in self.groups.values())

    def add(self, posting: Posting, before: int, after: int) -> None:
        key = (posting.tenant_id, posting.key_id, posting.model)
        group = self.groups.setdefault(key, Rerated(*key))
        group.postings += 1
        group.before += before
        group.after += after
        self.changed += 1


@dataclass(frozen=True, slots=True)
class _Change:
    """paid: what the tenant pays for it so far. expected: what it then pays, if it has the money."""

    repricing: Repricing
    paid: int
    expected: int


async def rerate(posted: PostedUsage, prices: PriceHistory, span: Span, *, dry_run: bool) -> Report:
    """Post the differences, or only say what they would be: a dry run takes it that tenants can pay what rises.

    Prices that change meanwhile count from the next attempt on.
    """
    run = _Run(prices)
    report = Report()
    after = 0
    while portion := await posted.usage(span, after, PORTION):
        after = portion[-1].sequence
        report.examined += len(portion)
        requests = _by_request(await posted.of_requests({each.request_id for each in portion}))
        changes = [await run.change_of(each, requests[each.request_id]) for each in portion]
        await _take([each for each in changes if each is not None], posted, report, dry_run)
    return report


def _by_request(postings: Iterable[Posting]) -> dict[str, list[Posting]]:
    found: dict[str, list[Posting]] = {}
    for posting in postings:
        found.setdefault(posting.request_id, []).append(posting)
    return found


async def _take(changes: Sequence[_Change], posted: PostedUsage, report: Report, dry_run: bool) -> None:
    if dry_run or not changes:
        for change in changes:
            report.add(change.repricing.posting, change.paid, change.expected)
        return
    corrections = await posted.reprice([change.repricing for change in changes])
    for change, correction in zip(changes, corrections, strict=True):
        if correction is not None:
            report.add(change.repricing.posting, change.paid, change.paid + correction.spent)


@dataclass(slots=True)
class _Run:
    prices: PriceHistory
    _past: dict[tuple[str, int], Tariff | None] = field(default_factory=dict)

    async def change_of(self, posting: Posting, of_request: Sequence[Posting]) -> _Change | None:
        """None where today's prices come to the same."""
        request = Request.of(of_request)
        corrections = [each for each in of_request if each.corrects == posting.cause]
        pays = request.highest is not None and request.highest.cause == posting.cause
        cost, version = await self._cost(posting) if pays else (None, 0)
        charge, provider_version = self._provider_cost(posting)
        more = 0 if cost is None else cost - posting.cost - sum(each.cost for each in corrections)
        charged = posting.provider_cost + sum(each.provider_cost for each in corrections)
        more_charged = 0 if charge is None else charge - charged
        if not more and not more_charged:
            return None
        newest = max(version, provider_version)
        repricing = Repricing(posting, more, more_charged, f"rerate:{newest}:{posting.cause}", newest)
        paid = request.paid if pays else 0
        expected = paid + more if more > 0 else min(paid, request.cost + more) if pays else paid
        return _Change(repricing, paid, expected)

    async def _cost(self, posting: Posting) -> tuple[int | None, int]:
        """What the units cost today, and at which version; None where the cost stays."""
        subject = f"model/{posting.model}"
        today = self.prices.current(subject)
        if today is None or not posting.cost:
            return None, 0
        then = await self._at(subject, posting.price_version)
        if then is None or then.cost(posting.units) != posting.cost:
            return None, 0
        return today[0].cost(posting.units), today[1]

    def _provider_cost(self, posting: Posting) -> tuple[int | None, int]:
        today = self.prices.current(f"deployment/{posting.deployment}")
        if today is None or not posting.provider_cost:
            return None, 0
        return today[0].cost(posting.units), today[1]

    async def _at(self, subject: str, version: int) -> Tariff | None:
        key = (subject, version)
        if key not in self._past:
            try:
                self._past[key] = await self.prices.at(subject, version)
            except HiveError as error:
                if error.kind is not Kind.NOT_FOUND:
                    raise
                self._past[key] = None
        return self._past[key]
