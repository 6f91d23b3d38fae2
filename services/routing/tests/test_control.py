"""The catalogue follows the control topic, whatever comes first and however often it comes."""

from __future__ import annotations

from typing import Any

import pytest

from hive_routing.breaker import Breaker
from hive_runtime.errors import HiveError, Kind
from hive_runtime.sealing import SealingKey, seal
from modelhive.control.v1.control_pb2 import Provider


async def test_a_model_may_come_before_its_provider(gateway: Any) -> None:
    await gateway.add_model("early", at=("late:x",))
    assert (await gateway.chat(model="early")).error.kind is Kind.UNAVAILABLE
    await gateway.add_provider("late")
    assert (await gateway.chat(model="early")).headers["x-hive-provider"] == "late"


async def test_a_retired_model_is_gone(gateway: Any) -> None:
    await gateway.tell("model/gpt-4o")
    assert (await gateway.chat()).error.kind is Kind.NOT_FOUND


async def test_a_retired_provider_is_asked_no_more(gateway: Any) -> None:
    await gateway.tell("provider/sim")
    assert (await gateway.chat()).error.kind is Kind.UNAVAILABLE
    await gateway.add_provider()
    assert (await gateway.chat()).status == 200


async def test_what_is_told_again_unchanged_changes_nothing(gateway: Any) -> None:
    provider = Provider(id="same", kind="openai", base_url=gateway.sim.url)
    await gateway.tell("provider/same", provider=provider)
    before = gateway.providers.get("same")
    await gateway.tell("provider/same", provider=provider)
    assert gateway.providers.get("same") is before


async def test_a_call_outlives_the_change_of_its_provider(gateway: Any) -> None:
    gateway.sim.script(first_chunk_delay=0.05)
    call = gateway.start(
        "POST", "/v1/chat/completions", {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
    )
    await gateway.sim.wait_for_calls(1)
    await gateway.add_provider(credential="sk-new")
    await call.task
    assert call.answer.status == 200
    await gateway.chat()
    assert gateway.sim.calls[-1].headers["authorization"] == "Bearer sk-new"


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "carrier-pigeon"},
        {"base_url": "ftp://host/v1"},
        {"base_url": "http://host:port/v1"},
        {"sealed_credential": b"sealed for nobody"},
        {"sealed_credential": seal(SealingKey.generate().public, b"sk-other")},
    ],
)
async def test_a_provider_that_cannot_be_used_hurts_nobody_else(gateway: Any, fields: dict[str, Any]) -> None:
    odd = {"id": "odd", "kind": "openai", "base_url": gateway.sim.url} | fields
    await gateway.tell("provider/odd", provider=Provider(**odd))
    await gateway.add_model("gpt-4o", at=("odd:x", "sim:good"))
    assert (await gateway.chat()).headers["x-hive-provider"] == "sim"


@pytest.mark.parametrize("credential", ["sk-a\r\nx-evil: 1", "schlüssel"])
async def test_a_credential_that_is_no_header_is_refused(gateway: Any, credential: str) -> None:
    await gateway.add_provider("odd", credential=credential)
    assert gateway.providers.get("odd") is None


async def test_a_provider_without_a_credential_gets_none(gateway: Any) -> None:
    provider = Provider(id="open", kind="openai", base_url=gateway.sim.url + "/")
    await gateway.tell("provider/open", provider=provider)
    await gateway.add_model("gpt-4o", at=("open:x",))
    assert (await gateway.chat()).status == 200
    assert "authorization" not in gateway.sim.calls[-1].headers


async def test_tenants_and_keys_are_none_of_our_business(gateway: Any) -> None:
    await gateway.tell("tenant/default")
    await gateway.tell("key/key_1")
    assert (await gateway.chat()).status == 200


async def test_unset_timeouts_have_their_defaults(gateway: Any) -> None:
    provider = Provider(id="p", kind="openai", base_url=gateway.sim.url)
    provider.timeouts.idle = 7
    await gateway.tell("provider/p", provider=provider)
    timeouts = gateway.providers.get("p").row.timeouts
    assert (timeouts.connect, timeouts.first_byte, timeouts.idle, timeouts.total) == (5, 120, 7, 600)


async def test_repeated_failures_of_streams_open_the_breaker(gateway: Any) -> None:
    breaker: Breaker = gateway.breaker
    gateway.sim.script(status=500)
    for _ in range(2):
        with pytest.raises(HiveError):
            raise (await gateway.chat(stream=True)).error
    assert not breaker.allows("sim/gpt-4o-real")
