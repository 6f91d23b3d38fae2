"""Who pays how: the terms of tenants and keys as operators decide them, and the scopes that a key spends from.

Scopes: `wallet:<tenant>`, `budget:<key>`, `cap:<owner>:<day|week|month>:<first day>`, where the owner of a cap is
written `key/<id>` or `tenant/<id>`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from hive_billing import ledger, windows
from hive_runtime.errors import HiveError, Kind

DEFAULT_MAX_OUTPUT = 4096


@dataclass(frozen=True, slots=True)
class Caps:
    """Nano-dollars per calendar window; None is no cap."""

    day: int | None = None
    week: int | None = None
    month: int | None = None

    def of(self, period: str) -> int | None:
        return {"day": self.day, "week": self.week, "month": self.month}[period]

    @property
    def periods(self) -> list[str]:
        return [period for period in windows.PERIODS if self.of(period) is not None]


@dataclass(frozen=True, slots=True)
class Rule:
    """Below `below`, move `amount`, at most `times_per_day` times a day. Nano-dollars."""

    below: int
    amount: int
    times_per_day: int


@dataclass(frozen=True, slots=True)
class Tenant:
    id: str
    prepaid: bool = False
    balanced: bool = False
    default_max_output: int = DEFAULT_MAX_OUTPUT
    caps: Caps = Caps()
    recharge: Rule | None = None

    @property
    def purse(self) -> str:
        """The account that pays where a key has no budget of its own."""
        return ledger.wallet(self.id) if self.prepaid else ledger.receivable(self.id)


@dataclass(frozen=True, slots=True)
class ApiKey:
    id: str
    tenant_id: str
    has_budget: bool = False
    caps: Caps = Caps()
    recharge: Rule | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """How a key spends at one moment. until_ms: when a window among the scopes ends; 0 where there is none."""

    scopes: tuple[str, ...]
    balanced: bool
    default_max_output: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class CapScope:
    """One window of one cap; days count from 1970, `end` is the first day behind it."""

    owner: str
    period: str
    first: int
    end: int

    @property
    def name(self) -> str:
        return f"cap:{self.owner}:{self.period}:{windows.day_text(self.first)}"

    @classmethod
    def parse(cls, name: str) -> CapScope:
        """ValueError where it is no cap's name."""
        head, period, first = name.rsplit(":", 2)
        start, end = windows.window(period, windows.parse_day(first))
        return cls(head.removeprefix("cap:"), period, start, end)


def is_cap(scope: str) -> bool:
    return scope.startswith("cap:")


@dataclass(slots=True)
class Accounts:
    """The snapshot of all tenants and keys."""

    tenants: dict[str, Tenant] = field(default_factory=dict)
    keys: dict[str, ApiKey] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def put_tenant(self, tenant: Tenant) -> bool:
        """True where it was known with other terms."""
        before = self.tenants.get(tenant.id)
        self.tenants[tenant.id] = tenant
        self._tell()
        return before is not None and before != tenant

    def put_key(self, key: ApiKey) -> bool:
        """True where it was known with other terms."""
        before = self.keys.get(key.id)
        self.keys[key.id] = key
        self._tell()
        return before is not None and before != key

    def drop_tenant(self, id: str) -> None:
        self.tenants.pop(id, None)

    def drop_key(self, id: str) -> None:
        self.keys.pop(id, None)

    async def tenant(self, id: str, patience: float) -> Tenant:
        """The tenant, once it is known; after `patience` seconds HiveError `not_found`."""
        await self._until(lambda: id in self.tenants, patience)
        found = self.tenants.get(id)
        if found is None:
            raise HiveError(Kind.NOT_FOUND, f"There is no tenant {id!r}.", "tenant_id")
        return found

    async def key(self, tenant_id: str, id: str, patience: float) -> ApiKey:
        """The key of the tenant, once both are known; after `patience` seconds HiveError `not_found`."""
        await self._until(lambda: id in self.keys and tenant_id in self.tenants, patience)
        return self.known_key(tenant_id, id)

    def known_key(self, tenant_id: str, id: str) -> ApiKey:
        """HiveError `not_found` where it is not known as a key of that tenant."""
        found = self.keys.get(id)
        if found is None or found.tenant_id != tenant_id or tenant_id not in self.tenants:
            raise HiveError(Kind.NOT_FOUND, f"The tenant {tenant_id!r} has no key {id!r}.", "key_id")
        return found

    def terms(self, tenant_id: str, key_id: str, now_ms: int) -> Terms:
        """HiveError `not_found` where the key is not known."""
        key, tenant = self.known_key(tenant_id, key_id), self.tenants[tenant_id]
        day = windows.day_of(now_ms)
        scopes, ends = [], []
        if key.has_budget:
            scopes.append(ledger.budget(key.id))
        elif tenant.prepaid:
            scopes.append(ledger.wallet(tenant.id))
        for owner, caps in ((f"key/{key.id}", key.caps), (f"tenant/{tenant.id}", tenant.caps)):
            for period in caps.periods:
                first, end = windows.window(period, day)
                scopes.append(CapScope(owner, period, first, end).name)
                ends.append(end)
        until = windows.start_of_day(min(ends)) if ends else 0
        return Terms(tuple(scopes), tenant.balanced, tenant.default_max_output, until)

    def cap_limit(self, cap: CapScope) -> int | None:
        """What the cap is now; None where there is none any more."""
        kind, _, id = cap.owner.partition("/")
        holder = self.keys.get(id) if kind == "key" else self.tenants.get(id)
        return None if holder is None else holder.caps.of(cap.period)

    def rule_of(self, account: str) -> tuple[Tenant, Rule] | None:
        """Who recharges this wallet or budget, and when; None where nobody does."""
        kind, _, id = account.partition(":")
        if kind == "wallet":
            tenant = self.tenants.get(id)
            return (tenant, tenant.recharge) if tenant and tenant.prepaid and tenant.recharge else None
        key = self.keys.get(id) if kind == "budget" else None
        if key is None or not key.has_budget or key.recharge is None or key.tenant_id not in self.tenants:
            return None
        return self.tenants[key.tenant_id], key.recharge

    def keys_of(self, tenant_id: str) -> Iterable[ApiKey]:
        return (key for key in self.keys.values() if key.tenant_id == tenant_id)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _until(self, known: Callable[[], bool], patience: float) -> None:
        if known():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while not known():
                    await self._changed.wait()
