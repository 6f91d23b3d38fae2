"""Providers: who answers calls to models. Their credentials are sealed on arrival and never shown."""

from __future__ import annotations

from dataclasses import replace

from hive_console.changes import Changes
from hive_console.control import Provider, Source
from hive_console.declarations import ProviderDeclaration, ProviderFields
from hive_console.pages import Listing, Page
from hive_console.store import Store
from hive_runtime.errors import HiveError, Kind
from hive_runtime.provider_kinds import KINDS
from hive_runtime.sealing import seal


class Providers:
    """Raises HiveError `not_found` for an unknown name, and `conflict` where the state forbids the change.

    public_key: what is sealed with it, routing alone can read. file_name: of the configuration file.
    """

    def __init__(self, changes: Changes, public_key: str, file_name: str) -> None:
        self._changes = changes
        self._public_key = public_key
        self._file_name = file_name

    async def list(self, page: Page) -> Listing[Provider]:
        async with self._changes.read() as store:
            return await store.providers(page)

    async def get(self, name: str) -> Provider:
        async with self._changes.read() as store:
            return await _existing(store, name)

    async def create(self, declaration: ProviderDeclaration) -> Provider:
        """A provider that was found by itself gives way to the one that is created."""
        async with self._changes.catalogue_change() as change:
            found = await change.store.provider(declaration.name)
            if found is not None and found.source in (Source.FILE, Source.API):
                raise HiveError(Kind.CONFLICT, f"There is a provider {found.name!r} already.", "name")
            provider = declaration.provider(Source.API, change.now, self.sealed(declaration))
            await change.store.put_provider(provider, change.revision)
        return provider

    async def change(self, name: str, fields: ProviderFields) -> Provider:
        async with self._changes.catalogue_change() as change:
            provider = replace(await self._changeable(change.store, name), **fields.values())
            provider = replace(provider, timeouts=fields.timeouts.over(provider.timeouts))
            if "api_key" in fields.model_fields_set:
                provider = replace(provider, sealed_credential=self.sealed(fields))
            for place, problem in KINDS[provider.kind].problems(provider.base_url, provider.options):
                raise HiveError(Kind.INVALID, f"{place} {problem}.", place)
            await change.store.put_provider(provider, change.revision)
        return provider

    async def delete(self, name: str) -> None:
        async with self._changes.catalogue_change() as change:
            await self._changeable(change.store, name)
            await change.store.delete_provider(name, Source.API)
            if await change.store.provider(name) is None:
                await _refuse_if_used(change.store, name)

    def sealed(self, fields: ProviderFields) -> bytes:
        """The credential as it is kept; empty where there is none."""
        return seal(self._public_key, fields.api_key.encode()) if fields.api_key else b""

    async def _changeable(self, store: Store, name: str) -> Provider:
        provider = await _existing(store, name)
        refuse_unless_ours(provider.source, f"The provider {name!r}", self._file_name)
        return provider


async def _existing(store: Store, name: str) -> Provider:
    provider = await store.provider(name)
    if provider is None:
        raise HiveError(Kind.NOT_FOUND, f"There is no provider {name!r}.", "name")
    return provider


async def _refuse_if_used(store: Store, name: str) -> None:
    models = (await store.models()).items
    users = [model.id for model in models if name in [each.provider for each in model.deployments]]
    if users:
        raise HiveError(
            Kind.CONFLICT,
            f"The provider {name!r} is used by {', '.join(users[:5])}: change or delete these models first.",
            "name",
        )


def refuse_unless_ours(source: Source, subject: str, file_name: str) -> None:
    """What other sources give is changed at its source: raises HiveError `conflict`."""
    where = {
        Source.FILE: f"comes from the configuration file {file_name}; change it there",
        Source.ENVIRONMENT: "comes from an environment variable; create one of this name to replace it",
        Source.DISCOVERED: "was found on this machine; create one of this name to replace it",
        Source.BUILTIN: "is built in; create one of this name to replace it, or set HIVE_LOCAL_MODELS=0",
    }
    if source in where:
        raise HiveError(Kind.CONFLICT, f"{subject} {where[source]}.")
