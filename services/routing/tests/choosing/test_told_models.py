"""What the control topic says of how a model's deployments are chosen, as the catalogue has it."""

from __future__ import annotations

from typing import Any

import pytest

from hive_routing.choosing.limits import Limit
from hive_routing.choosing.terms import PLAIN, Mirror, Region, Routing, RoutingPolicy
from modelhive.control.v1 import control_pb2 as control


async def told(gateway: Any, **fields: Any) -> Any:
    await gateway.tell("model/m", model=control.Model(id="m", **fields))
    return gateway.catalogue.find("m", None)


async def test_a_usual_model_is_plain(gateway: Any) -> None:
    model = await told(gateway, deployments=[control.Deployment(provider_id="sim", model="a", weight=2)])
    (only,) = model.deployments
    assert model.routing == PLAIN
    assert (model.aliases, model.context_fallbacks, model.declared) == ((), (), "m")
    assert (only.order, only.region, only.limit, only.declared) == (0, "", None, "sim/a")


async def test_all_of_it_is_heard(gateway: Any) -> None:
    one = control.Deployment(provider_id="sim", model="a", weight=1, order=3, region="eu", rpm=5)
    two = control.Deployment(provider_id="sim", model="b", weight=1, tpm=7)
    gone = control.Deployment(provider_id="not there yet", model="c", weight=1)
    routing = control.Routing(
        policy=control.ROUTING_POLICY_LOWEST_LATENCY,
        region="eu",
        region_required=True,
        hedge_after_ms=800,
        no_hedge_by_header=True,
        mirror_to="other",
        mirror_percent=2.5,
    )
    model = await told(
        gateway, deployments=[one, two, gone], aliases=["n"], context_fallbacks=["long"], routing=routing
    )
    assert model.routing == Routing(
        RoutingPolicy.LOWEST_LATENCY, Region("eu", required=True), 0.8, False, Mirror("other", 2.5)
    )
    assert [(each.order, each.region, each.limit) for each in model.deployments] == [
        (3, "eu", Limit(rpm=5)),
        (0, "", Limit(tpm=7)),
    ]
    assert model.context_fallbacks == ("long",)
    assert gateway.catalogue.find("n", None) is model
    assert [[each.model for each in group] for group in model.groups] == [["a"]]
    await gateway.tell("model/m")
    assert [each.id for each in gateway.catalogue.all(None)] == ["gpt-4o"]


@pytest.mark.parametrize("number", [0, 99])
async def test_a_policy_that_is_not_known_is_weighted(gateway: Any, number: int) -> None:
    routing = control.Routing(region="eu")
    routing.policy = number  # type: ignore[assignment]  # of a newer release
    model = await told(gateway, routing=routing)
    assert model.routing == Routing(RoutingPolicy.WEIGHTED, Region("eu"))


async def test_aliases_are_listed(gateway: Any) -> None:
    await gateway.add_model("gpt-5", aliases=["latest"])
    await gateway.add_model("claude-*", at=("sim:*",))
    answer = await gateway.request("GET", "/v1/models")
    assert [each["id"] for each in answer.json["data"]] == ["gpt-4o", "gpt-5", "latest"]
    assert (await gateway.request("GET", "/v1/models/latest")).json["id"] == "gpt-5"
    assert (await gateway.request("GET", "/v1/models/claude-x")).json["id"] == "claude-x"
