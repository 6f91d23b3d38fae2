"""The adapters that speak to providers: made when a provider appears, closed when it goes."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from hive_routing.providers.anthropic import AnthropicProvider
from hive_routing.providers.azure import AzureProvider
from hive_routing.providers.cohere import CohereProvider
from hive_routing.providers.compatible import CompatibleProvider
from hive_routing.providers.gemini import GeminiProvider
from hive_routing.providers.mistral import MistralProvider
from hive_routing.providers.openai import OpenAIProvider
from hive_routing.providers.over_http import Site
from hive_routing.providers.port import Provider, Timeouts
from hive_routing.providers.vertex import VertexAnthropicProvider, VertexProvider
from hive_runtime.clock import Clock
from hive_runtime.provider_kinds import COMPATIBLE, Kind
from hive_runtime.sealing import SealingError, SealingKey
from hive_runtime.tasks import Tasks

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """A provider as operators described it; `credential` is still sealed. options: what its kind wants to know."""

    id: str
    kind: str
    base_url: str
    credential: bytes
    timeouts: Timeouts
    bound_field: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Registered:
    row: ProviderRow
    adapter: Provider


class Providers:
    """Adapters by provider id. One that is replaced finishes its calls first."""

    def __init__(self, key: SealingKey, clock: Clock, tasks: Tasks, *, are_traced: bool = False) -> None:
        """are_traced: they get to know the trace that a call belongs to."""
        self._key = key
        self._are_traced = are_traced
        self._clock = clock
        self._tasks = tasks
        self._registered: dict[str, Registered] = {}
        self._retired: list[Provider] = []
        self._tls: ssl.SSLContext | None = None

    def get(self, provider_id: str) -> Registered | None:
        return self._registered.get(provider_id)

    def put(self, row: ProviderRow) -> bool:
        """Make or replace an adapter; false where nothing changed. One that cannot be made is logged."""
        known = self._registered.get(row.id)
        if known is not None and known.row == row:
            return False
        self.drop(row.id)
        try:
            self._registered[row.id] = Registered(row, self._made(row))
        except ImportError as error:
            log.error("provider needs an extra that is not installed", provider=row.id, missing=error.name)
        except (SealingError, UnicodeDecodeError, ValueError) as error:
            log.error("provider cannot be used", provider=row.id, problem=str(error))
        return True

    def drop(self, provider_id: str) -> None:
        """Forget an adapter, and close it once its longest call must have ended."""
        known = self._registered.pop(provider_id, None)
        if known is not None:
            self._retired.append(known.adapter)
            self._tasks.spawn(
                self._close_later(known.adapter, known.row.timeouts.total), f"retire {provider_id}"
            )

    async def close(self) -> None:
        """Close every adapter; calls in flight fail."""
        adapters = [known.adapter for known in self._registered.values()] + self._retired
        self._registered.clear()
        self._retired.clear()
        for adapter in adapters:
            await adapter.close()

    async def _close_later(self, adapter: Provider, seconds: float) -> None:
        await self._clock.sleep(seconds)
        if adapter in self._retired:
            self._retired.remove(adapter)
            await adapter.close()

    def _made(self, row: ProviderRow) -> Provider:
        if row.kind not in MAKERS:
            raise ValueError(f"its kind {row.kind!r} is not known to this release")
        if self._tls is None and row.base_url.startswith("https:"):
            self._tls = ssl.create_default_context()
        site = Site(
            name=row.id,
            kind=row.kind,
            base_url=row.base_url,
            credential=self._key.open(row.credential).decode() if row.credential else "",
            options=row.options,
            tls=self._tls,
            clock=self._clock,
            is_traced=self._are_traced,
        )
        return MAKERS[row.kind](site)


def _bedrock(site: Site) -> Provider:
    from hive_routing.providers.bedrock import BedrockProvider  # few need it

    return BedrockProvider(site)


def _local(site: Site) -> Provider:
    from hive_routing.providers.local.provider import LocalProvider  # an extra, and slow to import

    return LocalProvider(clock=site.clock)


def _longtail(site: Site) -> Provider:
    from hive_routing.providers.longtail.provider import AnyLlmProvider  # an extra, and slow to import

    return AnyLlmProvider(site)


def _compatible() -> Mapping[str, Callable[[Site], Provider]]:
    def maker(kind: Kind) -> Callable[[Site], Provider]:
        row = kind.compatible
        assert row is not None, "they all have one"
        return lambda site: CompatibleProvider(site, row)

    return {kind.name: maker(kind) for kind in COMPATIBLE}


MAKERS: Mapping[str, Callable[[Site], Provider]] = {
    "openai": OpenAIProvider,
    "azure": AzureProvider,
    "anthropic": AnthropicProvider,
    "gemini": GeminiProvider,
    "vertex": VertexProvider,
    "vertex-anthropic": VertexAnthropicProvider,
    "bedrock": _bedrock,
    "cohere": CohereProvider,
    "mistral": MistralProvider,
    "local": _local,
    "any-llm": _longtail,
    **_compatible(),
}
"""The adapters, by kind. Each raises ValueError for a site that it cannot speak to."""
