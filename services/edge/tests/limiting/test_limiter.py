"""Limiters as the public door uses them: requests, tokens and concurrency of a key together."""

from __future__ import annotations

from typing import Any

import pytest

from hive_edge.counters import MemoryLimiter
from hive_edge.limits import Limits, Rate, Refused


async def test_a_thousand_requests_at_a_limit_of_a_hundred(new_key: Any) -> None:
    key, admitted = new_key(requests=100), 0
    for _ in range(1_000):
        try:
            await key.run()
        except Refused:
            continue
        admitted += 1
    assert admitted == 100


async def test_a_refusal_says_which_limit_its_value_and_when_to_come_back(new_key: Any) -> None:
    key = new_key(requests=2)
    first, second = await key.run(), await key.run()
    assert first.standing.requests == Rate(2, 1, 30_000_000_000)
    assert second.standing.requests == Rate(2, 0, 60_000_000_000)
    refused = await key.refusal()
    assert "limit of 2 requests per minute" in refused.message and "30s" in refused.message
    assert (refused.wait, refused.retry_after, refused.should_retry) == (30_000_000_000, 30.0, None)
    assert refused.standing.requests == second.standing.requests


async def test_the_wait_is_told_in_seconds_that_are_long_enough(new_key: Any, clock: Any) -> None:
    key = new_key(requests=40)
    for _ in range(40):
        await key.run()
    refused = await key.refusal()
    assert (refused.wait, refused.retry_after) == (1_500_000_000, 2.0)
    clock.time += 1.5
    await key.run()


async def test_tokens_are_reserved_by_bytes_and_put_right_by_usage(new_key: Any) -> None:
    key = new_key(tokens=1000)
    with await key.enter(401) as entry:
        assert entry.reserved == 101 and entry.standing.tokens == Rate(1000, 899, 6_060_000_000)
        entry.used = 301
    with await key.enter(4) as entry:
        assert entry.standing.tokens is not None and entry.standing.tokens.remaining == 698
        entry.used = 0
    assert (await key.run()).standing.tokens == Rate(1000, 699, 18_060_000_000)


async def test_a_refusal_of_tokens_says_what_is_needed_and_left(new_key: Any) -> None:
    key = new_key(tokens=1000)
    await key.run(4, used=900)
    refused = await key.refusal(800)
    assert "limit of 1000 tokens per minute" in refused.message
    assert "needs about 200, and 100 are left" in refused.message and "6s" in refused.message
    assert refused.wait == 6_000_000_000
    await key.run(400)


async def test_a_request_that_can_never_fit_is_told_so(new_key: Any) -> None:
    refused = await new_key(tokens=1000).refusal(4001)
    assert "can never fit" in refused.message and "1001" in refused.message and "1000" in refused.message
    assert (refused.wait, refused.retry_after, refused.should_retry) == (None, None, False)


async def test_a_request_without_a_body_needs_no_tokens(new_key: Any) -> None:
    key = new_key(tokens=10)
    await key.run(40, used=500)
    await key.refusal(1)
    await key.run(0)


async def test_concurrency_is_exact(new_key: Any) -> None:
    key = new_key(concurrency=2)
    with await key.enter():
        with await key.enter():
            refused = await key.refusal()
            assert "limit of 2 concurrent requests" in refused.message and refused.retry_after == 1.0
        await key.run()
        with await key.enter():
            await key.refusal()


@pytest.mark.parametrize("declared", [True, False])
async def test_who_is_refused_uses_nothing_of_the_other_limits(new_key: Any, declared: bool) -> None:
    async def refuse(key: Any, body_bytes: int) -> Refused:
        if declared:
            refused: Refused = await key.refusal(body_bytes)
            return refused
        with pytest.raises(Refused) as caught, await key.enter(None) as entry:
            await entry.weigh(body_bytes)
        return caught.value

    key = new_key(requests=100, tokens=1000, concurrency=1)
    refused = await refuse(key, 4004)
    assert refused.standing.requests == Rate(100, 100, 0)
    assert refused.standing.tokens == Rate(1000, 1000, 0)
    with await key.enter(4) as entry:
        entry.used = 1
        refused = await refuse(key, 4)
        assert "concurrent" in refused.message
    left = (await key.run(0)).standing
    assert left.requests is not None and left.requests.remaining == 98
    assert left.tokens is not None and left.tokens.remaining == 999


async def test_who_is_over_the_requests_uses_no_tokens(new_key: Any, clock: Any) -> None:
    key = new_key(requests=1, tokens=1000)
    await key.run(0)
    assert "requests" in (await key.refusal(2000)).message
    clock.time += 60
    assert (await key.run(0)).standing.tokens == Rate(1000, 1000, 0)


async def test_a_body_of_unknown_size_is_weighed_once_it_is_there(new_key: Any) -> None:
    key = new_key(requests=10, tokens=1000)
    with await key.enter(None) as entry:
        assert entry.reserved == 0
        await entry.weigh(400)
        assert entry.reserved == 100
        assert entry.standing.tokens is not None and entry.standing.tokens.remaining == 900
        entry.used = entry.reserved
    left = (await key.run()).standing.tokens
    assert left is not None and left.remaining == 900


async def test_a_changed_limit_holds_at_once_and_forgets_nothing(new_key: Any) -> None:
    key = new_key(requests=10)
    for _ in range(8):
        await key.run()
    key.limits = Limits(requests=100)
    assert (await key.run()).standing.requests == Rate(100, 91, 5_400_000_000)
    key.limits = Limits(requests=9)
    await key.refusal()


async def test_a_concurrency_that_comes_later_knows_who_runs(key_of: Any, clock: Any) -> None:
    key = key_of(MemoryLimiter(clock), Limits())
    with await key.enter(), await key.enter():
        key.limits = Limits(concurrency=2)
        await key.refusal()
    await key.run()


async def test_tokens_of_a_limit_that_came_or_went_meanwhile_hurt_nobody(new_key: Any) -> None:
    key = new_key()
    with await key.enter(400) as entry:
        key.limits = Limits(tokens=1000)
        await key.run(0)
        entry.used = 5000
    assert (await key.run(0)).standing.tokens == Rate(1000, 1000, 0)
    with await key.enter(400):
        key.limits = Limits()
        await key.run(0)
        key.limits = Limits(tokens=1000)
        await key.run(0)
    assert (await key.run(0)).standing.tokens == Rate(1000, 1000, 0)


async def test_a_claim_on_a_limit_that_went_gives_nothing_to_the_one_that_came(
    new_key: Any, clock: Any
) -> None:
    key = new_key(tokens=1000)
    with await key.enter(400):
        key.limits = Limits(requests=5)
        await key.run(0)
        clock.time += 0.001
        key.limits = Limits(tokens=1000)
        taken = await key.enter(3600)
    left = (await key.run(0)).standing.tokens
    assert left is not None and left.remaining == 100
    taken.used = taken.reserved
    taken.__exit__(None, None, None)


async def test_a_key_that_is_gone_leaves_no_counter(key_of: Any, clock: Any) -> None:
    limiter = MemoryLimiter(clock)
    key = key_of(limiter, Limits(requests=1))
    with await key.enter():
        limiter.drop(key.name)
    assert len(limiter) == 0
    limiter.drop("never seen")
