"""Answers kept in memory, by key: those asked for longest ago make room for new ones."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import msgspec

from hive_runtime.clock import Clock

ENTRY_OVERHEAD = 1024
"""Bytes that an entry takes beside what its answer holds."""
PIECE_OVERHEAD = 48
"""Bytes that one more chunk takes beside its own; a header takes three times as many."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One answer, as it goes to a client. Caches that are shared keep it as it is written here, member by member.

    chunks: the body in one piece, or the pieces of a stream without the last events, which the gateway writes.
    headers: of the answer, without those that are written anew for every client. usage: units by name.
    cost: nano-dollars that the answer cost when a provider gave it. stored_ms: since the epoch.
    """

    tenant_id: str
    model_id: str
    provider: str
    deployment: str
    chunks: tuple[bytes, ...]
    streamed: bool
    headers: tuple[tuple[bytes, bytes], ...]
    usage: dict[str, int]
    estimated: bool
    cost: int
    stored_ms: int

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        held = sum(map(len, chain(self.chunks, *self.headers)))
        return ENTRY_OVERHEAD + held + PIECE_OVERHEAD * (len(self.chunks) + 3 * len(self.headers))


@dataclass(frozen=True, slots=True)
class Stats:
    """How full the cache is, and what became of the questions to it since it was made.

    followers: of the misses, those that got the answer of an equal request under way. max_bytes: 0 is no bound.
    """

    entries: int
    bytes: int
    hits: int
    misses: int
    followers: int
    evicted: int
    expired: int
    max_bytes: int


class Port(Protocol):
    """A cache that may be in another process; keys begin with their `tenant_tag`.

    followers: misses here that got the answer of an equal request under way; whoever sees one counts it.
    near: the cache itself, where it is in this process: it can be asked without a wait.
    """

    followers: int

    @property
    def near(self) -> Cache | None: ...

    async def get(self, key: bytes) -> Entry | None:
        """Raises nothing: a cache that is away has no entries."""
        ...

    async def put(self, key: bytes, entry: Entry, ttl_seconds: float) -> None:
        """Keep it for so long, if possible; raises nothing."""
        ...

    def keep(self, key: bytes, entry: Entry, ttl_seconds: float) -> None:
        """Begin to `put` it: nobody waits for that."""
        ...

    async def clear(self, tenant_id: str = "") -> int:
        """Forget the entries of a tenant, or all; gives how many. HiveError `unavailable` where it is away."""
        ...

    async def stats(self) -> Stats:
        """Raises HiveError `unavailable` where it is away."""
        ...


class Cache:
    """Keeps at most `max_bytes` over all tenants, and no entry that is larger than `max_entry_bytes`."""

    def __init__(self, clock: Clock, max_bytes: int, max_entry_bytes: int) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._max_entry_bytes = min(max_entry_bytes, max_bytes)
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self.followers = 0
        self._bytes = self._hits = self._misses = self._evicted = self._expired = 0

    def get(self, key: bytes) -> Entry | None:
        """The entry, where it is kept and its time is not over."""
        kept = self._kept.get(key)
        if kept is not None and kept.until <= self._clock.monotonic():
            self._drop(key)
            self._expired += 1
            kept = None
        if kept is None:
            self._misses += 1
            return None
        self._hits += 1
        self._kept.move_to_end(key)
        return kept.entry

    def put(self, key: bytes, entry: Entry, ttl_seconds: float) -> None:
        """Keep it for so long instead of what the key had; one that is too large is not kept."""
        if key in self._kept:
            self._drop(key)
        size = entry.size
        if size > self._max_entry_bytes or ttl_seconds <= 0:
            return
        self._kept[key] = _Kept(entry, size, self._clock.monotonic() + ttl_seconds)
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))
            self._evicted += 1

    def clear(self, tenant_id: str = "") -> int:
        """Forget the entries of a tenant, or all of them; returns how many there were."""
        gone = [key for key, kept in self._kept.items() if tenant_id in ("", kept.entry.tenant_id)]
        for key in gone:
            self._drop(key)
        return len(gone)

    def stats(self) -> Stats:
        return Stats(
            entries=len(self._kept),
            bytes=self._bytes,
            hits=self._hits,
            misses=self._misses,
            followers=self.followers,
            evicted=self._evicted,
            expired=self._expired,
            max_bytes=self._max_bytes,
        )

    def _drop(self, key: bytes) -> None:
        self._bytes -= self._kept.pop(key).size


class Local:
    """A `Cache` of this process as the port."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    @property
    def near(self) -> Cache:
        return self._cache

    @property
    def followers(self) -> int:
        return self._cache.followers

    @followers.setter
    def followers(self, count: int) -> None:
        self._cache.followers = count

    async def get(self, key: bytes) -> Entry | None:
        return self._cache.get(key)

    async def put(self, key: bytes, entry: Entry, ttl_seconds: float) -> None:
        self._cache.put(key, entry, ttl_seconds)

    def keep(self, key: bytes, entry: Entry, ttl_seconds: float) -> None:
        self._cache.put(key, entry, ttl_seconds)

    async def clear(self, tenant_id: str = "") -> int:
        return self._cache.clear(tenant_id)

    async def stats(self) -> Stats:
        return self._cache.stats()


class _Kept(msgspec.Struct):
    """until: monotonic seconds."""

    entry: Entry
    size: int
    until: float
