"""Latencies that jump up and come down little by little, and calls in flight."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive_routing.choosing.loads import FAILURE_SECONDS, FORGET_SECONDS, MOST, Load, Loads, Peak

SECONDS = st.floats(0.001, 600)


def test_a_slower_answer_counts_at_once() -> None:
    peak = Peak()
    peak.note(0.2, 1000)
    peak.note(4.0, 1001)
    assert peak.now(1001) == 4.0


def test_faster_answers_count_little_by_little() -> None:
    peak = Peak(4.0, 1000)
    seen = []
    for second in range(1001, 1060):
        peak.note(0.5, second)
        seen.append(peak.now(second))
    assert seen == sorted(seen, reverse=True)
    assert 3.8 < seen[0] < 4.0
    assert 0.5 < seen[-1] < 1.1


@given(st.lists(st.tuples(SECONDS, st.floats(0, 100)), min_size=1, max_size=20), st.floats(0, 1000))
def test_it_stays_within_what_was_seen_and_decays(seen: list[tuple[float, float]], later: float) -> None:
    peak, moment = Peak(), 1000.0
    for seconds, passed in seen:
        moment += passed
        peak.note(seconds, moment)
    largest = max(seconds for seconds, _ in seen)
    assert 0 < peak.seconds <= largest * 1.000001
    assert peak.now(moment + later) <= peak.now(moment)
    assert peak.now(moment + FORGET_SECONDS) == pytest.approx(peak.now(moment) / 2.71828, rel=0.001)


def test_streams_and_whole_answers_are_not_compared(clock: Any) -> None:
    loads = Loads(clock)
    loads.begin("a")
    loads.answered("a", 0.3, is_streamed=True)
    loads.answered("a", 9.0, is_streamed=False)
    assert loads.latency("a", is_streamed=True) == 0.3
    assert loads.latency("a", is_streamed=False) == 9.0


def test_a_failure_is_not_fast(clock: Any) -> None:
    loads = Loads(clock)
    loads.begin("a")
    loads.failed("a", 0.001, is_streamed=True)
    assert loads.latency("a", is_streamed=True) == FAILURE_SECONDS


def test_what_was_given_up_is_at_least_so_slow(clock: Any) -> None:
    loads = Loads(clock)
    loads.begin("a")
    loads.unfinished("a", 2.0, is_streamed=True)
    assert loads.latency("a", is_streamed=True) == 2.0
    loads.unfinished("a", 1.0, is_streamed=True)  # says nothing new
    assert loads.latency("a", is_streamed=True) == 2.0


def test_what_was_long_ago_is_not_known(clock: Any) -> None:
    loads = Loads(clock)
    loads.begin("a")
    loads.answered("a", 1.0, is_streamed=True)
    clock.time += 600
    assert loads.latency("a", is_streamed=True) == 0
    assert loads.latency("never asked", is_streamed=True) == 0


def test_calls_in_flight_are_counted(clock: Any) -> None:
    loads = Loads(clock)
    for _ in range(3):
        loads.begin("a")
    loads.end("a")
    loads.end("b")
    assert (loads.in_flight("a"), loads.in_flight("b")) == (2, 0)
    for _ in range(5):
        loads.end("a")
    assert loads.in_flight("a") == 0


def test_as_many_are_remembered_as_fit(clock: Any) -> None:
    loads = Loads(clock)
    loads._loads = {str(number): Load(in_flight=1) for number in range(MOST)}
    loads.begin("one more")
    assert len(loads._loads) == MOST
    assert loads.in_flight("0") == 0
    loads.end("0")
    assert loads.in_flight("one more") == 1
