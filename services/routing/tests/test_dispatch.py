"""Who is asked, how often, after which pauses: with a clock that stands still and attempts that are told."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from hive_routing.breaker import Breaker
from hive_routing.catalogue import Deployment, Model
from hive_routing.dispatch import Dispatcher, Policy
from hive_routing.providers.failures import CREDENTIAL_REFUSED
from hive_routing.providers.port import Timeouts
from hive_runtime.errors import HiveError, Kind

DOWN = HiveError(Kind.UPSTREAM_FAILED, "down")
SILENT = HiveError(Kind.TIMEOUT, "silent")
WRONG = HiveError(Kind.INVALID, "wrong", "messages")
BUSY = HiveError(Kind.RATE_LIMITED, "busy", retry_after=2)
BUSY_FOR_LONG = HiveError(Kind.RATE_LIMITED, "busy", retry_after=600)
LOCKED_OUT = HiveError(Kind.UPSTREAM_FAILED, "401", reason=CREDENTIAL_REFUSED)


class StillClock:
    """Time passes only by sleeping."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


class World:
    """Deployments that fail as they are told, and a log of who was asked."""

    def __init__(self, **policy: Any) -> None:
        self.clock = StillClock()
        self.breaker = Breaker(self.clock, failures=5, pause=30.0)
        self.dispatcher = Dispatcher(self.clock, self.breaker, Policy(**policy), random.Random(1))
        self.failing: dict[str, Sequence[HiveError | None] | HiveError] = {}
        self.asked: list[str] = []

    async def attempt(self, model: Model, deployment: Deployment, number: int) -> str:
        name = deployment.model
        before = self.asked.count(name)
        self.asked.append(name)
        self.last = deployment
        assert number == len(self.asked)
        failing = self.failing.get(name, ())
        if isinstance(failing, HiveError):
            raise failing
        if before < len(failing) and (error := failing[before]) is not None:
            raise error
        return f"{model.id}:{name}"

    async def attempt_anew(self, model: Model, deployment: Deployment, number: int) -> str:
        self.asked.clear()
        return await self.attempt(model, deployment, 1)

    async def ask(self, *models: Model, seconds: float = 60) -> str:
        self.asked.clear()
        answer = await self.dispatcher.first_answer(models, self.clock.time + seconds, self.attempt)
        self.dispatcher.completed(self.last)
        return answer

    async def fails(self, *models: Model, seconds: float = 60) -> HiveError:
        with pytest.raises(HiveError) as raised:
            await self.ask(*models, seconds=seconds)
        return raised.value


def model(name: str, *deployments: str) -> Model:
    """deployments: `name` or `name:weight`."""
    made = []
    for each in deployments:
        named, _, weight = each.partition(":")
        provider: Any = None
        made.append(Deployment("p", provider, named, int(weight or 1), Timeouts(), ""))
    return Model(name, 0, "", "chat", None, tuple(made), ())


async def test_the_first_answer_is_the_answer() -> None:
    world = World()
    assert await world.ask(model("m", "a")) == "m:a"
    assert world.asked == ["a"]
    assert world.clock.slept == []


async def test_a_failing_deployment_is_asked_again_after_growing_pauses() -> None:
    world = World()
    world.failing = {"a": [DOWN, DOWN]}
    assert await world.ask(model("m", "a")) == "m:a"
    assert world.asked == ["a", "a", "a"]
    first, second = world.clock.slept
    assert 0.125 <= first <= 0.375
    assert 0.25 <= second <= 0.75


async def test_three_tries_are_enough() -> None:
    world = World()
    world.failing = {"a": DOWN}
    assert await world.fails(model("m", "a")) is DOWN
    assert world.asked == ["a"] * 3


async def test_the_next_deployment_is_asked_without_a_pause() -> None:
    world = World()
    world.failing = {"a": DOWN, "b": DOWN}
    assert await world.ask(model("m", "a", "b", "c")) == "m:c"
    assert sorted(world.asked) in (["a", "b", "c"], ["a", "c"], ["b", "c"], ["c"])
    assert world.clock.slept == []


