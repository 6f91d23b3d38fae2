"""Conversations hold items that come and go, and what is asked in them and answered."""

from __future__ import annotations

from typing import Any

import pytest


def texts(page: Any) -> list[str]:
    return [item["content"][0]["text"] for item in page["data"]]


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text}


@pytest.fixture
async def conversation(client: Any) -> str:
    made = await client.post("conversations", items=[user("one")], metadata={"topic": "numbers"})
    assert made.json["object"] == "conversation" and made.json["metadata"] == {"topic": "numbers"}
    id: str = made.json["id"]
    return id


async def test_a_conversation_is_made_changed_and_deleted(client: Any, conversation: str) -> None:
    path = f"conversations/{conversation}"
    changed = await client.post(path, metadata={"topic": "letters"})

    assert changed.json["metadata"] == {"topic": "letters"}
    assert (await client.get(path)).json == changed.json
    deleted = await client.delete(path)
    assert deleted.json == {"id": conversation, "object": "conversation.deleted", "deleted": True}
    assert (await client.get(path)).error.status == 404
    assert (await client.get(path + "/items")).error.status == 404


async def test_an_empty_body_makes_an_empty_conversation(client: Any, gateway: Any) -> None:
    made = await gateway.request("POST", "/v1/conversations")

    listed = await client.get(f"conversations/{made.json['id']}/items")
    assert listed.json == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


async def test_items_are_added_listed_and_deleted(client: Any, conversation: str) -> None:
    path = f"conversations/{conversation}/items"
    added = (await client.post(path, items=[user("two"), user("three")])).json

    assert texts(added) == ["two", "three"] and added["has_more"] is False
    page = (await client.get(path, "limit=2")).json
    rest = (await client.get(path, f"limit=2&after={page['last_id']}")).json
    assert (texts(page), texts(rest)) == (["three", "two"], ["one"])
    assert (page["has_more"], rest["has_more"]) == (True, False)
    assert texts((await client.get(path, "order=asc")).json) == ["one", "two", "three"]
    two = added["data"][0]
    assert (await client.get(f"{path}/{two['id']}")).json == two
    assert (await client.delete(f"{path}/{two['id']}")).json["id"] == conversation
    assert (await client.get(f"{path}/{two['id']}")).error.status == 404
    assert (await client.delete(f"{path}/{two['id']}")).error.status == 404
    assert (await client.get(path, "after=msg_none")).error.status == 400


async def test_twenty_items_at_a_time(client: Any, conversation: str) -> None:
    many = [user(str(number)) for number in range(21)]

    for path in ("conversations", f"conversations/{conversation}/items"):
        assert (await client.post(path, items=many)).error.param == "items"
    assert (await client.post(f"conversations/{conversation}/items")).error.param == "items"
    assert (await client.post("conversations", items="one")).error.param == "items"
    assert (await client.post("conversations", metadata={"n": 1})).error.param == "metadata"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("store", [False, True])
async def test_what_is_asked_and_answered_stays_in_it(
    client: Any, conversation: str, stream: bool, store: bool
) -> None:
    first = await client.respond("two", conversation=conversation, stream=stream, store=store)
    await client.respond([user("three")], conversation={"id": conversation})

    assert first["conversation"] == {"id": conversation}
    content = [item["content"] for item in client.sent["input"]]
    assert content[0] == "one" and content[1] == "two" and content[-1] == "three"
    listed = (await client.get(f"conversations/{conversation}/items", "order=asc")).json
    assert texts(listed) == ["one", "two", "Echo: two", "three", "Echo: three"]
    assert len({item["id"] for item in listed["data"]}) == 5


async def test_what_failed_leaves_nothing_in_it(client: Any, gateway: Any, conversation: str) -> None:
    await gateway.add_model("bad", at=("sim:sim/status=400",))

    answer = await client.post("responses", model="bad", input="x", conversation=conversation)

    assert answer.error.status == 400
    assert texts((await client.get(f"conversations/{conversation}/items")).json) == ["one"]


async def test_the_same_key_goes_on_once(client: Any, gateway: Any, conversation: str) -> None:
    body = {"model": "gpt-4o", "input": "two", "conversation": conversation}
    for _ in range(2):
        answer = await gateway.request("POST", "/v1/responses", body, headers={"idempotency-key": "k"})
        assert answer.error is None

    assert len((await client.get(f"conversations/{conversation}/items")).json["data"]) == 3


async def test_other_tenants_find_nothing(client: Any, conversation: str) -> None:
    client.gateway.tenant_id = "other"
    path = f"conversations/{conversation}"

    for answer in (
        await client.get(path),
        await client.post(path, metadata={}),
        await client.delete(path),
        await client.get(f"{path}/items"),
        await client.post(f"{path}/items", items=[]),
        await client.post("responses", model="gpt-4o", input="x", conversation=conversation),
    ):
        assert answer.error.status == 404
