"""The dispatcher among deployments with orders, regions, limits, rests and dialects of their own."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from hive_routing.choosing.terms import Region, Routing, RoutingPolicy
from hive_routing.dialects.form import Untranslatable
from hive_runtime.errors import HiveError, Kind

SILENT = HiveError(Kind.TIMEOUT, "silent")
UNSAID = Untranslatable(Kind.INVALID, "`n` cannot be passed on.", "n", reason="not_translatable")
EU, REQUIRED = Region("eu"), Region("eu", required=True)


def limited(seconds: float | None) -> HiveError:
    return HiveError(Kind.RATE_LIMITED, "busy", retry_after=seconds)


# Order, region


async def test_lower_orders_are_asked_first(world: Any, make_model: Any, make_deployment: Any) -> None:
    ones = [make_deployment("c", order=2), make_deployment("a"), make_deployment("b", order=1, weight=100)]
    world.does = {"a": SILENT, "b": SILENT}
    assert await world.ask(make_model("m", *ones)) == "c"
    assert world.asked == ["a", "b", "c"]


async def test_weight_zero_comes_after_all_orders(world: Any, make_model: Any, make_deployment: Any) -> None:
    ones = [make_deployment("last", weight=0), make_deployment("a", order=1), make_deployment("b", order=5)]
    world.does = {"a": SILENT, "b": SILENT}
    assert await world.ask(make_model("m", *ones)) == "last"
    assert world.asked == ["a", "b", "last"]


def european(make_model: Any, make_deployment: Any, routing: Routing = Routing()) -> Any:
    ones = [
        make_deployment("us", weight=1000, region="us-east-1"),
        make_deployment("eu later", order=1, region="eu"),
        make_deployment("eu", region="eu-west-1"),
        make_deployment("nowhere", order=2),
    ]
    return make_model("m", *ones, routing=routing)


@pytest.mark.parametrize("by_caller", [True, False])
async def test_a_preferred_region_comes_first(
    world: Any, make_model: Any, make_deployment: Any, by_caller: bool
) -> None:
    m = european(make_model, make_deployment, Routing() if by_caller else Routing(region=EU))
    world.does = {"eu": SILENT, "eu later": SILENT, "us": SILENT}
    assert await world.ask(m, region=EU if by_caller else None) == "nowhere"
    assert world.asked == ["eu", "eu later", "us", "nowhere"]


@pytest.mark.parametrize("by_caller", [True, False])
async def test_a_required_region_is_never_left(
    world: Any, make_model: Any, make_deployment: Any, by_caller: bool
) -> None:
    m = european(make_model, make_deployment, Routing() if by_caller else Routing(region=REQUIRED))
    world.does = {"eu": SILENT, "eu later": SILENT}
    assert await world.fails(m, region=REQUIRED if by_caller else None) is SILENT
    assert set(world.asked) == {"eu", "eu later"}


async def test_what_operators_require_binds_callers(
    world: Any, make_model: Any, make_deployment: Any
) -> None:
    m = european(make_model, make_deployment, Routing(region=REQUIRED))
    assert await world.ask(m, region=Region("us")) in ("eu", "eu later")
    error = await world.fails(m, region=Region("us", required=True))
    assert (error.kind, error.param, error.reason) == (Kind.INVALID, "x-hive-region", "region_not_served")
    assert world.asked == []


async def test_a_region_where_nobody_serves_is_said(world: Any, make_model: Any) -> None:
    error = await world.fails(make_model("m", "a"), make_model("n", "b"), region=REQUIRED)
    assert error.kind is Kind.INVALID
    assert "`m`" in error.message and "`eu`" in error.message
    error = await world.fails(make_model("m", "a", routing=Routing(region=REQUIRED)))
    assert (error.kind, error.retry_after) == (Kind.UNAVAILABLE, 30)
    assert "`eu`" in error.message


async def test_a_fallback_that_is_in_the_region_answers(
    world: Any, make_model: Any, make_deployment: Any
) -> None:
    there = make_model("n", make_deployment("b", region="eu"))
    assert await world.ask(make_model("m", "a"), there, region=REQUIRED) == "b"
    assert world.asked == ["b"]


# Policies


async def test_a_sticky_model_falls_back_in_the_order_of_its_hashes(world: Any, make_model: Any) -> None:
    m = make_model("m", *"abcd", routing=Routing(RoutingPolicy.STICKY))
    order: list[str] = []
    for _ in range(4):
        world.does = dict.fromkeys(order, SILENT)
        order.append(await world.ask(m, key=b"k"))
        assert world.asked == order
    assert set(order) == set("abcd")


async def test_the_least_busy_is_asked_as_streams_go_on(world: Any, make_model: Any) -> None:
    m = make_model("m", *"abc", routing=Routing(RoutingPolicy.LEAST_BUSY))
    running = [(await world.begin(m)).name for _ in range(6)]
    assert Counter(running) == {"a": 2, "b": 2, "c": 2}
    ended = next(each for each in m.deployments if each.model == "b")
    world.dispatcher.completed(ended)
    world.dispatcher.abandoned(ended)
    assert [(await world.begin(m)).name for _ in range(2)] == ["b", "b"]


async def test_the_cheapest_is_asked_first(world: Any, make_model: Any) -> None:
    world.price("p/a", 30)
    world.price("p/b", 10)
    world.does = {"b": SILENT}
    assert await world.ask(make_model("m", *"abc", routing=Routing(RoutingPolicy.CHEAPEST))) == "a"
    assert world.asked == ["b", "a"]


async def test_a_slow_deployment_is_left_for_a_faster_one(world: Any, make_model: Any) -> None:
    m = make_model("m", *"ab", routing=Routing(RoutingPolicy.LOWEST_LATENCY))
    world.does = {"a": SILENT}  # a failure counts as slow
    assert {await world.ask(m) for _ in range(3)} == {"b"}
    world.does = {}
    assert {await world.ask(m) for _ in range(20)} == {"b"}
    world.clock.time += 600
    assert {await world.ask(m) for _ in range(20)} == {"a", "b"}


# Limits


async def test_a_full_deployment_is_passed_over(world: Any, make_model: Any, make_deployment: Any) -> None:
    m = make_model("m", make_deployment("a", rpm=2), make_deployment("b", order=1))
    assert [await world.ask(m) for _ in range(4)] == ["a", "a", "b", "b"]
    world.clock.time += 65
    assert await world.ask(m) == "a"


async def test_where_all_are_full_the_caller_learns_when_to_come_back(
    world: Any, make_model: Any, make_deployment: Any
) -> None:
    m = make_model("m", make_deployment("a", rpm=1), make_deployment("b", rpm=1))
    await world.ask(m)
    world.clock.time += 20
    await world.ask(m)
    error = await world.fails(m)
    assert (error.kind, error.retry_after) == (Kind.RATE_LIMITED, 45)
    assert "`m`" in error.message and "45 s" in error.message
    assert world.asked == []
    assert await world.ask(m, make_model("n", "c")) == "c"
    world.clock.time += error.retry_after
    assert await world.ask(m) in ("a", "b")


async def test_tokens_count_when_they_are_known(world: Any, make_model: Any, make_deployment: Any) -> None:
    one = make_deployment("a", tpm=1000)
    m = make_model("m", one)
    await world.ask(m, prompt_tokens=400)
    await world.ask(m, prompt_tokens=400)
    world.dispatcher.used(one, 150)
    assert await world.ask(m, prompt_tokens=50) == "a"
    assert (await world.fails(m, prompt_tokens=1)).kind is Kind.RATE_LIMITED


async def test_processes_share_the_limits(world: Any, make_model: Any, make_deployment: Any) -> None:
    world.processes = 4
    m = make_model("m", make_deployment("a", rpm=8))
    assert [await world.ask(m) for _ in range(2)] == ["a", "a"]
    assert (await world.fails(m)).kind is Kind.RATE_LIMITED


async def test_names_of_a_pattern_share_its_limits(world: Any, make_model: Any, make_deployment: Any) -> None:
    pattern = make_model("x/*", make_deployment("*", rpm=2))
    one, two = pattern.named("x/a", "a"), pattern.named("x/b", "b")
    assert (await world.ask(one), await world.ask(two)) == ("a", "b")
    assert (await world.fails(one)).kind is Kind.RATE_LIMITED


# Rests


async def test_the_only_deployment_rests_too(world: Any, make_model: Any) -> None:
    m = make_model("m", "a")
    world.does = {"a": limited(40)}
    assert (await world.fails(m)).retry_after == 40
    world.does = {}
    world.clock.time += 10.5
    error = await world.fails(m)
    assert (error.kind, error.retry_after, world.asked) == (Kind.RATE_LIMITED, 30, [])
    world.clock.time += 29.5
    assert await world.ask(m) == "a"


async def test_no_rest_is_longer_than_a_minute(world: Any, make_model: Any) -> None:
    m = make_model("m", "a")
    world.does = {"a": limited(3600)}
    assert (await world.fails(m)).retry_after == 3600
    world.does = {}
    assert (await world.fails(m)).retry_after == 60
    world.clock.time += 60
    assert await world.ask(m) == "a"


async def test_an_answer_to_another_call_does_not_end_a_rest(world: Any, make_model: Any) -> None:
    m = make_model("m", "a")
    await world.begin(m)
    world.does = {"a": limited(40)}
    await world.fails(m)
    world.dispatcher.completed(m.deployments[0])
    world.does = {}
    assert (await world.fails(m)).retry_after == 40


async def test_one_that_rests_does_not_keep_another_from_being_probed(world: Any, make_model: Any) -> None:
    m = make_model("m", "a", "b")
    world.breaker.rest("p/a", 50)
    for _ in range(5):
        world.breaker.fail("p/b")
    assert await world.ask(m) == "b"
    assert world.asked == ["b"]


# Dialects


async def test_what_one_provider_cannot_be_told_another_is(world: Any, make_model: Any) -> None:
    world.does = {"a": UNSAID, "b": UNSAID}
    m = make_model("m", "a", "b")
    answer = await world.begin(m, make_model("n", "c"))
    assert (answer.name, answer.number) == ("c", 1)  # what was not sent is no attempt
    assert sorted(world.asked) == ["a", "b", "c"]
    assert world.breaker.allows("p/a") and not world.breaker.resumes_at("p/a")


async def test_what_can_be_told_nobody_is_said_at_the_end(world: Any, make_model: Any) -> None:
    world.does = {"a": UNSAID, "b": UNSAID}
    assert await world.fails(make_model("m", "a", "b")) is UNSAID
    assert sorted(world.asked) == ["a", "b"]


@pytest.mark.parametrize("names", ["ab", "ba"])
async def test_another_failure_tells_more(world: Any, make_model: Any, names: str) -> None:
    world.does = {"a": UNSAID, "b": SILENT}
    assert await world.fails(make_model("m", *names)) is SILENT
    world.does = {"a": UNSAID, "b": limited(30)}
    assert (await world.fails(make_model("m", *names))).kind is Kind.RATE_LIMITED
    error = await world.fails(make_model("m", *names))  # b rests
    assert (error.kind, world.asked) == (Kind.RATE_LIMITED, ["a"])


async def test_what_was_not_sent_does_not_count_against_limits(
    world: Any, make_model: Any, make_deployment: Any
) -> None:
    m = make_model("m", make_deployment("a", rpm=1, tpm=10))
    world.does = {"a": UNSAID}
    for _ in range(3):
        assert await world.fails(m, prompt_tokens=10) is UNSAID
    world.does = {}
    assert await world.ask(m, prompt_tokens=10) == "a"


async def test_numbers_go_on_behind_earlier_attempts(world: Any, make_model: Any) -> None:
    world.does = {"a": SILENT}
    assert (await world.begin(make_model("m", "a"), make_model("n", "b"), before=3)).number == 5


async def test_a_request_can_have_fewer_attempts(world: Any, make_model: Any) -> None:
    world.does = dict.fromkeys("abc", SILENT)
    assert await world.fails(make_model("m", *"abc"), make_model("n", "d"), attempts=1) is SILENT
    assert len(world.asked) == 1
