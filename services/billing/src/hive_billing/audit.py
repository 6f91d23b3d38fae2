"""Replays the books from the first posting on, and says what does not fit.

Every posting sums to zero and no sequence is missing; every balance is what its entries come to, balance + used =
funded; what is kept per day is what the ledger says; and at every step posted + leased stays within the limit of
every scope: it may be exceeded only because a cap was lowered, or because usage was told that was not held in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hive_billing import windows
from hive_billing.accounts import CapScope, is_cap
from hive_billing.books import Balance, LeaseChange
from hive_billing.ledger import Posting, PostingKind, is_own, total
from hive_runtime.money import format_usd

MOST_PROBLEMS = 100


@dataclass(slots=True)
class _Cap:
    scope: CapScope
    limit: int | None
    posted: int = 0


@dataclass(slots=True)
class Audit:
    """Takes postings and lease changes as they happened; `problems` are in plain words."""

    problems: list[str] = field(default_factory=list)
    postings: int = 0
    sequence: int = 0
    balances: dict[str, Balance] = field(default_factory=dict)
    days: dict[tuple[str, str, int], tuple[int, int, int]] = field(default_factory=dict)
    leases: dict[tuple[str, str], int] = field(default_factory=dict)
    _leased: dict[str, int] = field(default_factory=dict)
    _caps: dict[str, _Cap] = field(default_factory=dict)
    _caps_of: dict[str, list[_Cap]] = field(default_factory=dict)
    _by_day: dict[tuple[str, int], int] = field(default_factory=dict)

    def take_posting(self, posting: Posting) -> None:
        if posting.sequence != self.sequence + 1:
            self._complain(f"posting {posting.sequence} follows {self.sequence}: the sequence has a gap")
        self.sequence = posting.sequence
        self.postings += 1
        if total(posting.entries):
            self._complain(f"the entries of {posting.cause} sum to {total(posting.entries)}, not to zero")
        before = {scope: self._free(scope) for scope in self._held(posting)}
        self._sum_up(posting)
        self._settle(posting)
        for scope, free in before.items():
            after = self._free(scope)
            if free is not None and after is not None and after < min(free, 0):
                self._complain(
                    f"posting {posting.sequence} ({posting.cause}) exceeds {scope} by {format_usd(-after)}"
                )

    def take_change(self, change: LeaseChange) -> None:
        """One change of a lease that no posting tells."""
        if is_cap(change.scope):
            self._open_cap(change.scope, change.limit)
        self._change_lease(change.holder, change.scope, change.change)
        free = self._free(change.scope)
        if change.change > 0 and free is not None and free < 0:
            self._complain(
                f"after posting {change.after} the lease of {change.holder} exceeds {change.scope}"
                f" by {format_usd(-free)}"
            )

    def compare_balances(self, kept: dict[str, Balance]) -> None:
        for account in sorted(kept.keys() | self.balances.keys()):
            stands, sums = kept.get(account, Balance()), self.balances.get(account, Balance())
            for name, is_now, should in (
                ("is", stands.amount, sums.amount),
                ("was funded with", stands.funded, sums.funded),
                ("has used", stands.used, sums.used),
            ):
                if is_now != should:
                    self._complain(
                        f"{account} {name} {format_usd(is_now)}, its entries say {format_usd(should)}"
                    )
            if stands.amount + stands.used != stands.funded:
                self._complain(f"{account}: balance + used is not what it was funded with")

    def compare_days(self, kept: Iterable[tuple[str, str, int, int, int, int]]) -> None:
        """Each: tenant, key, day, spent, provider cost, number of postings."""
        found = {
            (tenant, key, day): (spent, charged, count) for tenant, key, day, spent, charged, count in kept
        }
        for place in sorted(found.keys() | self.days.keys()):
            if found.get(place) != self.days.get(place):
                tenant, key, day = place
                self._complain(
                    f"{windows.day_text(day)} of key {key!r} of {tenant!r} is kept as {found.get(place)}, "
                    f"the ledger says {self.days.get(place)} (spent, provider cost, postings)"
                )

    def compare_leases(self, kept: dict[tuple[str, str], int]) -> None:
        for holder, scope in sorted(kept.keys() | self.leases.keys()):
            is_now, should = kept.get((holder, scope), 0), self.leases.get((holder, scope), 0)
            if is_now != should:
                self._complain(
                    f"{holder} leases {format_usd(is_now)} of {scope}, its changes say {format_usd(should)}"
                )

    def _sum_up(self, posting: Posting) -> None:
        spends = posting.kind.is_spending
        for account, amount in posting.entries:
            balance = self.balances.setdefault(account, Balance())
            balance.amount += amount
            if spends:
                balance.used -= amount
            else:
                balance.funded += amount
        if not spends:
            return
        own = -sum(amount for account, amount in posting.entries if is_own(account))
        if own != posting.spent:
            self._complain(f"{posting.cause} says {posting.spent} was spent, its entries say {own}")
        day = windows.day_of(posting.occurred_ms)
        place = (posting.tenant_id, posting.key_id, day)
        spent, charged, count = self.days.get(place, (0, 0, 0))
        self.days[place] = (spent + posting.spent, charged + posting.provider_cost, count + 1)
        for owner in (f"key/{posting.key_id}", f"tenant/{posting.tenant_id}"):
            self._by_day[owner, day] = self._by_day.get((owner, day), 0) + posting.spent
            for cap in self._caps_of.get(owner, ()):
                if cap.scope.first <= day < cap.scope.end:
                    cap.posted += posting.spent

    def _settle(self, posting: Posting) -> None:
        if posting.kind is not PostingKind.USAGE or not posting.carried:
            return
        for scope in posting.scopes:
            taken = min(posting.carried, self.leases.get((posting.holder, scope), 0))
            if taken:
                self._change_lease(posting.holder, scope, -taken)

    def _held(self, posting: Posting) -> set[str]:
        """The scopes that the posting must not exceed."""
        own = {account for account, _ in posting.entries if account.startswith(("wallet:", "budget:"))}
        return own | {scope for scope in posting.scopes if not is_cap(scope) or scope in self._caps}

    def _change_lease(self, holder: str, scope: str, change: int) -> None:
        left = self.leases.pop((holder, scope), 0) + change
        if left < 0:
            self._complain(f"{holder} gave back {format_usd(-left)} more of {scope} than it had")
        if left:
            self.leases[holder, scope] = left
        self._leased[scope] = self._leased.get(scope, 0) + change

    def _open_cap(self, name: str, limit: int | None) -> None:
        cap = self._caps.get(name)
        if cap is None:
            scope = CapScope.parse(name)
            days = range(scope.first, scope.end)
            posted = sum(self._by_day.get((scope.owner, day), 0) for day in days)
            cap = self._caps[name] = _Cap(scope, limit, posted)
            self._caps_of.setdefault(scope.owner, []).append(cap)
        cap.limit = limit

    def _free(self, scope: str) -> int | None:
        """None where nothing binds."""
        taken = self._leased.get(scope, 0)
        if not is_cap(scope):
            balance = self.balances.get(scope)
            return (0 if balance is None else balance.amount) - taken
        cap = self._caps[scope]
        return None if cap.limit is None else cap.limit - cap.posted - taken

    def _complain(self, problem: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)
