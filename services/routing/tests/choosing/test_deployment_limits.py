"""Requests and tokens per minute of a deployment."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hive_routing.choosing.limits import SLOT_SECONDS, SLOTS, Limit, Limits, Window


@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.floats(0, 40), st.integers(1, 5)), max_size=60),
)
def test_no_minute_has_more_than_the_limit(limit: int, calls: list[tuple[float, int]]) -> None:
    now, window, begun = 1003.0, Window(1003.0), list[tuple[float, int]]()
    for passed, units in calls:
        now += passed
        if window.wait(units, limit, now) == 0:
            window.add(units, now)
            begun.append((now, units))
    for moment, _ in begun:
        inside = [(at, units) for at, units in begun if moment <= at < moment + 60]
        assert sum(units for _, units in inside) <= limit or len(inside) == 1


@given(st.integers(1, 20), st.lists(st.floats(0, 20), min_size=1, max_size=40), st.integers(1, 20))
def test_after_the_wait_it_fits_and_not_before(limit: int, calls: list[float], units: int) -> None:
    now, window = 1003.0, Window(1003.0)
    for passed in calls:
        now += passed
        window.add(1, now)
    wait = window.wait(units, limit, now)
    assert 0 <= wait <= SLOTS * SLOT_SECONDS
    if wait > 0.01:
        assert window.wait(units, limit, now + wait - 0.01) > 0
    assert window.wait(units, limit, now + wait) == 0


def test_a_minutes_worth_may_come_at_once() -> None:
    window = Window(0)
    for _ in range(60):
        assert window.wait(1, 60, 0) == 0
        window.add(1, 0)
    assert window.wait(1, 60, 0) == 65
    assert window.wait(1, 60, 64.9) > 0
    assert window.wait(1, 60, 65) == 0


def test_what_is_larger_than_the_limit_is_not_refused_for_ever() -> None:
    window = Window(0)
    assert window.wait(500, 100, 0) == 0
    window.add(500, 0)
    assert window.wait(1, 100, 0) == 65


def test_a_call_that_was_not_sent_does_not_count() -> None:
    window = Window(0)
    window.add(3, 0)
    window.take_back(3, 1)
    assert window.total == 0
    window.add(2, 1)
    window.take_back(9, 70)
    assert window.total == 0


def test_a_long_silence_empties_it() -> None:
    window = Window(0)
    window.add(7, 0)
    assert window.wait(7, 7, 10_000) == 0
    assert window.total == 0


def test_requests_and_tokens_each_have_a_limit(clock: Any) -> None:
    limits, limit = Limits(clock), Limit(rpm=2, tpm=1000)
    assert limits.wait("a", limit, 10) == 0
    limits.begin("a", 10)
    assert limits.wait("a", limit, 990) == 0
    assert limits.wait("a", limit, 991) > 0
    limits.begin("a", 10)
    assert limits.wait("a", limit, 10) > 0
    assert limits.wait("b", limit, 10) == 0


def test_output_counts_when_it_is_known(clock: Any) -> None:
    limits, limit = Limits(clock), Limit(tpm=1000)
    limits.begin("a", 100)
    limits.add("a", 900)
    assert limits.wait("a", limit, 1) > 0
    limits.add("never begun", 900)
    assert limits.wait("never begun", limit, 1) == 0


def test_processes_share_a_limit(clock: Any) -> None:
    processes = 3
    limits = Limits(clock, lambda: processes)
    limits.begin("a", 0)
    limits.begin("a", 0)
    assert limits.wait("a", Limit(rpm=9), 0) == 0
    assert limits.wait("a", Limit(rpm=8), 0) > 0
    limits.take_back("a", 0)
    limits.take_back("a", 0)
    assert limits.wait("a", Limit(rpm=1), 0) == 0  # each has at least 1
    processes = 0
    assert limits.wait("a", Limit(rpm=1), 0) == 0
