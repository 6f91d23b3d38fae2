"""`/tenants` and `/keys`: who calls, and what with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from hive_console.budgets import Budgets
from hive_console.control import ApiKey
from hive_console.http.reading import AskedPage, body_of
from hive_console.keys import Keys
from hive_console.tenants import Tenants
from hive_console.wire import (
    KeyPatch,
    NewKey,
    NewTenant,
    TenantModels,
    TenantPatch,
    deleted_answer,
    key_answer,
    list_answer,
    tenant_answer,
)


def tenant_routes(tenants: Tenants) -> APIRouter:
    router = APIRouter(prefix="/tenants")

    @router.get("")
    async def list_tenants(page: AskedPage) -> dict[str, Any]:
        return list_answer(await tenants.list(page), tenant_answer)

    @router.post("")
    async def create_tenant(body: Annotated[NewTenant, Depends(body_of(NewTenant))]) -> dict[str, Any]:
        return tenant_answer(await tenants.create(body.id, body.values()))

    @router.get("/{id}")
    async def get_tenant(id: str) -> dict[str, Any]:
        return tenant_answer(await tenants.get(id))

    @router.patch("/{id}")
    async def change_tenant(
        id: str, body: Annotated[TenantPatch, Depends(body_of(TenantPatch))]
    ) -> dict[str, Any]:
        return tenant_answer(await tenants.change(id, body.values()))

    @router.put("/{id}/models")
    async def set_models(
        id: str, body: Annotated[TenantModels, Depends(body_of(TenantModels))]
    ) -> dict[str, Any]:
        models = None if body.models is None else tuple(body.models)
        return tenant_answer(await tenants.change(id, {"models": models}))

    @router.delete("/{id}")
    async def delete_tenant(id: str) -> dict[str, Any]:
        await tenants.delete(id)
        return deleted_answer("tenant", id)

    return router


def key_routes(keys: Keys, budgets: Budgets) -> APIRouter:
    router = APIRouter(prefix="/keys")

    async def answers(found: Sequence[ApiKey]) -> dict[str, dict[str, Any]]:
        known = await budgets.of(found)
        return {key.id: key_answer(key, known) for key in found}

    async def answer(key: ApiKey) -> dict[str, Any]:
        return (await answers([key]))[key.id]

    @router.get("")
    async def list_keys(page: AskedPage, tenant: str | None = None) -> dict[str, Any]:
        listing = await keys.list(page, tenant)
        found = await answers(listing.items)
        return list_answer(listing, lambda key: found[key.id])

    @router.post("")
    async def create_key(body: Annotated[NewKey, Depends(body_of(NewKey))]) -> dict[str, Any]:
        key, secret = await keys.create(body.tenant, body.values(), body.budget_usd, body.known)
        return {**await answer(key), **({} if secret is None else {"key": secret})}

    @router.get("/{id}")
    async def get_key(id: str) -> dict[str, Any]:
        return await answer(await keys.get(id))

    @router.patch("/{id}")
    async def change_key(id: str, body: Annotated[KeyPatch, Depends(body_of(KeyPatch))]) -> dict[str, Any]:
        if body.names_budget:
            return await answer(await keys.change_budget(id, body.values(), body.budget_usd))
        return await answer(await keys.change(id, body.values()))

    @router.delete("/{id}")
    async def revoke_key(id: str) -> dict[str, Any]:
        await keys.revoke(id)
        return deleted_answer("api_key", id)

    return router
