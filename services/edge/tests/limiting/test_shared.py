"""Several processes' limiters over one server: together they let in what one would, whoever of them dies."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hive_edge.counters import MemoryLimiter
from hive_edge.durations import MINUTE
from hive_edge.limits import Entry, Limits, Rate, Refused, Standing
from hive_edge.valkey import ValkeyLimiter
from hive_edge.valkey.entries import Unlimited
from hive_runtime.clock import SystemClock
from hive_runtime.valkey.client import NetworkValkey

RATES = st.integers(1, 9) | st.integers(50, 5000) | st.just(10**10)
LIMITS = st.builds(Limits, st.none() | RATES, st.none() | RATES | RATES, st.none() | st.integers(2, 4))
PAUSES = st.just(0) | st.integers(1, 2_000_000) | st.integers(1, 20_000_000)
"""Microseconds."""
STEPS = st.lists(
    st.tuples(
        PAUSES,
        st.sampled_from(["enter", "enter", "enter unknown", "leave", "leave", "change"]),
        st.integers(0, 2),
        st.integers(0, 60),
        LIMITS,
    ),
    min_size=8,
    max_size=30,
)


class Pair:
    """The model, and limiters that are to do the same. running: entries of both, with the way they came."""

    def __init__(self, key_of: Any, limiters: list[Any], clock: Any, limits: Limits) -> None:
        self.clock = clock
        self.limits = limits
        self.model = key_of(MemoryLimiter(clock), limits)
        self.keys = [key_of(limiter, limits) for limiter in limiters]
        for key in self.keys:
            key.name = self.model.name
        self.running: list[tuple[Entry, Entry, Any]] = []

    async def step(self, pause: int, does: str, which: int, amount: int, limits: Limits) -> None:
        self.clock.time += Fraction(pause, 1_000_000)
        for key in self.keys:
            await key.settle()
            await key.limiter.renew()
        key = self.keys[which]
        if does == "change" and not self.running and not self.in_debt():
            # Not all are gone, for nobody would be asked then, and nobody would hear of it.
            self.limits = limits if limits != Limits() else Limits(concurrency=1)
        elif does == "leave" and self.running:
            expected, entry, at = self.running.pop(amount % len(self.running))
            expected.used = entry.used = self.tokens(amount)
            for each in (expected, entry):
                each.__exit__(None, None, None)
            await at.settle()
        elif does.startswith("enter"):
            await self.enter(key, self.tokens(amount) * 4, known=does == "enter")

    async def enter(self, key: Any, body_bytes: int, known: bool) -> None:
        self.model.limits = key.limits = self.limits
        expected = await self.attempt(self.model, body_bytes, known)
        found = await self.attempt(key, body_bytes, known)
        if isinstance(expected, Refused):
            assert isinstance(found, Refused), (found, expected.message)
            assert found.message.partition(" Try")[0] == expected.message.partition(" Try")[0]
            assert found.wait == up(expected.wait)
        else:
            assert not isinstance(found, Refused), found.message
            assert found.reserved == expected.reserved
            self.running.append((expected, found, key))
        assert found.standing == coarse(expected.standing)

    async def attempt(self, key: Any, body_bytes: int, known: bool) -> Any:
        entry = None
        try:
            entry = await key.enter(body_bytes if known else None)
            if not known:
                await entry.weigh(body_bytes)
        except Refused as refused:
            if entry is not None:
                entry.__exit__(None, None, None)
                await key.settle()
            return refused
        return entry

    def tokens(self, hundredths: int) -> int:
        return (self.limits.tokens or 100) * hundredths // 100

    def in_debt(self) -> bool:
        """Owed is more than a limit: then what a new one makes of it is rounded to nanoseconds, or to microseconds."""
        counters = self.model.limiter._counters.get(self.model.name)
        buckets = [] if counters is None else [counters.requests, counters.tokens]
        return any(bucket is not None and bucket.reset(counters.now()) > MINUTE for bucket in buckets)


def up(wait: int | None) -> int | None:
    """The server counts in microseconds."""
    return wait and -(-wait // 1000) * 1000


def coarse(standing: Standing) -> Standing:
    return Standing(*(rate and Rate(rate.limit, rate.remaining, up(rate.reset) or 0) for rate in standing))


def test_they_let_in_exactly_what_one_in_memory_would(
    redis: Any, clock: Any, key_of: Any, shared_limiter: Callable[..., Any]
) -> None:
    with asyncio.Runner() as runner:
        opened = [shared_limiter(redis.url, clock) for _ in range(3)]
        limiters = [runner.run(each.__aenter__())[0] for each in opened]

        @settings(
            max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
        )
        @given(LIMITS.filter(lambda limits: limits != Limits()), STEPS)
        def together(limits: Limits, steps: list[Any]) -> None:
            clock.time = Fraction(1_795_564_800)
            pair = Pair(key_of, limiters, clock, limits)

            async def walk() -> None:
                for step in steps:
                    await pair.step(*step)
                for _, entry, key in pair.running:
                    entry.__exit__(None, None, None)
                    await key.settle()

            runner.run(walk())

        try:
            together()
        finally:
            for each in opened:
                runner.run(each.__aexit__(None, None, None))


PROCESS = """
import asyncio, sys
from hive_edge.limits import Limits, Refused
from hive_edge.valkey import ValkeyLimiter
from hive_runtime.clock import SystemClock
from hive_runtime.valkey.client import NetworkValkey

