"""Guards that there are, and the policies that say which of them run for whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hive_console.changes import Changes
from hive_console.control import ApiKey, GuardAction, GuardPolicy, GuardRule, guard_key, policy_id
from hive_console.pages import Listing, Page
from hive_console.store import Store
from hive_console.tenants import existing_tenant
from hive_runtime.errors import HiveError, Kind

_JUDGES = (GuardAction.BLOCK, GuardAction.OBSERVE)
_FINDS = (GuardAction.REDACT, *_JUDGES)

GUARDS: Mapping[str, tuple[GuardAction, ...]] = {
    "prompt-injection": _JUDGES,
    "secrets": _FINDS,
    "pii": _FINDS,
    "toxicity": _JUDGES,
    "denied-words": _FINDS,
}
"""What each can do. Those that judge a text as a whole have no part of it to take out."""

DEFAULT_RULES = (
    GuardRule("prompt-injection", GuardAction.BLOCK),
    GuardRule("secrets", GuardAction.REDACT),
)
"""What runs for tenants without a policy."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The policy that holds for a tenant or key.

    is_default: neither the key nor the tenant has one. is_inherited: the key has none, its tenant has.
    """

    policy: GuardPolicy
    is_default: bool = False
    is_inherited: bool = False


class Policies:
    """Raises HiveError `not_found` for an unknown tenant or key, and `conflict` for a revoked key."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def list(
        self, page: Page, tenant_id: str | None = None, key_id: str | None = None
    ) -> Listing[GuardPolicy]:
        """Those that were set, of this tenant or key only."""
        async with self._changes.read() as store:
            await _existing_holder(store, tenant_id, key_id)
            return await store.policies(page, tenant_id, key_id)

    async def get(self, tenant_id: str, key_id: str | None = None) -> Standing:
        async with self._changes.read() as store:
            await _existing_holder(store, tenant_id, key_id)
            return await _standing(store, tenant_id, key_id)

    async def put(self, tenant_id: str, key_id: str | None, values: dict[str, Any]) -> GuardPolicy:
        """values: the fields of `GuardPolicy`, without whose it is."""
        return await self._put(tenant_id, key_id, values, anew=True)

    async def change(self, tenant_id: str, key_id: str | None, values: dict[str, Any]) -> GuardPolicy:
        """values: the fields that change; the others are those of the policy that holds now."""
        return await self._put(tenant_id, key_id, values, anew=False)

    async def delete(self, tenant_id: str, key_id: str | None = None) -> None:
        """The tenant's policy holds for the key again, and the default for the tenant."""
        async with self._changes.change() as change:
            await _existing_holder(change.store, tenant_id, key_id)
            id = policy_id(tenant_id, key_id)
            if await change.store.delete_policy(id):
                await change.retire(guard_key(id))

    async def tenant_of(self, tenant_id: str | None, key_id: str | None) -> str | None:
        """The tenant, or that of the key; both have to be there and to belong together."""
        async with self._changes.read() as store:
            key = await _existing_holder(store, tenant_id, key_id)
            return key.tenant_id if key else tenant_id

    async def _put(
        self, tenant_id: str, key_id: str | None, values: dict[str, Any], *, anew: bool
    ) -> GuardPolicy:
        async with self._changes.change() as change:
            key = await _existing_holder(change.store, tenant_id, key_id)
            if key is not None and key.revoked:
                message = f"The API key {key.id!r} is revoked: no call is guarded by a policy of it."
                raise HiveError(Kind.CONFLICT, message, "key")
            if anew:
                policy = GuardPolicy(tenant_id, key_id, **values)
            else:
                policy = replace((await _standing(change.store, tenant_id, key_id)).policy, **values)
            await change.store.put_policy(policy, change.revision)
            await change.announce(policy)
        return policy


async def _existing_holder(store: Store, tenant_id: str | None, key_id: str | None) -> ApiKey | None:
    """The key, where one is named; raises HiveError `not_found` that blames `tenant` or `key`."""
    if tenant_id is not None:
        await existing_tenant(store, tenant_id, "tenant")
    if key_id is None:
        return None
    key = await store.key(key_id)
    if key is None:
        raise HiveError(Kind.NOT_FOUND, f"There is no API key {key_id!r}.", "key")
    if tenant_id not in (None, key.tenant_id):
        raise HiveError(Kind.NOT_FOUND, f"The tenant {tenant_id!r} has no API key {key_id!r}.", "key")
    return key


async def _standing(store: Store, tenant_id: str, key_id: str | None) -> Standing:
    """A key that has no policy of its own has the guards of its tenant; words and locks stay the tenant's."""
    own = await store.policy(policy_id(tenant_id, key_id))
    if own is not None:
        return Standing(own)
    tenants = None if key_id is None else await store.policy(policy_id(tenant_id, None))
    if tenants is not None:
        return Standing(GuardPolicy(tenant_id, key_id, tenants.rules), is_inherited=True)
    return Standing(GuardPolicy(tenant_id, key_id, DEFAULT_RULES), is_default=True)
