"""Models: what callers ask for, and which deployments answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hive_console.changes import Changes, served
from hive_console.control import Model, Source
from hive_console.declarations import ModelDeclaration, ModelFields
from hive_console.pages import Listing, Page
from hive_console.problems import did_you_mean
from hive_console.providers import refuse_unless_ours
from hive_console.store import Store
from hive_runtime.errors import HiveError, Kind


class Models:
    """Raises HiveError `not_found` for an unknown id, and `conflict` where the state forbids the change.

    file_name: of the configuration file.
    """

    def __init__(self, changes: Changes, file_name: str) -> None:
        self._changes = changes
        self._file_name = file_name

    async def list(self, page: Page) -> Listing[Model]:
        async with self._changes.read() as store:
            return await store.models(page)

    async def get(self, id: str) -> Model:
        async with self._changes.read() as store:
            return await _existing(store, id)

    async def in_service(self) -> set[str]:
        """The control keys of all that callers can use."""
        async with self._changes.read() as store:
            return set(await served(store))

    async def create(self, declaration: ModelDeclaration) -> Model:
        """A model that was found by itself gives way to the one that is created."""
        async with self._changes.catalogue_change() as change:
            found = await change.store.model(declaration.id)
            if found is not None and found.source in (Source.FILE, Source.API):
                raise HiveError(Kind.CONFLICT, f"There is a model {found.id!r} already.", "id")
            model = declaration.model(Source.API, change.now)
            await _check_references(change.store, model)
            await change.store.put_model(model, change.revision)
        return model

    async def change(self, id: str, fields: ModelFields) -> Model:
        async with self._changes.catalogue_change() as change:
            model = replace(await self._changeable(change.store, id), **fields.values())
            await _check_references(change.store, model)
            await change.store.put_model(model, change.revision)
        return model

    async def delete(self, id: str) -> None:
        async with self._changes.catalogue_change() as change:
            await self._changeable(change.store, id)
            await change.store.delete_model(id, Source.API)
            if await change.store.model(id) is None:
                await _refuse_if_used(change.store, id)

    async def _changeable(self, store: Store, id: str) -> Model:
        model = await _existing(store, id)
        refuse_unless_ours(model.source, f"The model {id!r}", self._file_name)
        return model


async def _existing(store: Store, id: str) -> Model:
    model = await store.model(id)
    if model is None:
        raise HiveError(Kind.NOT_FOUND, f"There is no model {id!r}.", "id")
    return model


async def _check_references(store: Store, model: Model) -> None:
    providers = {provider.name for provider in (await store.providers()).items}
    for position, deployment in enumerate(model.deployments):
        param = f"deployments[{position}].provider"
        _check_known("provider", deployment.provider, providers, param)
    models = {other.id for other in (await store.models()).items}
    for position, fallback in enumerate(model.fallbacks):
        if fallback == model.id:
            raise HiveError(Kind.INVALID, "A model cannot be its own fallback.", f"fallbacks[{position}]")
        _check_known("model", fallback, models, f"fallbacks[{position}]")


def _check_known(noun: str, name: str, known: Iterable[str], param: str) -> None:
    if name not in known:
        raise HiveError(Kind.INVALID, f"There is no {noun} {name!r}{did_you_mean(name, known)}.", param)


async def _refuse_if_used(store: Store, id: str) -> None:
    users = [model.id for model in (await store.models()).items if id in model.fallbacks]
    if users:
        raise HiveError(
            Kind.CONFLICT,
            f"The model {id!r} is a fallback of {', '.join(users[:5])}: change or delete these models first.",
            "id",
        )
