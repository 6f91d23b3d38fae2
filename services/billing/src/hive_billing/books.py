"""The books in memory: balances, open caps, leases and holders, and what a batch changes of them.

One task alone decides with them. Whatever changes goes into the draft, which is written as one transaction; where
that fails the books are read anew from the tables, so they never say more than those.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any, Final, NamedTuple

from hive_billing import windows
from hive_billing.accounts import Accounts, CapScope, is_cap
from hive_billing.holders import Holder
from hive_billing.ledger import Entries, Posting, PostingKind, is_own, total

UNBOUNDED: Final = 2**62
REMEMBERED: Final = 8192
"""Requests that are remembered one by one."""
_account, _entries, _request_id = itemgetter(0), attrgetter("entries"), attrgetter("request_id")


class Why(StrEnum):
    """What changed a lease, beside usage that is posted."""

    ACQUIRED = "acquired"
    RETURNED = "returned"
    RECALLED = "recalled"
    SETTLED = "settled"
    TRIMMED = "trimmed"
    EXPIRED = "expired"
    LIMIT = "limit"
    """No lease changed, but the cap."""


class LeaseChange(NamedTuple):
    """after: last posting before it. limit: of a cap then, None where it had none; of others always None."""

    after: int
    holder: str
    scope: str
    change: int
    limit: int | None
    why: str
    at_ms: int


class Recharge(NamedTuple):
    """Money on its way to a wallet or budget. state: `pending`, `paid` or `failed`; id: idempotency key too."""

    id: str
    account: str
    tenant_id: str
    amount: int
    state: str
    day: int
    created_ms: int
    payment_id: str = ""


class CapsNotOpen(Exception):
    """These caps have to be read before anything can be decided."""

    def __init__(self, names: Collection[str]) -> None:
        super().__init__(", ".join(names))
        self.names = names


@dataclass(slots=True, eq=False)
class Balance:
    """amount = funded - used, always. funded: what came in, without what was moved out again."""

    amount: int = 0
    funded: int = 0
    used: int = 0
    tenant_id: str = ""
    closing: bool = False
    """What is left of the budget goes back as soon as nobody leases it any more."""


@dataclass(slots=True, eq=False)
class OpenCap:
    """One window: `posted` is what was spent in it. limit: the last one that was written down."""

    scope: CapScope
    posted: int
    limit: int | None = -1

    def holds(self, day: int) -> bool:
        return self.scope.first <= day < self.scope.end


@dataclass(slots=True, eq=False)
class Leased:
    """What is leased of one scope, by holder, none of it zero."""

    by_holder: dict[str, int] = field(default_factory=dict)
    total: int = 0


class Posted:
    """Which requests may have postings: all up to the id `through`, and behind it those that were added.

    Ids grow with time, so a request is mostly known for a new one without a look into the ledger. through: None
    where any request may have some.
    """

    __slots__ = ("_added", "_through")

    def __init__(self, through: str | None) -> None:
        self._through = through
        self._added: set[str] = set()

    def add(self, request_ids: Iterable[str]) -> None:
        if self._through is None:
            return
        self._added.update(request_ids)
        if len(self._added) > REMEMBERED:
            self._through = max(self._through, *self._added)
            self._added.clear()

    def among(self, request_ids: Collection[str]) -> Collection[str]:
        """Those that may have postings; the others have none."""
        through, added = self._through, self._added
        if through is None:
            return request_ids
        return [id for id in request_ids if id <= through or id in added]


@dataclass(slots=True, eq=False)
class Draft:
    """What one transaction writes. days: spent, provider cost and postings by (tenant, key, day)."""

    postings: list[Posting] = field(default_factory=list)
    balances: set[str] = field(default_factory=set)
    """Accounts whose balance changed; those of its postings are among them when the draft is taken."""
    days: dict[tuple[str, str, int], list[int]] = field(default_factory=dict)
    leases: set[tuple[str, str]] = field(default_factory=set)
    lease_changes: list[LeaseChange] = field(default_factory=list)
    holders: set[str] = field(default_factory=set)
    recharges: dict[str, Recharge] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)
    """Causes that came again with other amounts. They are told, not written."""

    def spent(self, cap: CapScope) -> int:
        """What it adds to the window of a cap."""
        kind, _, id = cap.owner.partition("/")
        return sum(
            sums[0]
            for (tenant_id, key_id, day), sums in self.days.items()
            if (key_id if kind == "key" else tenant_id) == id and cap.first <= day < cap.end
        )

    @property
    def is_empty(self) -> bool:
        return not (
            self.postings
            or self.balances
            or self.leases
            or self.lease_changes
            or self.holders
            or self.recharges
            or self.marks
        )


class Books:
    """See the module. `now_ms` and `monotonic` are set by whoever runs a batch."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
        self.sequence = 0
        self.balances: dict[str, Balance] = {}
        self.caps: dict[str, OpenCap] = {}
        self.leased: dict[str, Leased] = {}
        self.holders: dict[str, Holder] = {}
        self.leasing: set[str] = set()
        """Names of the holders that have anything."""
        self.pending: dict[str, Recharge] = {}
        self.recharged: dict[tuple[str, int], int] = {}
        self.failed: dict[str, int] = {}
        self.posted = Posted(None)
        self.draft = Draft()
        self.now_ms = 0
        self.monotonic = 0.0
        self._caps_of: dict[str, list[OpenCap]] = {}

    def take_draft(self) -> Draft:
        draft, self.draft = self.draft, Draft()
        draft.balances.update(map(_account, chain.from_iterable(map(_entries, draft.postings))))
        self.posted.add(map(_request_id, draft.postings))
        return draft

    # Balances and postings

    def balance(self, account: str) -> int:
        found = self.balances.get(account)
        return 0 if found is None else found.amount

    def post(self, kind: PostingKind, cause: str, entries: Entries, **fields: Any) -> Posting:
        """Append one posting, of this moment where nothing else is said; see `append`."""
        fields.setdefault("occurred_ms", self.now_ms)
        posting = Posting(
            sequence=self.sequence + 1,
            cause=cause,
            kind=kind,
            entries=entries,
            posted_ms=self.now_ms,
            **fields,
        )
        self.append(posting)
        return posting

    def append(self, posting: Posting) -> None:
        """The next posting, by its sequence. ValueError where its entries do not sum to zero."""
        if rest := total(posting.entries):
            raise ValueError(f"the entries of {posting.cause} sum to {rest}")
        if posting.sequence != self.sequence + 1:
            raise ValueError(f"{posting.cause} is posting {posting.sequence} behind {self.sequence}")
        self.sequence = posting.sequence
        self._apply(posting)
        self.draft.postings.append(posting)

    def _apply(self, posting: Posting) -> None:
        balances, spends = self.balances, posting.kind.is_spending
        for account, amount in posting.entries:
            balance = balances.get(account)
            if balance is None:
                tenant_id = posting.tenant_id if is_own(account) else ""
                balance = balances[account] = Balance(tenant_id=tenant_id)
            balance.amount += amount
            if spends:
                balance.used -= amount
            else:
                balance.funded += amount
        if spends:
            self._count(posting)

    def _count(self, posting: Posting) -> None:
        day = windows.day_of(posting.occurred_ms)
        key = (posting.tenant_id, posting.key_id, day)
        sums = self.draft.days.get(key)
        if sums is None:
            sums = self.draft.days[key] = [0, 0, 0]
        sums[0] += posting.spent
        sums[1] += posting.provider_cost
        sums[2] += 1
        if posting.spent and self._caps_of:
            for owner in ("key/" + posting.key_id, "tenant/" + posting.tenant_id):
                for cap in self._caps_of.get(owner, ()):
                    if cap.holds(day):
                        cap.posted += posting.spent

    # Scopes

    def require(self, scopes: Iterable[str]) -> None:
        """CapsNotOpen where some of the scopes are caps whose spending is not known here."""
        missing = [scope for scope in scopes if scope not in self.caps and is_cap(scope)]
        if missing:
            raise CapsNotOpen(missing)

    def open_cap(self, name: str, posted: int) -> None:
        cap = self.caps[name] = OpenCap(CapScope.parse(name), posted)
        self._caps_of.setdefault(cap.scope.owner, []).append(cap)

    def close_caps(self) -> None:
        """Forget windows that have ended and that nobody leases."""
        today = windows.day_of(self.now_ms)
        for name in [name for name, cap in self.caps.items() if cap.scope.end < today]:
            if name not in self.leased:
                cap = self.caps.pop(name)
                self._caps_of[cap.scope.owner].remove(cap)

    def free(self, scope: str) -> int:
        """Limit - posted - leased; negative where a cap was lowered. The scope must be open."""
        leased = self.leased.get(scope)
        taken = leased.total if leased is not None else 0
        if not is_cap(scope):
            return self.balance(scope) - taken
        cap = self.caps[scope]
        limit = self.accounts.cap_limit(cap.scope)
        if limit != cap.limit:
            cap.limit = limit
            self._note("", scope, 0, Why.LIMIT)
        return UNBOUNDED if limit is None else limit - cap.posted - taken

    # Leases

    def lease(self, holder: str, scope: str) -> int:
        leased = self.leased.get(scope)
        return 0 if leased is None else leased.by_holder.get(holder, 0)

    def leases_of(self, holder: str) -> dict[str, int]:
        if holder not in self.leasing:
            return {}
        return {
            scope: each.by_holder[holder] for scope, each in self.leased.items() if holder in each.by_holder
        }

    def change_lease(self, holder: str, scope: str, change: int, why: Why | None) -> None:
        """Let a lease grow or shrink, and write down why. why: None where the posting that follows says it."""
        leased = self.leased.get(scope)
        if leased is None:
            leased = self.leased[scope] = Leased()
        left = leased.by_holder.get(holder, 0) + change
        if left < 0:
            raise ValueError(f"{holder} has {left - change} of {scope}: {-change} is too much")
        leased.total += change
        if left:
            leased.by_holder[holder] = left
            self.leasing.add(holder)
        else:
            leased.by_holder.pop(holder, None)
            if not leased.by_holder:
                del self.leased[scope]
        self.draft.leases.add((holder, scope))
        if why is not None:
            self._note(holder, scope, change, why)

    def _note(self, holder: str, scope: str, change: int, why: Why) -> None:
        cap = self.caps.get(scope)
        limit = None if cap is None else cap.limit
        self.draft.lease_changes.append(
            LeaseChange(self.sequence, holder, scope, change, limit, why, self.now_ms)
        )

    def holder(self, name: str) -> Holder:
        """The holder; a new one where it is not known."""
        found = self.holders.get(name)
        if found is None:
            found = self.holders[name] = Holder(name)
            self.draft.holders.add(name)
        return found

    # Recharges

    def note_recharge(self, recharge: Recharge) -> None:
        """A recharge began, or came to its end."""
        before = self.pending.pop(recharge.account, None)
        if recharge.state == "pending":
            self.pending[recharge.account] = recharge
        if recharge.state == "failed":
            self.failed[recharge.account] = self.now_ms
        elif before is None or before.id != recharge.id:
            place = (recharge.account, recharge.day)
            self.recharged[place] = self.recharged.get(place, 0) + 1
        self.draft.recharges[recharge.id] = recharge
