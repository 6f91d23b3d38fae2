"""Brings what a source gives into the control state: added, changed, and what it gives no longer removed."""

from __future__ import annotations

from hive_console.changes import Change
from hive_console.control import Source
from hive_console.found import Declared
from hive_console.providers import Providers


class Sources:
    """What the operator's file, the environment and this machine give, beside what came through the API."""

    def __init__(self, providers: Providers) -> None:
        self._providers = providers

    async def replace(self, change: Change, source: Source, declared: Declared) -> None:
        """From now on `source` gives this and nothing else; what stays keeps its time of creation."""
        await self._replace_providers(change, source, declared)
        await self._replace_models(change, source, declared)

    async def _replace_providers(self, change: Change, source: Source, declared: Declared) -> None:
        former = await change.store.providers_of(source)
        for declaration in declared.providers:
            known = former.pop(declaration.name, None)
            created_at = change.now if known is None else known.created_at
            sealed = self._providers.sealed(declaration)
            provider = declaration.provider(source, created_at, sealed)
            await change.store.put_provider(provider, change.revision)
        for name in former:
            await change.store.delete_provider(name, source)

    async def _replace_models(self, change: Change, source: Source, declared: Declared) -> None:
        former = await change.store.models_of(source)
        for declaration in declared.models:
            known = former.pop(declaration.id, None)
            created = change.now if known is None else known.created
            await change.store.put_model(declaration.model(source, created), change.revision)
        for id in former:
            await change.store.delete_model(id, source)
