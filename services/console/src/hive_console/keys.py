"""API keys: shown once, kept as a hash."""

from __future__ import annotations

import hashlib
import secrets
import string
from dataclasses import replace
from typing import Any

from hive_console.changes import Change, Changes
from hive_console.control import DEFAULT_TENANT, ApiKey, api_key_key
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


def hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


class Keys:
    """Raises HiveError `not_found` for an unknown id, and `conflict` where the state forbids the change."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def list(self, page: Page, tenant_id: str | None) -> Listing[ApiKey]:
        async with self._changes.read() as store:
            if tenant_id is not None:
                await existing_tenant(store, tenant_id, "tenant")
            return await store.keys(page, tenant_id)

    async def get(self, id: str) -> ApiKey:
        async with self._changes.read() as store:
            return await _existing(store, id)

    async def create(self, tenant_id: str, values: dict[str, Any]) -> tuple[ApiKey, str]:
        """The key as it is kept, and the key itself: nobody can read it again."""
        async with self._changes.change() as change:
            await existing_tenant(change.store, tenant_id, "tenant")
            _check_expiry(values, change.now)
            secret = new_secret()
            key = await add_key(change, tenant_id, secret, **values)
        return key, secret

    async def change(self, id: str, values: dict[str, Any]) -> ApiKey:
        """values: the fields of `ApiKey` that change."""
        async with self._changes.change() as change:
            key = await _existing(change.store, id)
            if key.revoked:
                raise HiveError(Kind.CONFLICT, f"The API key {id!r} is revoked: create another one.", "id")
            _check_expiry(values, change.now)
            key = replace(key, **values)
            await change.store.change_key(key)
            await change.announce(key)
        return key

    async def revoke(self, id: str) -> None:
        """The key is refused from now on; revoking it again changes nothing."""
        async with self._changes.change() as change:
            key = await _existing(change.store, id)
            await change.store.change_key(replace(key, revoked=True))
            await change.retire(api_key_key(id))


async def add_key(
    change: Change, tenant_id: str, secret: str, *, id: str = "", name: str = "", **values: Any
) -> ApiKey:
    """Keep and announce a key of this secret."""
    key = ApiKey(
        id=id or f"key_{secrets.token_hex(12)}",
        tenant_id=tenant_id,
        name=name,
        sha256=hash_of(secret),
        last_four=secret[-4:],
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
            former = replace(former, revoked=True)
            await store.change_key(former)
            await change.retire(api_key_key(former.id))
        holder = replace(holder, revoked=False, expires_at=None)
    elif former is not None:
        holder = replace(
            former, sha256=hash_of(secret), last_four=secret[-4:], revoked=False, expires_at=None
        )
    else:
        await add_key(change, DEFAULT_TENANT, secret, id=BOOTSTRAP_ID, name="bootstrap")
        return
    await store.change_key(holder)
    await change.announce(holder)


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
