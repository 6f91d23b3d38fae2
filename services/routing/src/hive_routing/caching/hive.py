"""HiveCache as the pipeline uses it: where a request sits, and what is kept of its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.caching.flights import Flights, Following, Leading
from hive_routing.caching.keys import cache_key, tenant_tag
from hive_routing.caching.store import Entry, Port
from hive_routing.caching.terms import Terms, TermsBook
from hive_routing.usage import Usage
from hive_runtime.clock import Clock

MOST_KEPT = 2 * 1024 * 1024
"""Bytes of one answer that are kept."""


class Asked(msgspec.Struct, frozen=True):
    """What makes a request the same as another one. fields: before anything was taken out of them.

    circumstances: what else the answer depends on, as what can be written as JSON.
    """

    tenant_id: str
    model_id: str
    endpoint: str
    fields: Mapping[str, Raw]
    circumstances: Any


class Keeping(msgspec.Struct):
    """What is kept of one answer that comes; those that follow hear of it at the same time.

    Without anybody to follow it (`leading` is None) the answer is only kept.
    """

    _store: Port
    _clock: Clock
    _key: bytes
    _asked: Asked
    _ttl_seconds: float
    _leading: Leading | None
    _told: Leading | None = None
    _chunks: list[bytes] = []
    _size: int = 0
    _streamed: bool = False
    _headers: tuple[tuple[bytes, bytes], ...] = ()
    _provider: str = ""
    _deployment: str = ""

    def begin(
        self, headers: list[tuple[bytes, bytes]], *, streamed: bool, provider: str, deployment: str
    ) -> None:
        """An answer comes."""
        self._streamed = streamed
        self._provider, self._deployment = provider, deployment
        self._headers = tuple(headers)
        if self._leading is not None and streamed:  # what is whole is told at its end, all at once
            self._told = self._leading
            self._leading.begin(headers, streamed, self._asked.model_id, provider, deployment)

    @property
    def piece(self) -> Callable[[bytes], None]:
        """Takes the next bytes of its body. Of a stream with followers, what they are told is what is kept."""
        return self._add if self._told is None else self._told.piece

    def _add(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= MOST_KEPT or not self._streamed:  # those who follow get what is whole from here
            self._chunks.append(data)
        else:
            self._chunks.clear()

    def finish(self, model_id: str, closing: bytes, usage: Usage, cost: int) -> None:
        """It is whole. closing: what a stream says at its end, without the caller's own costs.

        An answer of another model (a fallback's) is shared with those who wait, and not kept.
        """
        asked = self._asked
        chunks = self._chunks if self._told is None else self._told.told
        is_whole = chunks is not None and self._size <= MOST_KEPT
        entry = Entry(
            asked.tenant_id,
            model_id,
            self._provider,
            self._deployment,
            (*(chunks or ()), closing) if self._streamed else tuple(self._chunks),
            self._streamed,
            self._headers,
            usage.units,
            usage.estimated,
            cost,
            stored_ms=round(self._clock.now() * 1000),
        )
        if model_id == asked.model_id and is_whole:
            self._store.keep(self._key, entry, self._ttl_seconds)
        if self._leading is not None:
            self._leading.finish(entry)


class HiveCache:
    """Answers are looked up, followed and kept per tenant; a tenant whose time to live is 0 has none."""

    def __init__(self, store: Port, flights: Flights, terms: TermsBook, clock: Clock) -> None:
        self.terms = terms
        self._store = store
        self._flights = flights
        self._clock = clock

    @property
    def followed(self) -> int:
        """Requests that got the answer of an equal one under way."""
        return self._store.followers

    @followed.setter
    def followed(self, count: int) -> None:
        self._store.followers = count

    def key(self, asked: Asked) -> bytes:
        digest = cache_key(asked.tenant_id, asked.model_id, asked.endpoint, asked.fields, asked.circumstances)
        return tenant_tag(asked.tenant_id) + digest

    async def look_up(self, key: bytes) -> Entry | Leading | Following:
        """What is there: the whole answer, or a seat. A seat has to be left."""
        near = self._store.near
        entry = near.get(key) if near is not None else await self._store.get(key)
        return self._flights.join(key) if entry is None else entry

    def keeping(self, key: bytes, asked: Asked, terms: Terms, leading: Leading | None) -> Keeping:
        return Keeping(self._store, self._clock, key, asked, terms.ttl_seconds, leading)
