"""Interactions are kept by the same mechanism as responses, and told in Google's words."""

from __future__ import annotations

from typing import Any

import pytest


async def interact(client: Any, input: Any = "hello", **fields: Any) -> Any:
    """The Interaction, or the last one that a stream tells."""
    answer = await client.post("interactions", model="gpt-4o", input=input, **fields)
    assert answer.error is None, answer.error
    return answer.chunks[-1]["interaction"] if fields.get("stream") else answer.json


def texts(interaction: Any) -> list[str]:
    outputs = [step for step in interaction["steps"] if step["type"] == "model_output"]
    return [content["text"] for step in outputs for content in step["content"]]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_answered_is_given_again(client: Any, stream: bool) -> None:
    told = await interact(client, "hello there", stream=stream)

    again = (await client.get(f"interactions/{told['id']}", "stream=false")).json
    assert again["id"] == told["id"] and again["status"] == "completed"
    assert texts(again) == ["Echo: hello there"] and again["usage"] == told["usage"]
    with_input = (await client.get(f"interactions/{told['id']}", "stream=false&include_input=true")).json
    assert with_input == again | {"input": "hello there"}
    beta = await client.gateway.request("GET", f"/v1beta/interactions/{told['id']}")
    assert beta.json == again


async def test_every_event_has_the_id_that_is_kept(client: Any) -> None:
    answer = await client.post("interactions", model="gpt-4o", input="hi", stream=True)

    ids = {event["interaction"]["id"] for event in answer.chunks if "interaction" in event}
    ids |= {event["interaction_id"] for event in answer.chunks if "interaction_id" in event}
    assert len(ids) == 1
    assert (await client.get(f"interactions/{ids.pop()}")).json["status"] == "completed"


async def test_an_interaction_goes_on_from_all_before_it(client: Any) -> None:
    first = await interact(client, "one", system_instruction="Be brief.")
    second = await interact(client, "two", previous_interaction_id=first["id"], stream=True)
    third = await interact(
        client, [{"type": "text", "text": "three"}], previous_interaction_id=second["id"], store=False
    )

    assert third["previous_interaction_id"] == second["id"]
    sent = str(client.sent)
    positions = [sent.index(text) for text in ("'one'", "Echo: one", "'two'", "Echo: two", "'three'")]
    assert positions == sorted(positions) and "Be brief." not in sent
    assert (await client.get(f"interactions/{third['id']}")).error.status == 404


async def test_what_is_deleted_or_of_others_is_not_found(client: Any) -> None:
    told = await interact(client)
    response = await client.respond()
    path = f"interactions/{told['id']}"

    assert (await client.get(f"responses/{told['id']}")).error.status == 404
    assert (await client.get(f"interactions/{response['id']}")).error.status == 404
    client.gateway.tenant_id = "other"
    assert (await client.get(path)).error.status == 404
    client.gateway.tenant_id = "default"
    assert (await client.delete(path)).json == {}
    assert (await client.get(path)).error.status == 404
    gone = await client.post("interactions", model="gpt-4o", input="x", previous_interaction_id=told["id"])
    assert (gone.error.status, gone.error.param) == (404, "previous_interaction_id")


async def test_it_is_queued_and_then_made(client: Any, running: None) -> None:
    queued = await interact(client, "hello", background=True)

    assert queued["status"] == "queued" and queued["object"] == "interaction"
    made = await client.ended(queued["id"], "interactions")
    assert (made["id"], made["status"], texts(made)) == (queued["id"], "completed", ["Echo: hello"])
    assert (await client.post(f"interactions/{made['id']}/cancel")).json == made


async def test_its_events_can_be_had_again(client: Any, running: None) -> None:
    answer = await client.post("interactions", model="gpt-4o", input="hi", stream=True, background=True)

    told = answer.chunks
    assert [event["event_id"] for event in told] == [str(number) for number in range(len(told))]
    id = told[-1]["interaction"]["id"]
    assert (await client.get(f"interactions/{id}", "stream=true")).chunks == told
    assert (await client.get(f"interactions/{id}", "stream=true&last_event_id=2")).chunks == told[3:]
    assert texts((await client.get(f"interactions/{id}")).json) == ["Echo: hi"]


async def test_what_is_cancelled_is_stopped(client: Any, gateway: Any, running: None) -> None:
    await gateway.add_model("silent", at=("sim:sim/silent=true",))
    queued = (await client.post("interactions", model="silent", input="x", background=True)).json
    await client.until(lambda: gateway.log.opened)

    cancelled = await client.post(f"interactions/{queued['id']}/cancel")

    assert cancelled.json["status"] == "cancelled"
    await client.until(lambda: gateway.log.closed)
    waited = await interact(client)
    assert (await client.post(f"interactions/{waited['id']}/cancel")).error.status == 400


@pytest.mark.parametrize("stream", [False, True])
async def test_what_fails_says_why(client: Any, gateway: Any, running: None, stream: bool) -> None:
    gateway.bank.scopes = ("wallet",)

    answer = await client.post("interactions", model="gpt-4o", input="x", background=True, stream=stream)

    if stream:
        (event,) = answer.chunks
        assert event["event_type"] == "error" and event["error"]["code"] == "budget_exceeded"
    else:
        failed = await client.ended(answer.json["id"], "interactions")
        assert failed["status"] == "budget_exceeded" and failed["errors"][0]["message"]


async def test_calls_and_their_results_go_on(client: Any, gateway: Any) -> None:
    tools = [{"type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object"}}]
    config = {"generation_config": {"tool_choice": "any"}}
    first = await interact(client, "look there", tools=tools, **config)
    assert first["status"] == "requires_action"
    (call,) = [step for step in first["steps"] if step["type"] == "function_call"]

    result = [{"type": "function_result", "call_id": call["id"], "name": "look", "result": "a bee"}]
    second = await interact(client, result, tools=tools, previous_interaction_id=first["id"])

    assert second["status"] == "completed" and "a bee" in str(client.sent)
