"""A second attempt while the first one says nothing: who wins, who is cancelled, what it needs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hive_routing.choosing.terms import Routing, RoutingPolicy
from hive_runtime.errors import HiveError, Kind

DOWN = HiveError(Kind.UPSTREAM_FAILED, "down")
SILENT = HiveError(Kind.TIMEOUT, "silent")
WRONG = HiveError(Kind.INVALID, "wrong", "messages")
HEDGED = Routing(hedge_seconds=0.8)


class Failing(asyncio.Event):
    """Waits, and fails then."""

    def __init__(self, error: HiveError) -> None:
        super().__init__()
        self.error = error

    async def wait(self) -> Any:
        await super().wait()
        raise self.error


@pytest.fixture
def two(make_model: Any, make_deployment: Any) -> Any:
    """a before b, both of one group: the cheapest comes first."""

    def make(world: Any, seconds: float | None = 0.8, may_hedge: bool = True) -> Any:
        world.price("p/a", 1)
        world.price("p/b", 2)
        routing = Routing(RoutingPolicy.CHEAPEST, hedge_seconds=seconds, may_hedge=may_hedge)
        return make_model("m", "a", "b", routing=routing)

    return make


def start(world: Any, *models: Any, **route: Any) -> asyncio.Task[Any]:
    return asyncio.create_task(world.begin(*models, **route))


async def asked(world: Any, *names: str) -> None:
    await world.until(lambda: world.asked == list(names))


async def test_nothing_is_hedged_that_answers_in_time(world: Any, two: Any) -> None:
    world.does = {"a": asyncio.Event()}
    call = start(world, two(world))
    await asked(world, "a")
    world.clock.advance(0.7)
    world.does["a"].set()
    assert (await call).name == "a"
    assert (world.asked, world.afforded, world.cancelled) == (["a"], [], [])


async def test_the_second_one_wins_where_it_answers_first(world: Any, two: Any) -> None:
    world.does = {"a": asyncio.Event()}
    m = two(world)
    call = start(world, m)
    await asked(world, "a")
    world.clock.advance(0.8)
    answer = await call
    assert (answer.name, answer.number) == ("b", 2)
    assert (world.afforded, world.cancelled, world.discarded) == (["m"], ["a"], [])
    loads = world.dispatcher._loads
    assert (loads.in_flight("p/a"), loads.in_flight("p/b")) == (0, 1)
    assert loads.latency("p/a", is_streamed=False) == pytest.approx(0.8)


async def test_the_first_one_wins_where_it_answers_first(world: Any, two: Any) -> None:
    world.does = {"a": asyncio.Event(), "b": asyncio.Event()}
    call = start(world, two(world))
    await asked(world, "a")
    world.clock.advance(0.8)
    await asked(world, "a", "b")
    world.does["a"].set()
    answer = await call
    assert (answer.name, answer.number, world.cancelled) == ("a", 1, ["b"])


async def test_an_answer_that_comes_at_the_same_moment_is_discarded(world: Any, two: Any) -> None:
    world.does = {"a": asyncio.Event(), "b": asyncio.Event()}
    call = start(world, two(world))
    await asked(world, "a")
    world.clock.advance(0.8)
    await asked(world, "a", "b")
    world.does["b"].set()
    world.does["a"].set()
    assert (await call).name == "a"
    assert (world.discarded, world.cancelled) == (["b"], [])
    assert world.dispatcher._loads.in_flight("p/b") == 0


async def test_without_money_for_two_the_first_one_goes_on(world: Any, two: Any) -> None:
    world.poor = HiveError(Kind.BUDGET_EXCEEDED, "Insufficient budget.")
    world.does = {"a": asyncio.Event()}
    call = start(world, two(world))
    await asked(world, "a")
    world.clock.advance(5)
    await world.until(lambda: world.afforded == ["m"])
    world.does["a"].set()
    assert (await call).name == "a"
    assert world.asked == ["a"]


async def test_where_one_fails_the_other_one_goes_on(world: Any, two: Any) -> None:
    for failing, wins in (("a", "b"), ("b", "a")):
        world.asked.clear()
        world.does = {failing: Failing(DOWN), wins: asyncio.Event()}
        call = start(world, two(world))
        await asked(world, "a")
        world.clock.advance(0.8)
        await asked(world, "a", "b")
        world.does[failing].set()
        await asyncio.sleep(0)
        assert not call.done()
        world.does[wins].set()
        assert (await call).name == wins


async def test_where_both_fail_others_are_asked(world: Any, two: Any, make_model: Any) -> None:
    world.does = {"a": Failing(SILENT), "b": Failing(SILENT)}
    call = start(world, two(world), make_model("n", "c"))
    await asked(world, "a")
    world.clock.advance(0.8)
    await asked(world, "a", "b")
    world.does["b"].set()
    world.does["a"].set()
    answer = await call
    assert (answer.name, answer.number) == ("c", 3)


async def test_a_callers_mistake_ends_both(world: Any, two: Any) -> None:
    world.does = {"a": Failing(WRONG), "b": asyncio.Event()}
    call = start(world, two(world))
    await asked(world, "a")
    world.clock.advance(0.8)
    await asked(world, "a", "b")
    world.does["a"].set()
    with pytest.raises(HiveError) as raised:
        await call
    assert raised.value is WRONG
    assert world.cancelled == ["b"]


async def test_what_the_second_one_alone_refuses_may_be_right(world: Any, two: Any) -> None:
    world.does = {"a": asyncio.Event(), "b": WRONG}
    call = start(world, two(world))
    await asked(world, "a")
    world.clock.advance(0.8)
    await asked(world, "a", "b")
    world.does["a"].set()
    assert (await call).name == "a"


async def test_a_caller_who_leaves_ends_both(world: Any, two: Any) -> None:
    world.does = {"a": asyncio.Event(), "b": asyncio.Event()}
    call = start(world, two(world))
    await asked(world, "a")
    world.clock.advance(0.8)
    await asked(world, "a", "b")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert sorted(world.cancelled) == ["a", "b"]
    loads = world.dispatcher._loads
    assert loads.in_flight("p/a") == loads.in_flight("p/b") == 0


async def test_an_answer_is_not_lost_where_its_caller_leaves_at_that_moment(world: Any, two: Any) -> None:
    world.does = {"a": asyncio.Event()}
    call = start(world, two(world))
    await asked(world, "a")
    world.does["a"].set()
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert world.discarded + world.cancelled == ["a"]
    assert world.dispatcher._loads.in_flight("p/a") == 0


async def test_an_error_of_the_gateway_itself_stays_what_it_is(world: Any, two: Any) -> None:
    class Broken(asyncio.Event):
        async def wait(self) -> Any:
            raise RuntimeError("ours")

    world.does = {"a": Broken()}
    with pytest.raises(RuntimeError, match="ours"):
        await world.begin(two(world))


async def test_a_request_is_hedged_once(world: Any, make_model: Any) -> None:
    world.does = {name: Failing(SILENT) for name in "abcd"}
    call = start(world, make_model("m", *"abcd", routing=HEDGED))
    await world.until(lambda: len(world.asked) == 1)
    world.clock.advance(0.8)
    await world.until(lambda: len(world.asked) == 2)
    for event in list(world.does.values()):
        event.set()
    world.does = dict.fromkeys("abcd", asyncio.Event())
    await world.until(lambda: len(world.asked) == 3)
    world.clock.advance(60)
    world.does[world.asked[-1]].set()
    assert (await call).number == 3
    assert len(world.asked) == 3


@pytest.mark.parametrize(
    ("model_seconds", "may_hedge", "header", "hedges"),
    [
        (None, True, None, False),
        (None, True, 0.3, True),
        (0.3, True, None, True),
        (0.3, True, 0.0, False),
        (0.3, False, 0.0, False),
        (None, False, 0.3, False),
        (0.3, False, None, True),
        (5.0, False, 0.3, False),
    ],
)
async def test_models_and_callers_opt_in(
    world: Any, two: Any, model_seconds: float | None, may_hedge: bool, header: float | None, hedges: bool
) -> None:
    first = asyncio.Event()
    world.does = {"a": first}
    call = start(world, two(world, model_seconds, may_hedge), hedge_seconds=header)
    await asked(world, "a")
    world.clock.advance(0.3)
    for _ in range(20):
        await asyncio.sleep(0)
    assert call.done() is hedges
    first.set()
    assert (await call).name == ("b" if hedges else "a")


async def test_the_second_one_may_be_of_a_later_order_but_not_the_last_resort(
    world: Any, make_model: Any, make_deployment: Any
) -> None:
    last, later = make_deployment("last", weight=0), make_deployment("later", order=1)
    world.does = {"a": asyncio.Event()}
    call = start(world, make_model("m", "a", last, later, routing=HEDGED))
    await asked(world, "a")
    world.clock.advance(0.8)
    assert (await call).name == "later"
    world.asked.clear()
    assert (await world.begin(make_model("m", make_deployment("b"), last, routing=HEDGED))).name == "b"
    assert world.clock.sleepers == []


async def test_nobody_else_to_ask_is_no_hedge(world: Any, make_model: Any) -> None:
    alone = make_model("m", "a", routing=HEDGED)
    assert (await world.begin(alone)).name == "a"
    assert world.clock.sleepers == []
    world.breaker.rest("p/b", 50)
    world.does = {"a": asyncio.Event()}
    call = start(world, make_model("m", "a", "b", routing=HEDGED))
    await world.until(lambda: len(world.asked) == 2)
    world.clock.advance(1)
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.afforded == []
    world.does["a"].set()
    assert (await call).name == "a"


async def test_without_a_way_to_pay_or_to_discard_nothing_is_hedged(world: Any, make_model: Any) -> None:
    m = make_model("m", "a", "b", routing=HEDGED)
    answer = await world.dispatcher.first_answer([m], world.clock.time + 60, world.attempt)
    assert answer.name in "ab"
    assert world.clock.sleepers == []
