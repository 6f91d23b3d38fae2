"""Looks for an Ollama on this machine, at the start and every minute after."""

from __future__ import annotations

import structlog

from hive_console.changes import Changes
from hive_console.control import Source
from hive_console.found import Declared, from_ollama
from hive_console.ollama import list_models
from hive_console.sources import Sources
from hive_runtime.clock import Clock

log = structlog.get_logger(__name__)
EVERY_SECONDS = 60.0


class OllamaWatch:
    """Keeps the models of source `discovered` to what an Ollama at `url` has."""

    def __init__(self, url: str, changes: Changes, sources: Sources, clock: Clock) -> None:
        self._base_url = f"{url.rstrip('/')}/v1"
        self._changes = changes
        self._sources = sources
        self._clock = clock
        self._last: Declared | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self._look()
            except Exception as error:
                # One that is busy keeps its models; one that nobody serves any more lost them above.
                log.warning("cannot ask Ollama for its models", url=self._base_url, error=str(error))
            await self._clock.sleep(EVERY_SECONDS)

    async def _look(self) -> None:
        names = await list_models(self._base_url)
        found = from_ollama(self._base_url, names) if names else Declared()
        if found == self._last:
            return
        async with self._changes.catalogue_change() as change:
            await self._sources.replace(change, Source.DISCOVERED, found)
        self._last = found
        if found.models:
            log.info("found Ollama", url=self._base_url, models=len(found.models))
