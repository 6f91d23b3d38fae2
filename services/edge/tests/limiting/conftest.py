"""Limiters on a clock that a test moves: the one in memory, and the one that shares its counters at a server."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from hive_edge.counters import MemoryLimiter
from hive_edge.limits import Entry, Limiter, Limits, Refused
from hive_edge.valkey import ValkeyLimiter
from hive_edge.valkey.scripts import Scripts
from hive_runtime.clock import SystemClock
from hive_runtime.valkey import Argument, Reply, Script, Valkey
from hive_runtime.valkey.client import NetworkValkey

NOW = "hive:test:now"
HELD = f"local function clock() return tonumber(redis.call('GET', '{NOW}')) end"
PATIENT = 30.0
"""Seconds: the machine may be busy."""


class HeldClock(SystemClock):
    time: Any = 1000

    def monotonic(self) -> Any:
        return self.time


class Held:
    """A server whose scripts read the time from a test's clock."""

    def __init__(self, inner: Valkey, clock: HeldClock) -> None:
        self.inner = inner
        self.clock = clock
        self.calls = 0

    @property
    def trouble(self) -> str | None:
        return self.inner.trouble

    async def run(self, script: Script, keys: Sequence[Argument], arguments: Sequence[Argument]) -> Reply:
        self.calls += 1
        await self.inner.put(NOW, str(round(self.clock.time * 1_000_000)).encode(), 600)
        return await self.inner.run(script, keys, arguments)

    async def get(self, key: Argument) -> bytes | None:
        return await self.inner.get(key)

    async def put(self, key: Argument, value: bytes, ttl_seconds: float) -> None:
        await self.inner.put(key, value, ttl_seconds)

    async def delete(self, *keys: Argument) -> int:
        return await self.inner.delete(*keys)

    async def ask(self, *command: Argument) -> Reply:
        return await self.inner.ask(*command)

    async def close(self) -> None:
        await self.inner.close()


def fail(name: str, error: BaseException) -> None:
    raise AssertionError(name) from error


@asynccontextmanager
async def shared(url: str, clock: HeldClock) -> AsyncIterator[tuple[ValkeyLimiter, Held]]:
    """One process's limiter, with a connection of its own."""
    held = Held(NetworkValkey(url, clock, call_seconds=PATIENT), clock)
    limiter = ValkeyLimiter(held, SystemClock(), fail, scripts=Scripts(HELD, spare_seconds=600))
    try:
        yield limiter, held
    finally:
        await limiter.close()
        await held.close()


class Key:
    """One key's way in, through a limiter."""

    def __init__(self, limiter: Limiter, limits: Limits) -> None:
        self.limiter = limiter
        self.limits = limits
        self.name = "key-" + secrets.token_hex(8)

    async def settle(self) -> None:
        """Those who have left are known to have left."""
        if isinstance(self.limiter, ValkeyLimiter):
            assert await self.limiter.settled(PATIENT)

    async def enter(self, body_bytes: int | None = 0) -> Entry:
        await self.settle()
        return await self.limiter.enter(self.name, self.limits, body_bytes)

    async def refusal(self, body_bytes: int | None = 0) -> Refused:
        with pytest.raises(Refused) as caught:
            await self.enter(body_bytes)
        return caught.value

    async def run(self, body_bytes: int | None = 0, used: int = 0) -> Entry:
        with await self.enter(body_bytes) as entry:
            entry.used = used
        await self.settle()
        return entry


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture(params=["memory", "valkey"])
async def limiter(request: pytest.FixtureRequest, clock: HeldClock) -> AsyncIterator[Limiter]:
    """Every test that asks for it runs with both."""
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            yield MemoryLimiter(clock)
        else:
            url = request.getfixturevalue("redis").url
            yield (await stack.enter_async_context(shared(url, clock)))[0]


@pytest.fixture
def new_key(limiter: Limiter) -> Callable[..., Key]:
    return lambda **limits: Key(limiter, Limits(**limits))


@pytest.fixture
def shared_limiter() -> Callable[..., Any]:
    return shared


@pytest.fixture
def key_of() -> type[Key]:
    return Key
