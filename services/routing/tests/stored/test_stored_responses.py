"""Responses are kept: given again, gone on from, listed and deleted, for their tenant alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select, text

from hive_routing.stored.keeping import item_ids, with_ids
from hive_routing.stored.kept import is_id
from hive_routing.stored.responses import ResponsesWire
from hive_routing.stored.tables import answers


def said(response: Any) -> str:
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(part["text"] for part in parts)


def inputs(body: Any) -> list[Any]:
    """Who said what, in the input that a provider got."""
    texts = []
    for item in body["input"]:
        content = item["content"]
        texts.append((item["role"], content if isinstance(content, str) else content[0]["text"]))
    return texts


@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_answered_is_given_again(client: Any, stream: bool) -> None:
    response = await client.respond("hello there", stream=stream)

    assert response["id"].startswith("resp_") and response["store"] is True
    again = await client.get(f"responses/{response['id']}")
    assert again.json == response


async def test_every_event_of_a_stream_has_the_id_that_is_kept(client: Any) -> None:
    answer = await client.post("responses", model="gpt-4o", input="hi", stream=True)

    told = [event["response"] for event in answer.chunks if "response" in event]
    assert [event["sequence_number"] for event in answer.chunks] == list(range(len(answer.chunks)))
    assert len({each["id"] for each in told}) == 1 and all(each["store"] for each in told)


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_not_to_be_kept_is_not(client: Any, stream: bool) -> None:
    response = await client.respond(store=False, stream=stream)

    assert response["store"] is False
    assert (await client.get(f"responses/{response['id']}")).error.status == 404


async def test_a_response_goes_on_from_all_before_it(client: Any) -> None:
    first = await client.respond("one", instructions="Be brief.")
    second = await client.respond("two", previous_response_id=first["id"])
    third = await client.respond(
        [{"role": "user", "content": "three"}], previous_response_id=second["id"], store=False
    )

    assert third["previous_response_id"] == second["id"] and third["store"] is False
    assert inputs(client.sent) == [
        ("user", "one"),
        ("assistant", "Echo: one"),
        ("user", "two"),
        ("assistant", "Echo: two"),
        ("user", "three"),
    ]
    assert "instructions" not in client.sent and client.sent["store"] is False


async def test_a_deleted_response_is_gone(client: Any) -> None:
    first = await client.respond()
    second = await client.respond(previous_response_id=first["id"])

    deleted = await client.delete(f"responses/{first['id']}")

    assert deleted.json == {"id": first["id"], "object": "response", "deleted": True}
    for answer in (
        await client.get(f"responses/{first['id']}"),
        await client.delete(f"responses/{first['id']}"),
        await client.post("responses", model="gpt-4o", input="x", previous_response_id=first["id"]),
        await client.post("responses", model="gpt-4o", input="x", previous_response_id=second["id"]),
    ):
        assert answer.error.status == 404 and first["id"] in answer.error.message


async def test_other_tenants_find_nothing(client: Any) -> None:
    response = await client.respond()
    client.gateway.tenant_id = "other"

    assert (await client.get(f"responses/{response['id']}")).error.status == 404
    assert (await client.delete(f"responses/{response['id']}")).error.status == 404
    answer = await client.post("responses", model="gpt-4o", input="x", previous_response_id=response["id"])
    assert answer.error.status == 404


async def test_input_items_are_listed_page_by_page(client: Any) -> None:
    given = [{"role": "user", "content": text} for text in ("one", "two", "three")]
    response = await client.respond(given)
    path = f"responses/{response['id']}/input_items"

    page = (await client.get(path, "limit=2")).json
    rest = (await client.get(path, f"limit=2&after={page['last_id']}")).json
    ascending = (await client.get(path, "order=asc")).json

    texts = [item["content"][0]["text"] for item in page["data"] + rest["data"]]
    assert texts == ["three", "two", "one"]
    assert (page["has_more"], rest["has_more"]) == (True, False)
    assert [item["id"] for item in ascending["data"]] == [
        item["id"] for item in reversed(page["data"] + rest["data"])
    ]
    assert (await client.get(path, "after=msg_none")).error.status == 400
    assert (await client.get(path, "limit=0")).error.status == 400


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"background": True, "store": False}, "background"),
        ({"previous_response_id": "resp_1", "conversation": "conv_1"}, "previous_response_id"),
        ({"store": "yes"}, "store"),
        ({"conversation": {"name": "x"}}, "conversation"),
        ({"previous_response_id": 3}, "previous_response_id"),
    ],
)
async def test_what_does_not_go_together_is_refused(client: Any, fields: dict[str, Any], param: str) -> None:
    answer = await client.post("responses", model="gpt-4o", input="x", **fields)

    assert (answer.error.status, answer.error.param) == (400, param)


async def test_a_reference_stands_for_its_item(client: Any) -> None:
    first = await client.respond("one")
    item = first["output"][0]
    asks = [{"type": "item_reference", "id": item["id"]}, {"role": "user", "content": "two"}]

    await client.respond(asks)
    assert inputs(client.sent) == [("assistant", "Echo: one"), ("user", "two")]
    await client.respond(asks, previous_response_id=first["id"])
    assert [text for _, text in inputs(client.sent)] == ["one", "Echo: one", "two"]

    missing = await client.post(
        "responses", model="gpt-4o", input=[{"type": "item_reference", "id": "msg_0"}]
    )
    assert (missing.error.status, missing.error.param) == (404, "input[0].id")


async def test_sealed_thoughts_are_said_again(client: Any, gateway: Any) -> None:
    await gateway.add_model("thinking", at=("sim:sim/thinking=hm",))
    asks = {"model": "thinking", "reasoning": {"effort": "low"}}
    first = (await client.post("responses", input="one", **asks)).json

    second = await client.post("responses", input="two", previous_response_id=first["id"], **asks)

    assert second.error is None
    thought = first["output"][0]
    assert thought["type"] == "reasoning" and thought in client.sent["input"]


async def test_thoughts_that_nobody_sealed_are_not_said_again(client: Any) -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    first = await client.respond([{"role": "user", "content": "one"}, thought])
    await client.respond("two", previous_response_id=first["id"])

    assert [text for _, text in inputs(client.sent)] == ["one", "Echo: one", "two"]


async def test_the_same_key_gets_the_same_response(client: Any) -> None:
    body = {"model": "gpt-4o", "input": "hello"}
    headers = {"idempotency-key": "k1"}

    first, again = [
        await client.gateway.request("POST", "/v1/responses", body, headers=headers) for _ in range(2)
    ]

    assert first.json == again.json and again.headers["idempotent-replayed"] == "true"
    assert len(client.gateway.sim.calls) == 1


@pytest.mark.cached
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_of_the_cache_is_a_response_of_its_own(client: Any, stream: bool) -> None:
    first = await client.respond(stream=stream)
    again = await client.respond(stream=stream)

    assert len(client.gateway.sim.calls) == 1
    assert first["id"] != again["id"] and first["output"] == again["output"]
    assert (await client.get(f"responses/{again['id']}")).json == again


async def count(database: Any) -> int:
    async with database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(answers))).scalar_one())


@pytest.mark.parametrize("stream", [False, True])
async def test_what_failed_is_not_kept(client: Any, gateway: Any, database: Any, stream: bool) -> None:
    await gateway.add_model("bad", at=("sim:sim/status=400",))
    await gateway.add_model("cut", at=("sim:sim/chunks=9,cut_after=6",))

    refused = await client.post("responses", model="bad", input="x", stream=stream)
    broken = await client.post("responses", model="cut", input="x", stream=stream)

    assert refused.error.status == 400 and broken.error.status == 502
    assert await count(database) == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_cannot_be_kept_says_so(client: Any, database: Any, stream: bool) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("DROP TABLE stored_items"))
        await connection.execute(text("DROP TABLE stored_runs"))
        await connection.execute(text("DROP TABLE stored_events"))
        await connection.execute(text("DROP TABLE stored_answers"))

    response = await client.respond(stream=stream)

    assert response["store"] is False and said(response) == "Echo: hello"


async def test_what_guards_took_out_is_kept_as_the_client_got_it(client: Any, gateway: Any) -> None:
    gateway.guards.words["secret"] = "word"

    response = await client.respond("my secret plan")

    assert said(response) == "Echo: my secret plan"
    assert (await client.get(f"responses/{response['id']}")).json == response
    assert "secret" not in str(client.sent)


BAD_IDS = ["rs_\0", "i" * 513]


@pytest.mark.parametrize("id", BAD_IDS)
async def test_ids_that_a_database_does_not_take_are_refused(client: Any, gateway: Any, id: str) -> None:
    said = [{"role": "user", "content": "x"}, {"type": "reasoning", "id": id, "summary": []}]
    fields: list[tuple[str, dict[str, Any]]] = [
        ("input[1].id", {"input": said}),
        ("input[0].id", {"input": [{"type": "item_reference", "id": id}]}),
        ("previous_response_id", {"input": "x", "previous_response_id": id}),
        ("conversation", {"input": "x", "conversation": id}),
        ("conversation", {"input": "x", "conversation": {"id": id}, "background": True}),
    ]
    for param, each in fields:
        refused = await client.post("responses", model="gpt-4o", **each)
        assert (refused.error.status, refused.error.param) == (400, param)
    assert (await client.post("conversations", items=said)).error.param == "input[1].id"
    conversation = (await client.post("conversations")).json["id"]
    assert (await client.get(f"responses/{id}")).error.status == 404
    assert (await client.get(f"conversations/{conversation}/items/{id}")).error.status == 404
    listed = await client.get(f"conversations/{conversation}/items", "after=" + id.replace("\0", "%00"))
    assert listed.error.param == "after"
    assert gateway.sim.calls == []


@pytest.mark.parametrize("id", BAD_IDS)
def test_ids_of_a_provider_that_a_database_does_not_take_are_not_kept(id: str) -> None:
    wire = ResponsesWire()
    output = [{"type": "message", "id": id, "role": "assistant", "content": []}]
    answer = msgspec.json.encode({"output": output})

    assert item_ids(wire, answer) == []
    ((listed, item),) = with_ids(wire.put_out(answer), "resp_1")
    assert listed.startswith("msg_") and is_id(listed)
    assert msgspec.json.decode(item) == output[0]
