"""API keys: shown once, kept as a hash."""

from __future__ import annotations

import hashlib
import secrets
import string
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

from hive_console.budgets import Budgets
from hive_console.changes import Change, Changes
from hive_console.control import DEFAULT_TENANT, ApiKey, Caps, api_key_key, guard_key, policy_id
from hive_console.pages import Listing, Page
from hive_console.store import Store
from hive_console.tenants import existing_tenant
from hive_runtime.errors import HiveError, Kind

PREFIX = "sk-hive-"
ALPHABET = string.ascii_letters + string.digits
# 43 of 62 characters are 256 bits.
CHARACTERS = 43
BOOTSTRAP_ID = "key_bootstrap"


def new_secret() -> str:
    return PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(CHARACTERS))


def new_id() -> str:
    return f"key_{secrets.token_hex(12)}"


def hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


@dataclass(frozen=True, slots=True)
class Known:
    """What is kept of a secret. last_four: empty where nobody knows them."""

    sha256: bytes
    last_four: str = ""

    @classmethod
    def of(cls, secret: str) -> Known:
        return cls(hash_of(secret), secret[-4:])


class Keys:
    """Raises HiveError `not_found` for an unknown id, and `conflict` where the state forbids the change."""

    def __init__(self, changes: Changes, budgets: Budgets) -> None:
        self._changes = changes
        self._budgets = budgets

    async def list(self, page: Page, tenant_id: str | None) -> Listing[ApiKey]:
        async with self._changes.read() as store:
            if tenant_id is not None:
                await existing_tenant(store, tenant_id, "tenant")
            return await store.keys(page, tenant_id)

    async def get(self, id: str) -> ApiKey:
        async with self._changes.read() as store:
            return await _existing(store, id)

    async def create(
        self, tenant_id: str, values: dict[str, Any], budget: int | None = None, known: Known | None = None
    ) -> tuple[ApiKey, str | None]:
        """The key as it is kept, and the key itself: nobody can read it again.

        budget: nano-dollars, moved from the wallet before there is a key; raises HiveError `budget_exceeded` where
        that has too little. None: the key spends from the wallet.
        known: of a secret that callers have already, from another gateway; then the key itself is None. Raises
        HiveError `conflict` where there is a key of it.
        """
        id, secret = new_id(), new_secret() if known is None else None
        kept = known if secret is None else Known.of(secret)
        assert kept is not None
        if budget is None:
            _check_rule(values.get("auto_recharge"), has_budget=False)
            async with self._changes.change() as change:
                await _check_new(change, tenant_id, values, kept)
                return await add_key(change, tenant_id, kept, id=id, **values), secret
        async with self._changes.change() as change:
            await _check_new(change, tenant_id, values, kept)
        async with self._budgets.expected(id, tenant_id):
            await self._budgets.fill(tenant_id, id, budget)
            async with self._changes.change() as change:
                await _check_new(change, tenant_id, values, kept)
                await self._budgets.keep(change, id)
                key = await add_key(change, tenant_id, kept, id=id, has_budget=True, **values)
        return key, secret

    async def change(self, id: str, values: dict[str, Any]) -> ApiKey:
        """values: the fields of `ApiKey` that change."""
        async with self._budgets.alone(id), self._changes.change() as change:
            return await _changed(change, id, values)

    async def change_budget(self, id: str, values: dict[str, Any], budget: int | None) -> ApiKey:
        """The same, and the budget, used and remaining, becomes so many nano-dollars; None: it goes back whole."""
        async with self._budgets.alone(id):
            return await (self._end_budget(id, values) if budget is None else self._size(id, values, budget))

    async def revoke(self, id: str) -> None:
        """The key is refused from now on, and what is left of its budget goes back to the wallet.

        Revoking it again changes nothing.
        """
        async with self._budgets.alone(id):
            async with self._changes.change() as change:
                key = await _existing(change.store, id)
                await _end(change, key)
            if key.has_budget:
                await self._budgets.give_back(key.tenant_id, id)

    async def _end_budget(self, id: str, values: dict[str, Any]) -> ApiKey:
        values = {"auto_recharge": None, **values, "has_budget": False}
        async with self._changes.change() as change:
            before = await _existing(change.store, id)
            key = await _changed(change, id, values)
            if before.has_budget:
                await change.store.give_budget_up(id, key.tenant_id)
        if before.has_budget:
            await self._budgets.give_back(key.tenant_id, id)
        return key

    async def _size(self, id: str, values: dict[str, Any], budget: int) -> ApiKey:
        """First the money, then the key: one that has none of it yet is noted as one that expects it."""
        values = values | {"has_budget": True}
        async with self._changes.change() as change:
            key = await _existing(change.store, id)
            _check_change(key, values, change.now)
        async with AsyncExitStack() as stack:
            if not key.has_budget:
                await stack.enter_async_context(self._budgets.expected(id, key.tenant_id))
            await self._budgets.resize(key.tenant_id, id, budget, anew=not key.has_budget)
            async with self._changes.change() as change:
                if not key.has_budget:
                    await self._budgets.keep(change, id)
                return await _changed(change, id, values)


