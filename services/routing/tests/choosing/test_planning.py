"""What is worked out of a request before deployments are chosen for it, and what is not where nothing goes by it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hive_routing.catalogue import Catalogue, Model
from hive_routing.choosing.planning import Plan, Planner
from hive_routing.choosing.terms import Region, Routing, RoutingPolicy, Wishes
from hive_routing.endpoints import ENDPOINTS
from hive_routing.request import Request
from hive_routing.tokens import TokenCounter

CHAT = next(each for each in ENDPOINTS if each.path == "chat/completions")


def request(text: str = "Hello", **fields: Any) -> Request:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **fields}
    made = Request.parse(CHAT, msgspec.json.encode(body))
    made.check()
    return made


class Counting(TokenCounter):
    counted = 0

    async def count(self, countable: Any, model: str) -> int:
        self.counted += 1
        return await super().count(countable, model)


class Office:
    def __init__(self) -> None:
        self.catalogue = Catalogue()
        self.counter = Counting()
        self.planner = Planner(self.catalogue, self.counter)

    async def plan(
        self, model: Model, asked: Request, allowed: Any = None, wishes: Wishes = Wishes()
    ) -> Plan[str]:
        async def afford(model: Model) -> None: ...

        async def discard(answer: str) -> None: ...

        return await self.planner.plan(asked, model, "t", allowed, afford, discard, wishes)


@pytest.fixture
def office() -> Office:
    return Office()


async def test_a_plain_model_needs_nothing(office: Office, make_model: Any) -> None:
    plan = await office.plan(make_model("m", "a", context_window=10), request("x" * 50_000, stream=True))
    assert [model.id for model in plan.models] == ["m"]
    assert (plan.route.key, plan.route.prompt_tokens, plan.route.longer) == (b"", 0, [])
    assert plan.route.is_streamed and plan.route.afford and plan.route.discard
    assert office.counter.counted == 0


async def test_what_callers_want_and_may_goes_with_it(office: Office, make_model: Any) -> None:
    for name in ("n", "o", "long"):
        office.catalogue.put(make_model(name, name))
    m = make_model("m", "a", fallbacks=("n", "o"), context_fallbacks=("long",))
    wishes = Wishes(Region("eu"), 0.5)
    plan = await office.plan(m, request(), {"m", "o"}, wishes)
    assert [model.id for model in plan.models] == ["m", "o"]
    assert (plan.route.longer, plan.route.region, plan.route.hedge_seconds) == ([], Region("eu"), 0.5)
    assert not plan.route.is_streamed


async def test_a_sticky_model_has_a_key(office: Office, make_model: Any) -> None:
    m = make_model("m", "a", routing=Routing(RoutingPolicy.STICKY))
    one, two = await office.plan(m, request("Hello")), await office.plan(m, request("Bye"))
    assert one.route.key and one.route.key != two.route.key
    office.catalogue.put(m)
    first = make_model("first", "b", fallbacks=("m",))
    assert (await office.plan(first, request("Hello"))).route.key == one.route.key


@pytest.mark.parametrize("size", [10, 100_000])
async def test_tokens_are_known_where_limits_go_by_them(
    office: Office, make_model: Any, make_deployment: Any, size: int
) -> None:
    m = make_model("m", make_deployment("a", tpm=1000))
    plan = await office.plan(m, request("ab " * size))
    assert 0.5 * size <= plan.route.prompt_tokens <= 3 * size + 30
    assert office.counter.counted == (size > 5000)


async def test_tokens_are_counted_where_a_prompt_may_be_too_long(office: Office, make_model: Any) -> None:
    office.catalogue.put(make_model("long", "b"))
    m = make_model("m", "a", context_window=1000, context_fallbacks=("long",))
    assert (await office.plan(m, request("x"))).route.prompt_tokens < 1000
    assert office.counter.counted == 0
    plan = await office.plan(m, request("one " * 900))
    assert (office.counter.counted, plan.route.prompt_tokens < 1000) == (1, True)
    plan = await office.plan(m, request("one " * 1100))
    assert plan.route.prompt_tokens > 1000
    assert [model.id for model in plan.route.longer] == ["long"]