async def test_six_tries_in_all() -> None:
    world = World()
    world.failing = {"a": DOWN, "b": DOWN, "c": DOWN}
    await world.fails(model("m", "a", "b", "c"))
    assert len(world.asked) == 6
    assert set(Counter(world.asked).values()) == {2}


async def test_fallback_models_are_asked_in_their_order() -> None:
    world = World()
    world.failing = {"a": DOWN, "b": DOWN}
    assert await world.ask(model("m", "a"), model("n", "b"), model("o", "c")) == "o:c"
    assert world.asked == ["a", "a", "a", "b", "b", "c"]


async def test_many_deployments_leave_a_try_for_each_fallback() -> None:
    world = World()
    world.failing = dict.fromkeys("abcd", DOWN)
    assert await world.ask(model("m", "a", "b", "c", "d"), model("n", "e")) == "n:e"
    assert world.asked[-1] == "e"
    assert len(world.asked) == 6


async def test_fallbacks_do_not_raise_the_bound() -> None:
    world = World()
    world.failing = {f"d{number}": DOWN for number in range(10)}
    await world.fails(*(model(f"m{number}", f"d{number}") for number in range(10)))
    assert world.asked == [f"d{number}" for number in range(6)]


async def test_the_callers_mistake_ends_it_at_once() -> None:
    world = World()
    world.failing = {"a": WRONG}
    assert await world.fails(model("m", "a"), model("n", "b")) is WRONG
    assert world.asked == ["a"]


async def test_silence_for_a_whole_timeout_is_not_asked_for_twice() -> None:
    world = World()
    world.failing = {"a": SILENT}
    assert await world.ask(model("m", "a"), model("n", "b")) == "n:b"
    assert world.asked == ["a", "b"]


async def test_a_refused_credential_is_not_tried_again() -> None:
    world = World()
    world.failing = {"a": LOCKED_OUT}
    assert await world.fails(model("m", "a")) is LOCKED_OUT
    assert world.asked == ["a"]


async def test_a_rate_limit_is_waited_for_where_it_is_short() -> None:
    world = World()
    world.failing = {"a": [BUSY]}
    assert await world.ask(model("m", "a")) == "m:a"
    assert world.clock.slept == [2]


async def test_a_long_rate_limit_is_told_to_the_caller() -> None:
    world = World()
    world.failing = {"a": BUSY_FOR_LONG}
    error = await world.fails(model("m", "a"))
    assert (error.kind, error.retry_after) == (Kind.RATE_LIMITED, 600)
    assert world.asked == ["a"]


@pytest.mark.parametrize("kind", [Kind.RATE_LIMITED, Kind.UNAVAILABLE])
async def test_whoever_has_to_come_back_learns_when(kind: Kind) -> None:
    world = World()
    world.failing = {"a": HiveError(kind, "later")}
    assert (await world.fails(model("m", "a"))).retry_after == 1


async def test_no_pause_goes_beyond_the_deadline() -> None:
    world = World()
    world.failing = {"a": BUSY}
    assert await world.fails(model("m", "a"), seconds=1.5) is BUSY
    assert world.clock.slept == []


async def test_a_model_without_deployments_is_unavailable() -> None:
    error = await World().fails(model("m"))
    assert error.kind is Kind.UNAVAILABLE
    assert "`m`" in error.message


async def test_weights_decide_how_often_one_is_first() -> None:
    world = World()
    first = Counter([(await world.ask(model("m", "a:3", "b:1"))) for _ in range(2000)])
    assert 1350 <= first["m:a"] <= 1650


async def test_weight_zero_is_the_last_resort() -> None:
    world = World()
    for _ in range(50):
        assert await world.ask(model("m", "a:0", "b:1")) == "m:b"
    world.failing = {"b": DOWN}
    assert await world.ask(model("m", "a:0", "b:1")) == "m:a"


