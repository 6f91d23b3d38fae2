"""What a call is likely to cost, by what the calls before it used."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hive_routing.likely import RECENT, Likely
from hive_routing.usage import Usage

CACHED = st.one_of(st.none(), st.just(0), st.just(1), st.integers(0, 5000))
"""Tokens of a prompt of 5,000 that the provider had in its cache; None: it did not say."""


@given(st.lists(CACHED, max_size=3 * RECENT))
def test_of_a_prompt_so_much_is_cached_as_the_least_of_the_last_calls_says(calls: list[int | None]) -> None:
    likely = Likely()
    for cached in calls:
        units = {"prompt": 5000 - (cached or 0), "completion": 1}
        if cached is not None:
            units["cached_prompt"] = cached
        likely.note("key", "model", Usage(5000, 1, units))
    recent = [1000 * (cached or 0) // 5000 for cached in calls[-RECENT:]]
    expected = 200 * min(recent) // 1000 if len(recent) == RECENT else 0
    assert likely.cached("key", "model", 200) == expected


def test_a_prompt_of_no_known_length_tells_nothing() -> None:
    likely = Likely()
    for _ in range(RECENT):
        likely.note("key", "model", Usage(0, 1, {"cached_prompt": 3, "completion": 1}))
    assert likely.cached("key", "model", 1000) == 0
