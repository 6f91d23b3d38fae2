"""The adapters that speak to providers: made when a provider appears, closed when it goes."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from hive_routing.providers.openai import OpenAIProvider
from hive_routing.providers.port import Provider, Timeouts
from hive_runtime.clock import Clock
from hive_runtime.sealing import SealingError, SealingKey
from hive_runtime.tasks import Tasks

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """A provider as operators described it; `credential` is still sealed."""

    id: str
    kind: str
    base_url: str
    credential: bytes
    timeouts: Timeouts
    bound_field: str


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
        self._kinds: dict[str, Callable[[ProviderRow], Provider]] = {
            "openai": self._openai,
            "local": self._local,
        }

    def get(self, provider_id: str) -> Registered | None:
        return self._registered.get(provider_id)

    def put(self, row: ProviderRow) -> bool:
        """Make or replace an adapter; false where nothing changed. One that cannot be made is logged."""
        known = self._registered.get(row.id)
        if known is not None and known.row == row:
            return False
        self.drop(row.id)
        try:
            self._registered[row.id] = Registered(row, self._kinds[row.kind](row))
        except KeyError:
            log.error("provider is of an unknown kind", provider=row.id, kind=row.kind)
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

    def _openai(self, row: ProviderRow) -> Provider:
        credential = self._key.open(row.credential).decode() if row.credential else ""
        if self._tls is None and row.base_url.startswith("https:"):
            self._tls = ssl.create_default_context()
        return OpenAIProvider(row.id, row.base_url, credential, self._tls, is_traced=self._are_traced)

    def _local(self, row: ProviderRow) -> Provider:
        from hive_routing.providers.local.provider import LocalProvider  # an extra, and slow to import

        return LocalProvider(clock=self._clock)
