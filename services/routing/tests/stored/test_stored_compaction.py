"""A conversation made short: its summary is sealed, and opened for its tenant when it comes back."""

from __future__ import annotations

from typing import Any

import msgspec

from hive_routing.stored.summaries import Summaries
from hive_runtime.sealing import SealingKey


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


async def test_it_is_gone_on_from_what_was_made_short(client: Any) -> None:
    call = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"at":1}'}
    result = {"type": "function_call_output", "call_id": "call_1", "output": "a bee"}
    answer = await client.post("responses/compact", model="gpt-4o", input=[user("one"), call, result])

    short = answer.json
    assert (short["object"], short["id"][:5]) == ("response.compaction", "resp_")
    assert short["usage"]["total_tokens"] > 0
    kept, summary = short["output"]
    assert kept["content"] == [{"type": "input_text", "text": "one"}]
    assert (summary["type"], summary["id"][:4]) == ("compaction", "cmp_")
    asked = [item["content"] for item in client.sent["input"]]
    assert asked[:3] == ["one", '[Called the tool look: {"at":1}]', '[The tool gave: "a bee"]']

    first = await client.respond([*short["output"], user("two")])
    assert [item["role"] for item in client.sent["input"]] == ["user", "developer", "user"]
    assert "Echo: " in client.sent["input"][1]["content"]
    await client.respond("three", previous_response_id=first["id"])
    assert client.sent["input"][1]["role"] == "developer"


async def test_a_chain_is_made_short(client: Any) -> None:
    first = await client.respond("one")
    second = await client.respond("two", previous_response_id=first["id"])

    short = await client.post("responses/compact", model="gpt-4o", previous_response_id=second["id"])

    texts = [item["content"][0]["text"] for item in short.json["output"][:-1]]
    assert texts == ["one", "two"]


async def test_it_is_made_short_once_for_a_key(client: Any, gateway: Any) -> None:
    body = {"model": "gpt-4o", "input": "one"}
    first, again = [
        await gateway.request("POST", "/v1/responses/compact", body, headers={"idempotency-key": "k"})
        for _ in range(2)
    ]

    assert first.json == again.json and len(gateway.sim.calls) == 1


async def test_summaries_of_others_and_broken_ones_are_refused(client: Any, gateway: Any) -> None:
    sealed = Summaries(gateway.key).sealed("secret", "other")
    foreign = Summaries(SealingKey.generate()).sealed("secret", "default")
    broken = sealed | {"encrypted_content": sealed["encrypted_content"][:-8]}

    for item in (sealed, foreign, broken):
        answer = await client.post("responses", model="gpt-4o", input=[item])
        assert (answer.error.status, answer.error.param) == (400, "input")
    assert gateway.sim.calls == []


async def test_there_has_to_be_something_and_a_model(client: Any, gateway: Any) -> None:
    await gateway.add_model("cut", at=("sim:gpt-4o",))

    assert (await client.post("responses/compact", model="gpt-4o")).error.param == "input"
    assert (await client.post("responses/compact", input="x")).error.param == "model"
    gone = await client.post("responses/compact", model="gpt-4o", previous_response_id="resp_none")
    assert gone.error.status == 404


async def test_tokens_are_counted_with_all_that_was_said_before(client: Any) -> None:
    first = await client.respond("hello there")
    counts = [
        (await client.post("responses/input_tokens", model="gpt-4o", input="more", **before)).json
        for before in ({}, {"previous_response_id": first["id"]})
    ]

    assert counts[0]["object"] == "response.input_tokens"
    assert 0 < counts[0]["input_tokens"] < counts[1]["input_tokens"]
    gone = await client.post("responses/input_tokens", model="gpt-4o", previous_response_id="resp_none")
    assert gone.error.status == 404


def test_a_summary_cannot_be_read_by_its_client() -> None:
    sealed = Summaries(SealingKey.generate()).sealed("secret plan", "default")

    assert b"secret" not in msgspec.json.encode(sealed)
