"""What becomes of limited requests while the server that counts them is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hive_edge.counters import MemoryLimiter
from hive_edge.limits import Limiter, Limits, Rate, Refused
from hive_edge.valkey import ValkeyLimiter
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.valkey.client import NetworkValkey

LIMITED = Limits(requests=10, tokens=1000, concurrency=2)
BOUND = 20
"""Seconds, for what takes a fraction of one on an idle machine."""


def fail(name: str, error: BaseException) -> None:
    raise AssertionError(name) from error


@asynccontextmanager
async def limiting(url: str, instead: Limiter | None = None) -> AsyncIterator[ValkeyLimiter]:
    valkey = NetworkValkey(url, SystemClock())
    limiter = ValkeyLimiter(valkey, SystemClock(), fail, instead)
    try:
        yield limiter
    finally:
        await limiter.close()
        await valkey.close()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(BOUND):
        while not await condition():
            await asyncio.sleep(0.01)


async def works(key: Any) -> bool:
    try:
        await key.run(4)
    except HiveError:
        return False
    return True


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_limited_requests_are_refused_until_it_is_back(redis: Any, key_of: Any, how: str) -> None:
    async with limiting(redis.url) as limiter:
        limited = key_of(limiter, LIMITED._replace(requests=10_000))
        await until(lambda: works(limited))
        getattr(redis, how)()
        for _ in range(5):
            with pytest.raises(HiveError) as raised:
                await limited.enter(4)
            error = raised.value
            assert (error.kind, error.retry_after, error.should_retry) == (Kind.UNAVAILABLE, 1.0, None)
            assert "limits of this API key" in error.message
        assert limiter.away
        with await key_of(limiter, Limits()).enter(4) as entry:
            entry.used = 7
        redis.restore()
        await until(lambda: works(limited))
        assert not limiter.away
        await limited.settle()
        with await limited.enter(4), await limited.enter(4):  # what came too late takes nobody's place
            pass


async def test_who_runs_while_it_goes_leaves_without_a_fuss(redis: Any, key_of: Any) -> None:
    async with limiting(redis.url) as limiter:
        key = key_of(limiter, LIMITED)
        async with asyncio.timeout(BOUND):
            with await key.enter(None) as entry:
                redis.kill()
                with pytest.raises(HiveError) as raised:
                    await entry.weigh(400)
                assert raised.value.kind is Kind.UNAVAILABLE
                entry.used = 3
                await limiter.renew()
            await key.settle()
        assert len(limiter) == 0


async def test_each_process_counts_alone_where_it_is_told_to(redis: Any, key_of: Any, clock: Any) -> None:
    async with limiting(redis.url, MemoryLimiter(clock)) as limiter:
        key = key_of(limiter, LIMITED)
        redis.kill()
        with await key.enter(400) as entry:
            assert entry.standing.tokens == Rate(1000, 900, 6_000_000_000)
            with await key.enter(), pytest.raises(Refused, match="2 concurrent requests"):
                await key.enter()
            entry.used = 400
        assert (await key.run()).standing.tokens.remaining == 600
        limiter.drop(key.name)
        redis.restore()

        async def together() -> bool:
            return isinstance((await key.run()).standing.requests, Rate) and not limiter.away

        await until(together)


async def test_a_body_that_is_weighed_while_it_is_away_goes_on_where_each_counts_alone(
    redis: Any, key_of: Any, clock: Any
) -> None:
    async with limiting(redis.url, MemoryLimiter(clock)) as limiter:
        key = key_of(limiter, LIMITED)
        with await key.enter(None) as entry:
            redis.kill()
            await entry.weigh(400)
            assert entry.reserved == 0


async def test_a_full_server_still_counts(redis: Any, key_of: Any) -> None:
    async with limiting(redis.url) as limiter:
        valkey = NetworkValkey(redis.url, SystemClock(), call_seconds=BOUND)
        await valkey.ask("CONFIG", "SET", "maxmemory", "1")
        try:
            with pytest.raises(HiveError):
                await valkey.put("hive:test:full", b"x", 60)
            key = key_of(limiter, LIMITED)
            with await key.enter(4), await key.enter(4):
                await key.refusal(4)
        finally:
            await valkey.ask("CONFIG", "SET", "maxmemory", "0")
            await valkey.close()


async def test_the_public_door_says_when_to_come_again(redis: Any, open_door: Any, tmp_path: Path) -> None:
    async with limiting(redis.url) as limiter, open_door(tmp_path, limiter) as door:

        async def ask() -> Any:
            return await door.ask("GET", "/v1/models")

        async def is_served() -> bool:
            return bool((await ask()).status == 200)

        door.limit(requests=10_000, concurrency=5)
        await until(is_served)
        redis.kill()
        refused = await ask()
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert b"limits of this API key" in refused.body and "x-should-retry" not in refused.headers
        door.limit()
        assert await is_served()
        door.limit(requests=10_000, concurrency=5)
        redis.restore()
        await until(is_served)
