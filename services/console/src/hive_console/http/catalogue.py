"""`/providers` and `/models`: what answers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from hive_console.declarations import ModelDeclaration, ModelFields, ProviderDeclaration, ProviderFields
from hive_console.http.reading import AskedPage, body_of
from hive_console.models import Models
from hive_console.providers import Providers
from hive_console.wire import deleted_answer, list_answer, model_answer, provider_answer


def provider_routes(providers: Providers) -> APIRouter:
    router = APIRouter(prefix="/providers")

    @router.get("")
    async def list_providers(page: AskedPage) -> dict[str, Any]:
        return list_answer(await providers.list(page), provider_answer)

    @router.post("")
    async def create_provider(
        body: Annotated[ProviderDeclaration, Depends(body_of(ProviderDeclaration))],
    ) -> dict[str, Any]:
        return provider_answer(await providers.create(body))

    @router.get("/{name}")
    async def get_provider(name: str) -> dict[str, Any]:
        return provider_answer(await providers.get(name))

    @router.patch("/{name}")
    async def change_provider(
        name: str, body: Annotated[ProviderFields, Depends(body_of(ProviderFields))]
    ) -> dict[str, Any]:
        return provider_answer(await providers.change(name, body))

    @router.delete("/{name}")
    async def delete_provider(name: str) -> dict[str, Any]:
        await providers.delete(name)
        return deleted_answer("provider", name)

    return router


def model_routes(models: Models) -> APIRouter:
    router = APIRouter(prefix="/models")

    @router.get("")
    async def list_models(page: AskedPage) -> dict[str, Any]:
        in_service = await models.in_service()
        return list_answer(await models.list(page), lambda model: model_answer(model, in_service))

    @router.post("")
    async def create_model(
        body: Annotated[ModelDeclaration, Depends(body_of(ModelDeclaration))],
    ) -> dict[str, Any]:
        return model_answer(await models.create(body), await models.in_service())

    @router.get("/{id:path}")
    async def get_model(id: str) -> dict[str, Any]:
        return model_answer(await models.get(id), await models.in_service())

    @router.patch("/{id:path}")
    async def change_model(
        id: str, body: Annotated[ModelFields, Depends(body_of(ModelFields))]
    ) -> dict[str, Any]:
        return model_answer(await models.change(id, body), await models.in_service())

    @router.delete("/{id:path}")
    async def delete_model(id: str) -> dict[str, Any]:
        await models.delete(id)
        return deleted_answer("model", id)

    return router
