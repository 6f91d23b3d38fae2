"""Models: what callers ask for, and which deployments answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from hive_console.changes import Changes, served
from hive_console.control import Model, Names, Source
from hive_console.declarations import ModelDeclaration, ModelFields, misplaced_star
from hive_console.pages import Listing, Page
from hive_console.problems import did_you_mean
from hive_console.providers import refuse_unless_ours
from hive_console.store import Store
from hive_runtime.errors import HiveError, Kind

MIRROR = "routing.mirror.to"


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
            await _check_name(change.store, model.id)
            await _check_references(change.store, model)
            await change.store.put_model(model, change.revision)
        return model

    async def change(self, id: str, fields: ModelFields) -> Model:
        async with self._changes.catalogue_change() as change:
            model = replace(await self._changeable(change.store, id), **fields.values())
            model = replace(model, routing=fields.routing.over(model.routing))
            names = [each.model for each in model.deployments]
            if words := misplaced_star(id, names, model.aliases):
                raise HiveError(Kind.INVALID, f"{words[:1].upper()}{words[1:]}.")
            await _check_references(change.store, model)
            await change.store.put_model(model, change.revision)
        return model

    async def delete(self, id: str) -> None:
        async with self._changes.catalogue_change() as change:
            model = await self._changeable(change.store, id)
            await change.store.delete_model(id, Source.API)
            if await change.store.model(id) is None:
                await _refuse_if_used(change.store, model)

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
    others = [other for other in (await store.models()).items if other.id != model.id]
    for position, alias in enumerate(model.aliases):
        _check_free(alias, model, Names(others), f"aliases[{position}]")
    names = Names([*others, model])
    for param, name in _passed_on(model):
        if name in (model.id, *model.aliases):
            noun = "mirror" if param == MIRROR else "fallback"
            raise HiveError(Kind.INVALID, f"A model cannot be its own {noun}.", param)
        if names.find(name) is None:
            _check_known("model", name, names.all, param)


def _passed_on(model: Model) -> Iterator[tuple[str, str]]:
    """Where the model names others, and which."""
    for field in ("fallbacks", "context_fallbacks"):
        for position, name in enumerate(getattr(model, field)):
            yield f"{field}[{position}]", name
    if model.routing.mirror is not None:
        yield MIRROR, model.routing.mirror.to


async def _check_name(store: Store, id: str) -> None:
    for other in (await store.models()).items:
        if id in other.aliases:
            raise HiveError(Kind.CONFLICT, f"{id!r} is an alias of the model {other.id!r} already.", "id")


def _check_free(alias: str, model: Model, names: Names, param: str) -> None:
    if alias == model.id:
        raise HiveError(Kind.INVALID, "A model cannot be its own alias.", param)
    if (other := names.exactly(alias)) is not None:
        raise HiveError(Kind.INVALID, f"{alias!r} is a name of the model {other.id!r} already.", param)


def _check_known(noun: str, name: str, known: Iterable[str], param: str) -> None:
    if name not in known:
        raise HiveError(Kind.INVALID, f"There is no {noun} {name!r}{did_you_mean(name, known)}.", param)


async def _refuse_if_used(store: Store, gone: Model) -> None:
    """Raises HiveError `conflict` where a name that another model passes on to stood for this one alone."""
    models = (await store.models()).items
    former, names = Names([gone]), Names(models)

    def misses(name: str) -> bool:
        return former.find(name) is not None and names.find(name) is None

    users = [model.id for model in models if any(map(misses, model.others))]
    if users:
        raise HiveError(
            Kind.CONFLICT,
            f"The model {gone.id!r} is a fallback or mirror of {', '.join(users[:5])}: change or delete these models "
            "first.",
            "id",
        )