async def test_a_deployment_that_failed_five_times_is_passed_over_for_a_while() -> None:
    world = World()
    world.failing = {"a": DOWN}
    pair = model("m", "a:1000000", "b:1")
    for _ in range(5):
        assert await world.ask(pair) == "m:b"
        assert world.asked == ["a", "b"]
    await world.ask(pair)
    assert world.asked == ["b"]
    world.clock.time += 31
    await world.ask(pair)
    assert world.asked == ["a", "b"]
    await world.ask(pair)
    assert world.asked == ["b"]


async def test_a_probe_that_succeeds_closes_the_breaker() -> None:
    world = World()
    world.failing = {"a": [DOWN] * 5}
    pair = model("m", "a:1000000", "b:1")
    for _ in range(5):
        world.breaker.fail("p/a")
    world.clock.time += 31
    world.failing = {}
    assert await world.ask(pair) == "m:a"
    assert await world.ask(pair) == "m:a"


async def test_only_one_probe_at_a_time() -> None:
    world = World()
    for _ in range(5):
        world.breaker.fail("p/a")
    world.clock.time += 31
    assert world.breaker.allows("p/a")
    world.breaker.begin("p/a")
    assert not world.breaker.allows("p/a")
    world.breaker.abandon("p/a")
    assert world.breaker.allows("p/a")


async def test_a_probe_whose_caller_leaves_says_nothing() -> None:
    world = World()
    for _ in range(5):
        world.breaker.fail("p/a")
    world.clock.time += 31
    asked = asyncio.Event()

    async def attempt(model: Model, deployment: Deployment, number: int) -> str:
        asked.set()
        await asyncio.Event().wait()
        return ""

    call = asyncio.create_task(world.dispatcher.first_answer([model("m", "a")], 10_000, attempt))
    await asked.wait()
    assert not world.breaker.allows("p/a")
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert world.breaker.allows("p/a")


async def test_where_all_are_broken_the_one_that_resumes_first_is_tried_once() -> None:
    world = World()
    for name in ("p/a", "p/b"):
        for _ in range(5):
            world.breaker.fail(name)
        world.clock.time += 1
    world.failing = {"a": DOWN}
    assert await world.fails(model("m", "b", "a")) is DOWN
    assert world.asked == ["a"]


async def test_a_rate_limited_deployment_rests_while_others_answer() -> None:
    world = World()
    world.failing = {"a": [BUSY_FOR_LONG]}
    pair = model("m", "a:1000000", "b:1")
    assert await world.ask(pair) == "m:b"
    assert await world.ask(pair) == "m:b"
    assert world.asked == ["b"]
    world.clock.time += 61
    world.failing = {}
    assert await world.ask(pair) == "m:a"


async def test_a_rest_of_one_deployment_does_not_hold_up_another() -> None:
    world = World()
    slow_down = HiveError(Kind.RATE_LIMITED, "later", retry_after=300)
    world.failing = {"a": [DOWN], "b": slow_down}
    started = world.clock.time
    assert await world.ask(model("m", "a:1000000", "b:1")) == "m:a"
    assert world.clock.time - started < 5


async def test_streams_that_always_break_open_the_breaker() -> None:
    world = World()
    pair = model("m", "a:1000000", "b:1")
    for _ in range(5):
        await world.dispatcher.first_answer([pair], world.clock.time + 60, world.attempt_anew)
        world.dispatcher.broke(world.last)
    assert await world.dispatcher.first_answer([pair], world.clock.time + 60, world.attempt_anew) == "m:b"


async def test_where_every_breaker_is_open_one_request_at_a_time_tries() -> None:
    world = World()
    single = model("m", "a")
    for _ in range(5):
        world.breaker.fail("p/a")
    first = await world.dispatcher.first_answer([single], world.clock.time + 60, world.attempt_anew)
    assert first == "m:a"
    refused = await world.fails(single)  # the first one's answer has not come to its end
    assert refused.kind is Kind.UNAVAILABLE and refused.retry_after and world.asked == []
    world.dispatcher.completed(world.last)
    assert await world.ask(single) == "m:a"