async def add_key(
    change: Change, tenant_id: str, known: Known, *, id: str = "", name: str = "", **values: Any
) -> ApiKey:
    """Keep and announce a key of this secret."""
    values["caps"] = Caps(**values.get("caps", {}))
    key = ApiKey(
        id=id or new_id(),
        tenant_id=tenant_id,
        name=name,
        sha256=known.sha256,
        last_four=known.last_four,
        created_at=change.now,
        **values,
    )
    await change.store.add_key(key, change.revision)
    await change.announce(key)
    return key


async def ensure_bootstrap_key(change: Change, secret: str) -> None:
    """Make `secret` a valid key: of tenant `default`, unless another key has this secret already.

    A former bootstrap key is valid no longer.
    """
    store = change.store
    holder = await store.key_with(hash_of(secret))
    former = await store.key(BOOTSTRAP_ID)
    if holder is not None:
        if former is not None and former.id != holder.id and not former.revoked:
            await _end(change, former)
        holder = replace(holder, revoked=False, expires_at=None)
    elif former is not None:
        holder = replace(
            former, sha256=hash_of(secret), last_four=secret[-4:], revoked=False, expires_at=None
        )
    else:
        await add_key(change, DEFAULT_TENANT, Known.of(secret), id=BOOTSTRAP_ID, name="bootstrap")
        return
    await store.change_key(holder)
    await change.announce(holder)


async def _end(change: Change, key: ApiKey) -> None:
    """Nobody can use the key any more; its budget is given up with this change, and its guard policy goes."""
    if key.has_budget:
        await change.store.give_budget_up(key.id, key.tenant_id)
    await change.store.change_key(replace(key, revoked=True, has_budget=False, auto_recharge=None))
    await change.retire(api_key_key(key.id))
    policy = policy_id(key.tenant_id, key.id)
    if await change.store.delete_policy(policy):
        await change.retire(guard_key(policy))


async def _check_new(change: Change, tenant_id: str, values: dict[str, Any], known: Known) -> None:
    await existing_tenant(change.store, tenant_id, "tenant")
    _check_expiry(values, change.now)
    if (holder := await change.store.key_with(known.sha256)) is not None:
        state = "is revoked" if holder.revoked else f"belongs to tenant {holder.tenant_id!r}"
        raise HiveError(
            Kind.CONFLICT, f"The API key of this SHA-256 is {holder.id!r}, which {state}.", "sha256"
        )


def _check_change(key: ApiKey, values: dict[str, Any], now: int) -> ApiKey:
    """The key as it will be; raises HiveError where it cannot be. caps: those that change."""
    if key.revoked:
        raise HiveError(Kind.CONFLICT, f"The API key {key.id!r} is revoked: create another one.", "id")
    _check_expiry(values, now)
    key = replace(key, **values | {"caps": replace(key.caps, **values.get("caps", {}))})
    _check_rule(key.auto_recharge, has_budget=key.has_budget)
    return key


async def _changed(change: Change, id: str, values: dict[str, Any]) -> ApiKey:
    key = _check_change(await _existing(change.store, id), values, change.now)
    await change.store.change_key(key)
    await change.announce(key)
    return key


async def _existing(store: Store, id: str) -> ApiKey:
    key = await store.key(id)
    if key is None:
        raise HiveError(Kind.NOT_FOUND, f"There is no API key {id!r}.", "id")
    return key


def _check_expiry(values: dict[str, Any], now: int) -> None:
    expires_at = values.get("expires_at")
    if expires_at is not None and expires_at <= now:
        raise HiveError(
            Kind.INVALID, f"expires_at is {expires_at}, which has passed: it is {now} now.", "expires_at"
        )


def _check_rule(rule: object, *, has_budget: bool) -> None:
    if rule is not None and not has_budget:
        raise HiveError(
            Kind.INVALID,
            "auto_recharge fills a key's own budget, and this key has none: give it a budget_usd too.",
            "auto_recharge",
        )
