"""Money of this process: leases from billing, and the holds that are granted from them in memory.

A hold never waits for a database: it is taken from what the process has leased of every scope at once, all or
nothing. Only where a lease is short is billing asked for more, and what it says then is final.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.money import show_usd

USUAL_SECONDS = 60.0
SHORTEST_SECONDS = 1.0
MOST_ROUNDS = 5
"""How often a hold asks for more before it says that there is not enough: others take of the same leases."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a key spends.

    scopes: all of them have to carry a hold; none: nothing binds it. balanced: holds are the likely cost, and
    grow; else an upper bound. default_max_output: tokens, where the caller names no bound.
    until: monotonic seconds; until_ms: Unix milliseconds, where a window among the scopes ends; 0: none does.
    """

    scopes: tuple[str, ...]
    balanced: bool
    default_max_output: int
    until: float
    until_ms: int = 0


@dataclass(frozen=True, slots=True)
class Lent:
    """What billing answered. slices: nano-dollars that came on top, by scope.

    short: the scope that could not give what was wanted (then nothing came); free: what of it nobody has.
    generation: as in `Renewed`.
    """

    terms: Terms
    slices: Mapping[str, int]
    short: str = ""
    free: int = 0
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Renewed:
    """What billing answered. until: monotonic seconds, for which all leases may be used; None: it has freed them.

    generation: of what this process has after that: where it had any of an earlier one, that is others' now. 0: billing
    does not say.
    """

    until: float | None
    generation: int = 0


@dataclass(slots=True)
class Lease:
    """Of one scope, in nano-dollars: what is not used up, and of that what attempts hold.

    until: monotonic seconds; from then on nothing more is granted from it without asking.
    """

    amount: int = 0
    held: int = 0
    until: float = 0.0

    @property
    def idle(self) -> int:
        return self.amount - self.held


class Bank(Protocol):
    """Billing, as the purse asks it. Every method raises HiveError `unavailable` where it cannot be reached.

    generation: that of the leases which are here, and in all arguments.
    """

    async def lend(
        self, tenant_id: str, key_id: str, wanted: int, wants: Mapping[str, int] | None, generation: int
    ) -> Lent:
        """Terms, and more money: `wants` by scope, or `wanted` of each where the scopes are not known."""
        ...

    async def renew(
        self, leases: Mapping[str, Lease], generation: int, number: int, last_exact: int
    ) -> Renewed:
        """number: of the renewal; last_exact: that of the last one during which nothing was lent or given back."""
        ...

    async def give_back(self, slices: Mapping[str, int], last: bool, generation: int) -> None: ...


class Hold(msgspec.Struct):
    """Money that is kept for one request until it is settled or released; it ends once. amount: nano-dollars."""

    _purse: Purse
    _tenant_id: str
    _key_id: str
    scopes: tuple[str, ...]
    _leases: tuple[Lease, ...]
    amount: int

    async def raise_to(self, amount: int) -> None:
        """Hold at least so much; raises HiveError `budget_exceeded`, and holds what it held, where it cannot."""
        if amount > self.amount and self._leases:
            more = amount - self.amount
            if not self._purse.grant(self._leases, more):
                await self._purse.borrow(
                    self._tenant_id, self._key_id, self.scopes, self._leases, more, amount
                )
            self.amount = amount

    def lower_to(self, amount: int) -> None:
        """Hold no more than so much: what is on top is free at once."""
        if amount < self.amount:
            for lease in self._leases:
                lease.held -= self.amount - amount
            self.amount = amount

    def settle(self, cost: int) -> int:
        """End it: so much was spent. Returns what the leases carry of it, the same in every scope."""
        leases, held = self._leases, self.amount
        if not leases:
            return 0
        carried = cost
        for lease in leases:
            lease.held -= held
            if (left := lease.amount - lease.held) < carried:
                carried = max(0, left)
        for lease in leases:
            lease.amount -= carried
        self._leases, self.amount = (), 0
        return carried

    def release(self) -> None:
        """End it where nothing was spent; nothing where it has ended."""
        if self._leases:
            self.settle(0)


@dataclass(slots=True)
class _Key:
    terms: Terms | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Purse:
    """The leases of this process, and the terms of the keys that it serves.

    generation: of all leases that are here. A process that slept for long had its money lent to others meanwhile: from
    then on billing answers with another generation, and says by it that nothing of before is here any more. Answers
    and usage may cross on their way; the number tells which money they speak of.
    """

    def __init__(self, bank: Bank, clock: Clock) -> None:
        self._bank = bank
        self._clock = clock
        self._keys: dict[str, _Key] = {}
        self._leases: defaultdict[str, Lease] = defaultdict(Lease)
        self.generation = 0
        self._moves = self._under_way = 0
        self._renewals = self._last_exact = 0
        self.lent_seconds: float = USUAL_SECONDS
        """Seconds for which money is lent: a third of it is the time between two calls of `renew`."""

    def known_terms(self, key_id: str) -> Terms | None:
        """How the key spends, where that is known and no window ends; else it takes `terms` to say it."""
        key = self._keys.get(key_id)
        terms = None if key is None else key.terms
        if terms is None or terms.until_ms or self._clock.monotonic() >= terms.until:
            return None
        return terms

    async def terms(self, tenant_id: str, key_id: str, now_ms: int) -> Terms:
        """How the key spends at this moment; asks billing where that is not known."""
        key = self._keys.get(key_id)
        if key is None:
            key = self._keys[key_id] = _Key()
        if (terms := self._known(key, now_ms)) is not None:
            return terms
        async with key.lock:
            if (terms := self._known(key, now_ms)) is None:
                terms = self._take(key, await self._lend(tenant_id, key_id, None))
        return terms

    async def hold(self, tenant_id: str, key_id: str, terms: Terms, amount: int) -> Hold:
        """Keep so much of every scope; raises HiveError `budget_exceeded` in the promised words."""
        if amount < 0:
            raise HiveError(Kind.INTERNAL, "A hold cannot be negative.")
        leases = tuple(map(self._leases.__getitem__, terms.scopes))
        if not self.grant(leases, amount):
            await self.borrow(tenant_id, key_id, terms.scopes, leases, amount, amount)
        return Hold(self, tenant_id, key_id, terms.scopes, leases, amount if leases else 0)

    def forget(self, key_ids: Iterable[str]) -> None:
        """What is known of these keys is out of date."""
        for key_id in key_ids:
            if (key := self._keys.get(key_id)) is not None:
                key.terms = None

    def forget_all(self) -> None:
        self.forget(list(self._keys))

    def recall(self, wants: Mapping[str, int]) -> dict[str, int]:
        """Give up idle money, at most so much of each scope; returns what that is."""
        given = {}
        for scope, wanted in wants.items():
            lease = self._leases.get(scope)
            if lease is not None and (amount := min(wanted, lease.idle)) > 0:
                lease.amount -= amount
                given[scope] = amount
        return given

    async def renew(self) -> None:
        """Keep the leases for longer, and give back those that no key spends from any more."""
        self._drop_what_expired()
        if unused := self._unused():
            with self._moving():
                await self._bank.give_back(unused, False, self.generation)
        generation, moves = self.generation, self._moves
        was_quiet = not self._under_way
        self._renewals = number = self._renewals + 1
        renewed = await self._bank.renew(self._leases, generation, number, self._last_exact)
        if was_quiet and self._moves == moves:
            self._last_exact = number
        if renewed.until is None and self.generation == generation:
            self._drop_money()
            self.forget_all()
        if self._is_of_now(renewed.generation) and renewed.until is not None:
            for lease in self._leases.values():
                lease.until = max(lease.until, renewed.until)

    async def close(self) -> None:
        """Give back what is idle: this process grants nothing any more."""
        idle = self.recall({scope: lease.amount for scope, lease in self._leases.items()})
        await self._bank.give_back(idle, True, self.generation)

    @property
    def held(self) -> int:
        """Nano-dollars that attempts hold now, over all scopes."""
        return sum(lease.held for lease in self._leases.values())

    def _known(self, key: _Key, now_ms: int) -> Terms | None:
        terms = key.terms
        if terms is None or self._clock.monotonic() >= terms.until:
            return None
        return None if terms.until_ms and now_ms >= terms.until_ms else terms

    def grant(self, leases: tuple[Lease, ...], amount: int) -> bool:
        """Count so much as held in all leases; false, and nothing is counted, where one of them cannot carry it."""
        now = self._clock.monotonic()
        for lease in leases:
            if lease.amount - lease.held < amount or now >= lease.until:
                return False
        for lease in leases:
            lease.held += amount
        return True

    async def borrow(
        self,
        tenant_id: str,
        key_id: str,
        scopes: tuple[str, ...],
        leases: tuple[Lease, ...],
        amount: int,
        estimate: int,
    ) -> None:
        """As `grant`, once billing has lent what is short. estimate: what a refusal speaks of.

        Raises HiveError `budget_exceeded`, `unavailable`.
        """
        key = self._keys.setdefault(key_id, _Key())
        async with key.lock:
            for _ in range(MOST_ROUNDS):
                if self.grant(leases, amount):
                    return
                wants = {
                    scope: max(0, amount - lease.idle) for scope, lease in zip(scopes, leases, strict=True)
                }
                lent = await self._lend(tenant_id, key_id, wants)
                self._take(key, lent)
                if lent.short:
                    lease = self._leases.get(lent.short)
                    idle = max(0, lease.idle) if lease is not None else 0
                    raise insufficient(lent.free + idle, estimate)
        raise HiveError(Kind.UNAVAILABLE, "The budget of this API key is in great demand.", retry_after=1)

    async def _lend(self, tenant_id: str, key_id: str, wants: Mapping[str, int] | None) -> Lent:
        with self._moving():
            lent = await self._bank.lend(tenant_id, key_id, 0, wants, self.generation)
        self.lent_seconds = max(SHORTEST_SECONDS, lent.terms.until - self._clock.monotonic())
        return lent

    @contextmanager
    def _moving(self) -> Iterator[None]:
        """Money is on its way: what is said of it meanwhile need not be all that there is."""
        self._moves += 1
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    def _take(self, key: _Key, lent: Lent) -> Terms:
        key.terms = lent.terms
        if not lent.generation and self._have_lapsed():
            # An older billing does not say whether they are still this process's own.
            self._drop_money()
        if self._is_of_now(lent.generation):
            for scope in lent.terms.scopes:
                lease = self._leases[scope]
                lease.until = max(lease.until, lent.terms.until)
            for scope, amount in lent.slices.items():
                self._leases[scope].amount += amount
        return lent.terms

    def _is_of_now(self, generation: int) -> bool:
        """Whether an answer speaks of the money that is here; a later generation takes its place."""
        if generation > self.generation:
            self._drop_money()
            self.generation = generation
        return generation in (0, self.generation)

    def _have_lapsed(self) -> bool:
        now = self._clock.monotonic()
        return any(lease.amount > 0 and lease.until <= now for lease in self._leases.values())

    def _drop_money(self) -> None:
        """All of it is others' now. What calls hold is still held: what is lent next has to carry that too."""
        for lease in self._leases.values():
            lease.amount = 0

    def _drop_what_expired(self) -> None:
        now = self._clock.monotonic()
        for key_id in [name for name, key in self._keys.items() if not key.lock.locked()]:
            terms = self._keys[key_id].terms
            if terms is None or now >= terms.until:
                del self._keys[key_id]

    def _unused(self) -> dict[str, int]:
        """Leases that no known key spends from and no attempt holds, taken off the books here."""
        used = {scope for key in self._keys.values() if key.terms is not None for scope in key.terms.scopes}
        names = [name for name, lease in self._leases.items() if name not in used and not lease.held]
        given = {}
        for name in names:
            lease = self._leases.pop(name)
            if lease.amount > 0:
                given[name] = lease.amount
            lease.amount = 0  # a hold of nothing may point at it still: it carries nothing any more
        return given


def insufficient(remaining: int, estimate: int) -> HiveError:
    """The promised refusal; amounts in nano-dollars."""
    message = (
        f"Insufficient budget. Remaining: {show_usd(max(0, remaining))}, "
        f"estimated cost: {show_usd(estimate, up=True)}"
    )
    return HiveError(Kind.BUDGET_EXCEEDED, message)
