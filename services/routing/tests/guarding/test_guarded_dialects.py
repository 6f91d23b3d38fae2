"""What is private is taken out of every dialect's prompt before a provider has it, and put back in the answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hive_routing.endpoints import RERANK
from hive_routing.guarding.texts import request_texts
from hive_routing.request import Request
from hive_routing.splice import splice
from hive_runtime.errors import Kind

MAIL = "ann@example.com"

BODIES: dict[str, dict[str, Any]] = {
    "/v1/messages": {
        "max_tokens": 50,
        "system": [{"type": "text", "text": f"Write to {MAIL}."}],
        "messages": [{"role": "user", "content": f"I am {MAIL}"}],
    },
    "/v1/responses": {
        "instructions": f"Write to {MAIL}.",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": f"I am {MAIL}"}]}],
    },
    "/v1/generateContent": {
        "systemInstruction": f"Write to {MAIL}.",
        "contents": {"parts": [{"text": f"I am {MAIL}"}]},
    },
    "/v1/interactions": {
        "system_instruction": f"Write to {MAIL}.",
        "input": [{"type": "user_input", "content": {"type": "text", "text": f"I am {MAIL}"}}],
    },
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("path", BODIES)
async def test_no_dialect_lets_it_through(gateway: Any, path: str, stream: bool) -> None:
    gateway.guards.words = {MAIL: "email"}
    body = BODIES[path] | {"model": "gpt-4o", "stream": stream}
    answer = await gateway.request("POST", path, body)

    assert answer.status == 200
    (call,) = gateway.sim.calls
    assert MAIL not in call.body.decode() and "EMAIL_1" in call.body.decode()
    # a response repeats its instructions, as they were sent
    said = answer.body.decode().replace("Write to [EMAIL_1].", "")
    assert "EMAIL_1" not in said
    if not stream:
        assert MAIL in said  # the simulator repeats what it is told


@pytest.mark.parametrize("path", BODIES)
async def test_every_dialect_can_be_blocked(gateway: Any, path: str) -> None:
    gateway.guards.bad = {MAIL}
    answer = await gateway.request("POST", path, BODIES[path] | {"model": "gpt-4o"})
    assert answer.error.kind is Kind.BLOCKED and not gateway.sim.calls


def test_documents_that_are_ranked_are_read_as_well() -> None:
    documents = ["one", {"title": "two", "meta": {"writer": ["three"]}}]
    fields = {
        name: msgspec.Raw(msgspec.json.encode(each))
        for name, each in (("query", "q"), ("documents", documents))
    }
    found = request_texts(RERANK, fields)
    assert [slot.text for slot in found["documents"].slots] == ["one", "two", "three"]
    assert [slot.text for slot in found["query"].slots] == ["q"]


def test_the_documents_that_go_out_are_those_that_the_guards_left() -> None:
    body = {"model": "m", "query": "q", "documents": [MAIL]}
    request = Request.parse(RERANK, msgspec.json.encode(body))
    request.check()
    request.replace({"documents": msgspec.Raw(b'["[EMAIL_1]"]')})
    assert msgspec.json.decode(splice(request, "m", ""))["documents"] == ["[EMAIL_1]"]
