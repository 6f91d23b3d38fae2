"""Which of several deployments each policy chooses."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive_routing.catalogue import Deployment
from hive_routing.choosing.loads import Loads
from hive_routing.choosing.policies import Chooser
from hive_routing.choosing.route import ANY, Route
from hive_routing.choosing.terms import RoutingPolicy
from hive_routing.prices import PriceTag
from hive_routing.providers.port import Timeouts
from hive_runtime.clock import SystemClock
from hive_runtime.money import Tariff

BUSY, FAST, CHEAP, STICKY = (
    RoutingPolicy.LEAST_BUSY,
    RoutingPolicy.LOWEST_LATENCY,
    RoutingPolicy.CHEAPEST,
    RoutingPolicy.STICKY,
)


def made(name: str, weight: int = 1) -> Deployment:
    provider: Any = None
    return Deployment("p", provider, name, weight, Timeouts(), "")


def chooser(loads: Loads | None = None, prices: dict[str, PriceTag] | None = None, seed: int = 1) -> Chooser:
    def charged(name: str) -> PriceTag:
        return (prices or {}).get(name) or PriceTag(name, 0, None)

    return Chooser(loads or Loads(SystemClock()), charged, random.Random(seed))


def tag(picos: int, long_picos: int | None = None) -> PriceTag:
    rates = [("prompt", picos, 0), ("completion", picos, 0)]
    return PriceTag("", 1, Tariff.of(rates + ([("prompt", long_picos, 100_000)] if long_picos else [])))


def chosen(
    among: Chooser, policy: RoutingPolicy, ones: list[Deployment], times: int, **route: Any
) -> Counter[str]:
    return Counter(among.choose(policy, ones, Route(**route)).model for _ in range(times))


@pytest.mark.parametrize("policy", list(RoutingPolicy))
def test_one_alone_is_chosen(policy: RoutingPolicy) -> None:
    assert chooser().choose(policy, [made("a", 0)], ANY).model == "a"


@pytest.mark.parametrize("policy", [RoutingPolicy.WEIGHTED, BUSY, CHEAP, STICKY])
def test_where_nothing_is_known_weights_decide(policy: RoutingPolicy) -> None:
    found = chosen(chooser(), policy, [made("a", 3), made("b", 1)], 4000)
    assert 2850 <= found["a"] <= 3150


@pytest.mark.parametrize("policy", list(RoutingPolicy))
def test_without_any_weight_all_are_alike(policy: RoutingPolicy) -> None:
    found = chosen(chooser(), policy, [made("a", 0), made("b", 0)], 1000)
    assert 400 <= found["a"] <= 600


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), min_size=2, max_size=6),
    st.integers(0, 10),
)
def test_least_busy_never_chooses_one_that_is_busier(state: list[tuple[int, int]], seed: int) -> None:
    loads = Loads(SystemClock())
    ones = [made(str(number), weight) for number, (_, weight) in enumerate(state)]
    busy = {one.model: calls / weight for one, (calls, weight) in zip(ones, state, strict=True)}
    for one, (calls, _) in zip(ones, state, strict=True):
        for _ in range(calls):
            loads.begin(one.id)
    found = chooser(loads, seed=seed).choose(BUSY, ones, ANY)
    assert busy[found.model] == min(busy.values())


def test_least_busy_fills_by_weight() -> None:
    loads = Loads(SystemClock())
    among, ones = chooser(loads), [made("a", 3), made("b", 1)]
    for _ in range(40):
        loads.begin(among.choose(BUSY, ones, ANY).id)
    assert (loads.in_flight("p/a"), loads.in_flight("p/b")) == (30, 10)


def test_the_faster_of_two_is_chosen(clock: Any) -> None:
    loads = Loads(clock)
    among, ones = chooser(loads), [made("slow"), made("fast")]
    for one, seconds in zip(ones, (2.0, 0.5), strict=True):
        loads.begin(one.id)
        loads.answered(one.id, seconds, is_streamed=True)
        loads.end(one.id)
    assert chosen(among, FAST, ones, 50, is_streamed=True) == {"fast": 50}
    for _ in range(4):  # five times half a second is more than two
        loads.begin("p/fast")
    assert chosen(among, FAST, ones, 50, is_streamed=True) == {"slow": 50}


def test_the_slowest_of_many_is_never_chosen(clock: Any) -> None:
    loads = Loads(clock)
    ones = [made(str(number)) for number in range(5)]
    for number, one in enumerate(ones):
        loads.begin(one.id)
        loads.answered(one.id, 1.0 + number, is_streamed=False)
        loads.end(one.id)
    found = chosen(chooser(loads), FAST, ones, 2000)
    assert found["4"] == 0
    assert sorted(found, key=lambda name: -found[name]) == ["0", "1", "2", "3"]


def test_one_call_at_a_time_finds_out_how_fast_one_is(clock: Any) -> None:
    loads = Loads(clock)
    among, ones = chooser(loads), [made("known"), made("new")]
    loads.begin("p/known")
    loads.answered("p/known", 1.0, is_streamed=True)
    assert chosen(among, FAST, ones, 20, is_streamed=True) == {"new": 20}
    loads.begin("p/new")
    assert chosen(among, FAST, ones, 20, is_streamed=True) == {"known": 20}


def test_the_cheapest_is_chosen_and_the_unpriced_last() -> None:
    ones = [made("dear"), made("unpriced", 1000), made("cheap"), made("cheap too", 3)]
    prices = {"p/dear": tag(50), "p/cheap": tag(20), "p/cheap too": tag(20)}
    found = chosen(chooser(prices=prices), CHEAP, ones, 2000)
    assert found.keys() == {"cheap", "cheap too"}
    assert 1400 <= found["cheap too"] <= 1600
    assert chosen(chooser(prices=prices), CHEAP, ones[:2], 20) == {"dear": 20}


def test_the_price_for_a_prompt_of_this_length_counts() -> None:
    ones = [made("steps"), made("flat")]
    prices = {"p/steps": tag(10, 100), "p/flat": tag(20)}
    assert chosen(chooser(prices=prices), CHEAP, ones, 5, prompt_tokens=1_000) == {"steps": 5}
    assert chosen(chooser(prices=prices), CHEAP, ones, 5, prompt_tokens=200_000) == {"flat": 5}


def keys(number: int) -> list[bytes]:
    return [f"conversation {each}".encode() for each in range(number)]


def test_a_conversation_stays_where_it_is() -> None:
    ones = [made(name) for name in "abcde"]
    for key in keys(20):
        assert len(chosen(chooser(), STICKY, ones, 20, key=key)) == 1
        again = chooser(seed=2).choose(STICKY, ones[::-1], Route(key=key))
        assert again is chooser().choose(STICKY, ones, Route(key=key))


@given(st.integers(2, 8), st.data())
def test_only_the_conversations_of_one_that_leaves_move(number: int, data: st.DataObject) -> None:
    ones = [made(str(each), data.draw(st.integers(1, 4))) for each in range(number)]
    gone = ones[data.draw(st.integers(0, number - 1))]
    left = [each for each in ones if each is not gone]
    among = chooser()
    for key in keys(60):
        before = among.choose(STICKY, ones, Route(key=key))
        after = among.choose(STICKY, left, Route(key=key))
        assert after is before or before is gone


def test_conversations_spread_by_weight_and_so_do_those_that_move() -> None:
    ones, among = [made("a", 2), made("b", 1), made("c", 1)], chooser()
    all_of_them = keys(8000)
    found = Counter(among.choose(STICKY, ones, Route(key=key)).model for key in all_of_them)
    assert 3800 <= found["a"] <= 4200
    moved = [key for key in all_of_them if among.choose(STICKY, ones, Route(key=key)).model == "a"]
    to = Counter(among.choose(STICKY, ones[1:], Route(key=key)).model for key in moved)
    assert 0.45 <= to["b"] / len(moved) <= 0.55
