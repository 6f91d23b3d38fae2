"""Tenants: who may use what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hive_console.changes import Changes
from hive_console.control import DEFAULT_TENANT, Tenant, api_key_key, guard_key, tenant_key
from hive_console.pages import Listing, Page
from hive_console.store import Store
from hive_runtime.errors import HiveError, Kind


class Tenants:
    """Raises HiveError `not_found` for an unknown id, and `conflict` where the state forbids the change."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def list(self, page: Page) -> Listing[Tenant]:
        async with self._changes.read() as store:
            return await store.tenants(page)

    async def get(self, id: str) -> Tenant:
        async with self._changes.read() as store:
            return await existing_tenant(store, id)

    async def create(self, id: str, values: dict[str, Any]) -> Tenant:
        """values: the fields of `Tenant` that were given."""
        async with self._changes.change() as change:
            if await change.store.tenant(id) is not None:
                raise HiveError(Kind.CONFLICT, f"There is a tenant {id!r} already.", "id")
            tenant = _with(Tenant(id, name=id, created_at=change.now), values)
            await change.store.add_tenant(tenant, change.revision)
            await change.announce(tenant)
        return tenant

    async def change(self, id: str, values: dict[str, Any]) -> Tenant:
        """values: the fields of `Tenant` that change; of `billing`, its `caps` and `cache`, those that do."""
        async with self._changes.change() as change:
            tenant = _with(await existing_tenant(change.store, id), values)
            await change.store.change_tenant(tenant)
            await change.announce(tenant)
        return tenant

    async def delete(self, id: str) -> None:
        if id == DEFAULT_TENANT:
            raise HiveError(Kind.CONFLICT, f"The tenant {id!r} cannot be deleted; it can be disabled.", "id")
        async with self._changes.change() as change:
            await existing_tenant(change.store, id)
            keys = (await change.store.keys(tenant_id=id)).items
            if live := [key.id for key in keys if key.is_live(change.now) or key.has_budget]:
                raise HiveError(
                    Kind.CONFLICT,
                    f"The tenant {id!r} has API keys that are live or hold a budget ({', '.join(live[:5])}):"
                    " revoke them first.",
                    "id",
                )
            policies = (await change.store.policies(tenant_id=id)).items
            await change.store.delete_tenant(id)
            for key in keys:
                await change.retire(api_key_key(key.id))
            await change.retire(tenant_key(id))
            for policy in policies:
                await change.retire(guard_key(policy.id))


def _with(tenant: Tenant, values: dict[str, Any]) -> Tenant:
    given = values.get("billing", {})
    caps = replace(tenant.billing.caps, **given.get("caps", {}))
    billing = replace(tenant.billing, **given | {"caps": caps})
    cache = replace(tenant.cache, **values.get("cache", {}))
    return replace(tenant, **values | {"billing": billing, "cache": cache})


async def existing_tenant(store: Store, id: str, param: str = "id") -> Tenant:
    """The tenant; raises HiveError `not_found` that blames `param`."""
    tenant = await store.tenant(id)
    if tenant is None:
        raise HiveError(Kind.NOT_FOUND, f"There is no tenant {id!r}.", param)
    return tenant
