"""GCRA against its definition, asked of every span of time by brute force."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from hive_edge.bucket import Bucket, Claim
from hive_edge.durations import MINUTE, SECOND

LIMITS = st.integers(1, 20) | st.integers(1, 10**9)
PAUSES = st.integers(0, 3 * MINUTE) | st.just(0) | st.integers(0, SECOND)
FRACTIONS = st.integers(1, 120)
"""Of a limit, in hundredths."""


class Naive:
    """Remembers all that was let in. No span may hold more than the limit and what flows back within it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.admitted: list[tuple[int, int]] = []

    def fits(self, units: int, now: int) -> bool:
        return all(
            self.since(then, now) + units * MINUTE <= self.limit * (MINUTE + now - then)
            for then, _ in [*self.admitted, (now, 0)]
        )

    def since(self, then: int, now: int) -> int:
        return sum(units for at, units in self.admitted if then <= at <= now) * MINUTE

    def within_limit(self) -> bool:
        moments = [at for at, _ in self.admitted]
        return all(
            self.since(first, last) <= self.limit * (MINUTE + last - first)
            for first in moments
            for last in moments
            if first <= last
        )


@given(LIMITS, st.lists(st.tuples(PAUSES, FRACTIONS), max_size=25))
@example(7, [(0, 100), (MINUTE // 7, 15), (0, 15)])
def test_what_fits_is_let_in_and_nothing_else(limit: int, asked: list[tuple[int, int]]) -> None:
    now = 10**15
    bucket, naive = Bucket(limit, now), Naive(limit)
    for pause, hundredths in asked:
        now += pause
        units = -(-limit * hundredths // 100)
        wait = bucket.wait(units, now) if units <= limit else 1
        assert (wait == 0) == naive.fits(units, now)
        if wait == 0:
            bucket.take(units, now)
            naive.admitted.append((now, units))
    assert naive.within_limit()


@given(LIMITS, st.lists(st.tuples(PAUSES, FRACTIONS), min_size=1, max_size=10), FRACTIONS)
def test_the_wait_is_neither_too_short_nor_too_long(
    limit: int, taken: list[tuple[int, int]], hundredths: int
) -> None:
    now, bucket = 0, Bucket(limit, 0)
    for pause, each in taken:
        now += pause
        bucket.take(-(-limit * each // 100), now)
    units = min(limit, -(-limit * hundredths // 100))
    wait = bucket.wait(units, now)
    assert bucket.wait(units, now + wait) == 0
    assert wait == 0 or bucket.wait(units, now + wait - 1) == 1
    assert bucket.remaining(now + bucket.reset(now)) == limit


@given(LIMITS, st.integers(0, 100), st.integers(0, 2 * MINUTE))
def test_remaining_is_what_still_fits(limit: int, hundredths: int, pause: int) -> None:
    bucket = Bucket(limit, 0)
    bucket.take(limit * hundredths // 100, 0)
    remaining = bucket.remaining(pause)
    assert remaining == 0 or bucket.wait(remaining, pause) == 0
    assert remaining == limit or bucket.wait(remaining + 1, pause) > 0


@given(LIMITS, st.lists(st.tuples(PAUSES, FRACTIONS, PAUSES, FRACTIONS), max_size=15))
def test_unused_units_never_let_others_in_beyond_the_limit(
    limit: int, calls: list[tuple[int, int, int, int]]
) -> None:
    """One call after the other: what they used in the end keeps to the limit in every span."""
    now, bucket, used = 0, Bucket(limit, 0), Naive(limit)
    for pause, reserve, duration, use in calls:
        now += pause
        units = min(limit, -(-limit * reserve // 100))
        now += bucket.wait(units, now)
        claim, began = bucket.take(units, now), now
        now += duration
        spent = min(units, limit * use // 100)
        claim.settle(spent, now)
        used.admitted.append((began, spent))
    assert used.within_limit()


@given(LIMITS, st.lists(st.tuples(PAUSES, st.booleans(), FRACTIONS, FRACTIONS), max_size=30))
def test_calls_that_overlap_never_use_more_than_flowed_since_the_beginning(
    limit: int, steps: list[tuple[int, bool, int, int]]
) -> None:
    now, total, bucket = 0, 0, Bucket(limit, 0)
    running: list[Claim] = []
    for pause, ends, reserve, use in steps:
        now += pause
        if ends and running:
            claim = running.pop(use % len(running))
            spent = min(claim.units, limit * use // 100)
            claim.settle(spent, now)
            total -= claim.units - spent
        elif bucket.wait(units := min(limit, -(-limit * reserve // 100)), now) == 0:
            running.append(bucket.take(units, now))
            total += units
        assert total * MINUTE <= limit * (MINUTE + now)


def test_units_that_were_not_used_are_free_at_once_in_any_order() -> None:
    for first, second in ((0, 1), (1, 0)):
        bucket = Bucket(1000, 0)
        claims = [bucket.take(500, 0), bucket.take(500, 0)]
        claims[first].settle(0, 0)
        assert bucket.remaining(0) == 500
        claims[second].settle(100, 0)
        assert bucket.remaining(0) == 900


def test_what_flowed_back_by_itself_is_not_given_back_again() -> None:
    bucket = Bucket(1000, 0)
    claim = bucket.take(1000, 0)
    bucket.take(1000, MINUTE)
    claim.settle(0, MINUTE)
    assert bucket.remaining(MINUTE) == 0


def test_more_than_was_reserved_is_owed() -> None:
    bucket = Bucket(1000, 0)
    bucket.take(100, 0).settle(3000, 0)
    assert (bucket.remaining(0), bucket.wait(1, 0)) == (0, 2 * MINUTE + MINUTE // 1000)


def test_a_changed_limit_keeps_what_is_in_use() -> None:
    bucket = Bucket(100, 0)
    bucket.take(80, 0)
    bucket.change(1000, 0)
    assert (bucket.limit, bucket.remaining(0)) == (1000, 920)
    bucket.change(100, 0)
    assert bucket.remaining(0) == 20
    bucket.change(10, 0)
    assert (bucket.remaining(0), bucket.reset(0)) == (0, MINUTE)
    assert bucket.remaining(MINUTE // 2) == 5


@given(LIMITS, LIMITS, st.integers(0, 300), st.integers(0, MINUTE))
def test_a_changed_limit_makes_nobody_wait_longer_than_a_minute_or_than_before(
    old: int, new: int, hundredths: int, pause: int
) -> None:
    bucket = Bucket(old, 0)
    bucket.take(old * hundredths // 100, 0)
    before, remaining = bucket.reset(pause), bucket.remaining(pause)
    bucket.change(new, pause)
    assert bucket.reset(pause) <= max(MINUTE, before)
    if remaining:
        assert bucket.remaining(pause) == max(0, new - (old - remaining))