def fail(name, error):
    raise error

async def main(url, key):
    valkey = NetworkValkey(url, SystemClock(), call_seconds=30)
    limiter = ValkeyLimiter(valkey, SystemClock(), fail)
    limits = Limits(requests=200, tokens=100_000_000, concurrency=5)
    admitted = most = 0

    async def caller():
        nonlocal admitted, most
        for _ in range(2000):
            try:
                with await limiter.enter(key, limits, 4) as entry:
                    most = max(most, await valkey.ask("INCR", key + ":inside"))
                    admitted += 1
                    await valkey.ask("DECR", key + ":inside")
            except Refused as refused:
                if "per minute" in refused.message:
                    return

    await asyncio.gather(*(caller() for _ in range(8)))
    await limiter.close()
    await valkey.close()
    print(admitted, most)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_processes_that_hammer_one_key_never_get_more_than_it_may(redis: Any, key_of: Any) -> None:
    clock = SystemClock()
    valkey = NetworkValkey(redis.url, clock, call_seconds=30)
    key = key_of(None, Limits()).name

    async def server_seconds() -> Fraction:
        seconds, microseconds = await valkey.ask("TIME")
        return int(seconds) + Fraction(int(microseconds), 1_000_000)

    before = await server_seconds()
    processes = [
        subprocess.Popen([sys.executable, "-c", PROCESS, redis.url, key], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    try:
        told = [(await asyncio.to_thread(each.communicate, timeout=90))[0].split() for each in processes]
    finally:
        for each in processes:
            each.kill()
            each.wait()
    passed = await server_seconds() - before
    await valkey.close()
    admitted = sum(int(count) for count, _ in told)
    assert 200 <= admitted <= 200 + passed * 200 / 60
    assert max(int(most) for _, most in told) <= 5


async def test_requests_of_a_process_that_died_leave_by_themselves(
    redis: Any, clock: Any, key_of: Any, shared_limiter: Callable[..., Any]
) -> None:
    limits = Limits(concurrency=2)
    async with shared_limiter(redis.url, clock) as (one, _), shared_limiter(redis.url, clock) as (other, _):
        dead, alive = key_of(one, limits), key_of(other, limits)
        alive.name = dead.name
        await dead.enter()
        with await alive.enter():
            for _ in range(3):
                clock.time += 4
                await other.renew()
                await alive.refusal()
            clock.time += 4  # sixteen seconds: nobody has renewed the dead one's
            with await alive.enter():
                await alive.refusal()


async def test_requests_that_the_server_forgot_while_they_ran_are_told_to_it_again(
    redis: Any, clock: Any, key_of: Any, shared_limiter: Callable[..., Any]
) -> None:
    async with shared_limiter(redis.url, clock) as (limiter, held):
        key = key_of(limiter, Limits(concurrency=2))
        with await key.enter():
            await held.ask("FLUSHDB")
            await limiter.renew()
            with await key.enter():
                await key.refusal()
                clock.time += 60  # as in a process that was stopped
                await limiter.renew()
                await key.refusal()
        await key.settle()
        assert len(limiter) == 0
        with await key.enter(), await key.enter():
            await key.refusal()


async def test_a_clock_that_is_set_back_neither_frees_nor_locks_anybody(
    redis: Any, clock: Any, key_of: Any, shared_limiter: Callable[..., Any]
) -> None:
    clock.time = 1_000_000
    async with shared_limiter(redis.url, clock) as (limiter, _):
        key = key_of(limiter, Limits(requests=3, concurrency=1))
        abandoned = await key.enter()
        assert abandoned.standing.requests.remaining == 2
        clock.time -= 3600
        await key.run()  # the lease of an hour ahead counts no more
        assert (await key.run()).standing.requests.remaining == 0
        await key.refusal()
        clock.time += 20
        await key.run()


async def test_a_key_without_limits_asks_nobody(
    redis: Any, clock: Any, key_of: Any, shared_limiter: Callable[..., Any]
) -> None:
    async with shared_limiter(redis.url, clock) as (limiter, held):
        key = key_of(limiter, Limits())
        with await key.enter(None) as entry:
            await entry.weigh(4000)
            entry.used = 7
        assert isinstance(entry, Unlimited) and entry.standing == Standing()
        assert (held.calls, len(limiter)) == (0, 0)


async def test_who_leaves_while_it_asks_does_not_run(
    redis: Any, clock: Any, key_of: Any, shared_limiter: Callable[..., Any]
) -> None:
    async with shared_limiter(redis.url, clock) as (limiter, _):
        key = key_of(limiter, Limits(concurrency=1))
        for turns in range(8):
            asking = asyncio.ensure_future(key.enter())
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
            if not asking.cancelled():
                asking.result().__exit__(None, None, None)
        await key.run()


async def test_buckets_that_are_free_again_are_kept_by_nobody(redis: Any, key_of: Any) -> None:
    def fail(name: str, error: BaseException) -> None:
        raise AssertionError(name) from error

    valkey = NetworkValkey(redis.url, SystemClock(), call_seconds=30)
    limiter = ValkeyLimiter(valkey, SystemClock(), fail)
    key = key_of(limiter, Limits(requests=60, tokens=60, concurrency=1))
    await key.run(4, used=30)
    left = await valkey.ask("PTTL", f"hive:limits:{{{key.name}}}:used")
    assert 0 < left <= 31_000
    key = key_of(limiter, Limits(requests=1, tokens=10**6))
    await key.run(4, used=5)
    left = await valkey.ask("PTTL", f"hive:limits:{{{key.name}}}:used")
    assert 31_000 < left <= 61_000, "as long as the bucket that needs longest"
    await limiter.close()
    await valkey.close()


async def left(entry: Entry) -> None:
    """It has left, and the server knows."""
    telling = entry.leave()
    assert telling is not None
    await telling


async def test_who_has_its_answer_finds_its_place_free_at_every_process(
    redis: Any, key_of: Any, clock: Any, shared_limiter: Callable[..., Any]
) -> None:
    limits = Limits(tokens=100, concurrency=1)
    async with shared_limiter(redis.url, clock) as (one, _), shared_limiter(redis.url, clock) as (other, _):
        name = key_of(one, limits).name
        for limiter in [one, other] * 10:
            with await limiter.enter(name, limits, 40) as entry:
                await left(entry)
        with await one.enter(name, limits, 40) as entry:
            entry.used = 100
            await left(entry)
            try:
                await other.enter(name, limits, 40)
            except Refused as refused:
                assert refused.standing.tokens is not None and refused.standing.tokens.remaining == 0
            else:
                raise AssertionError("the tokens of the first were not known")
