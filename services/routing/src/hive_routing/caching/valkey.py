"""Answers that all processes of routing share, at a Valkey server: it makes room by itself where it is full."""

from __future__ import annotations

import asyncio
from contextvars import Context

import msgspec

from hive_routing.caching.keys import TENANT_BYTES, tenant_tag
from hive_routing.caching.store import Entry, Stats
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.valkey import Script, Valkey

FORM = b"1"
"""Stands before every value; another release may have another form, and reads no value of this one."""
COUNTERS = "hive:cache:counted"
TELL_SECONDS = 1.0
WALK_SECONDS = 20.0

_PAGE = "local page = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', 500)\n"
_MEASURE = Script(
    _PAGE
    + "local bytes = 0\n"
    + "for _, key in ipairs(page[2]) do bytes = bytes + #key + redis.call('STRLEN', key) end\n"
    + "return {page[1], #page[2], bytes}"
)
_CLEAR = Script(
    _PAGE
    + "local gone = 0\n"
    + "for _, key in ipairs(page[2]) do gone = gone + redis.call('UNLINK', key) end\n"
    + "return {page[1], gone, 0}"
)
_COUNT = Script(
    "local names = {'hits', 'misses', 'followers'}\n"
    "local all = {}\n"
    "for index, name in ipairs(names) do all[index] = redis.call('HINCRBY', KEYS[1], name, ARGV[index]) end\n"
    "return all"
)


class Shared:
    """A cache as its port says. An entry that is larger than `max_entry_bytes` is not kept.

    The server needs a bound (`maxmemory`) and leave to make room among what has a time to live (`volatile-lru`).
    """

    near = None

    def __init__(self, valkey: Valkey, clock: Clock, max_entry_bytes: int) -> None:
        self.followers = 0
        self._valkey = valkey
        self._clock = clock
        self._max_entry_bytes = max_entry_bytes
        self._hits = self._misses = 0
        self._told = (0, 0, 0)
        self._tell_at = clock.monotonic() + TELL_SECONDS
        self._keeping: dict[bytes, Entry] = {}
        """What is on its way to the server: it is no miss for who has asked before it is there."""
        self._putting: set[asyncio.Task[None]] = set()

    async def get(self, key: bytes) -> Entry | None:
        try:
            value = await self._valkey.get(_name(key))
            if self._clock.monotonic() >= self._tell_at:
                await self._count()
        except HiveError:
            value = None
        entry = self._keeping.get(key) if value is None else _decoded(value, key)
        self._hits += entry is not None
        self._misses += entry is None
        return entry

    async def put(self, key: bytes, entry: Entry, ttl_seconds: float) -> None:
        try:
            if entry.size > self._max_entry_bytes or ttl_seconds <= 0:
                await self._valkey.delete(_name(key))
            else:
                await self._valkey.put(_name(key), FORM + _encode(entry), ttl_seconds)
        except HiveError:
            return

    def keep(self, key: bytes, entry: Entry, ttl_seconds: float) -> None:
        self._keeping[key] = entry
        putting = self._kept(key, entry, ttl_seconds)
        task = asyncio.get_running_loop().create_task(putting, name="keep an answer", context=Context())
        self._putting.add(task)
        task.add_done_callback(self._putting.discard)

    async def _kept(self, key: bytes, entry: Entry, ttl_seconds: float) -> None:
        try:
            await self.put(key, entry, ttl_seconds)
        finally:
            if self._keeping.get(key) is entry:
                del self._keeping[key]

    async def clear(self, tenant_id: str = "") -> int:
        gone, _ = await self._walk(_CLEAR, _pattern(tenant_id))
        return gone

    async def stats(self) -> Stats:
        entries, size = await self._walk(_MEASURE, _pattern(""))
        hits, misses, followers = await self._count()
        memory, server = await self._figures("memory"), await self._figures("stats")
        return Stats(
            entries=entries,
            bytes=size,
            hits=hits,
            misses=misses,
            followers=followers,
            evicted=server.get("evicted_keys", 0),
            expired=server.get("expired_keys", 0),
            max_bytes=memory.get("maxmemory", 0),
        )

    async def _count(self) -> list[int]:
        """Add to what all have counted what is new here; gives the sums."""
        self._tell_at = self._clock.monotonic() + TELL_SECONDS
        before, now = self._told, (self._hits, self._misses, self.followers)
        self._told = now
        new = [str(current - told) for current, told in zip(now, before, strict=True)]
        sums: list[int] = await self._valkey.run(_COUNT, [COUNTERS], new)
        return sums

    async def _walk(self, script: Script, pattern: str) -> tuple[int, int]:
        """Run a script for all keys, some hundred at a time; gives the sums of what it says."""
        cursor, entries, size = b"0", 0, 0
        until = self._clock.monotonic() + WALK_SECONDS
        while True:
            cursor, some, bytes_of = await self._valkey.run(script, [], [cursor, pattern])
            entries, size = entries + some, size + bytes_of
            if cursor == b"0":
                return entries, size
            if self._clock.monotonic() > until:
                message = "There are too many cached answers to go through all of them in time. Try again."
                raise HiveError(Kind.UNAVAILABLE, message, retry_after=WALK_SECONDS)

    async def _figures(self, section: str) -> dict[str, int]:
        lines = (await self._valkey.ask("INFO", section)).decode().splitlines()
        pairs = (line.partition(":") for line in lines)
        return {name: int(value) for name, _, value in pairs if value.isdecimal()}


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(Entry).decode


def _name(key: bytes) -> str:
    return f"hive:cache:{key[:TENANT_BYTES].hex()}:{key[TENANT_BYTES:].hex()}"


def _pattern(tenant_id: str) -> str:
    """Names of the entries of a tenant, or of all."""
    return f"hive:cache:{tenant_tag(tenant_id).hex() if tenant_id else '*'}:*"


def _decoded(value: bytes, key: bytes) -> Entry | None:
    """None for what another release wrote, what is damaged, and what is not of the tenant whose key it is."""
    if value[:1] != FORM:
        return None
    try:
        entry = _decode(memoryview(value)[1:])
    except (msgspec.DecodeError, ValueError):
        return None
    return entry if key.startswith(tenant_tag(entry.tenant_id)) else None
