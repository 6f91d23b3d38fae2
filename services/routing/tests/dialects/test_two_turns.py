"""A provider's answer goes through a client of another dialect, and in the next turn the provider has it all back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from hive_routing.dialects.form import Call, Prompt, Result, Text, Thinking, Tool, Turn
from hive_routing.dialects.port import Dialect
from services.routing.tests.dialects.conversations import ARGUMENTS, NONE, Can, answers, few

CLIENTS = ("chat", "messages", "responses", "gemini")
PROVIDERS = (*CLIENTS, "converse")

Body = dict[str, Any]


def _chat(answer: Body, results: list[str]) -> Body:
    message = answer["choices"][0]["message"]
    calls = message.get("tool_calls", ())
    told = [
        {"role": "tool", "tool_call_id": call["id"], "content": result}
        for call, result in zip(calls, results, strict=True)
    ]
    return {"messages": [{"role": "user", "content": "Hi"}, message, *told]}


def _messages(answer: Body, results: list[str]) -> Body:
    calls = [block for block in answer["content"] if block["type"] == "tool_use"]
    told = [
        {"type": "tool_result", "tool_use_id": call["id"], "content": result}
        for call, result in zip(calls, results, strict=True)
    ]
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": answer["content"]}]
    return {"max_tokens": 99, "messages": [*messages, {"role": "user", "content": told or "And?"}]}


def _responses(answer: Body, results: list[str]) -> Body:
    calls = [item for item in answer["output"] if item["type"] == "function_call"]
    told = [
        {"type": "function_call_output", "call_id": call["call_id"], "output": result}
        for call, result in zip(calls, results, strict=True)
    ]
    asked: list[Body] = [{"role": "user", "content": "Hi"}]
    return {"input": asked + answer["output"] + told, "include": ["reasoning.encrypted_content"]}


def _gemini(answer: Body, results: list[str]) -> Body:
    content = answer["candidates"][0]["content"]
    calls = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
    told: list[Body] = [
        {"functionResponse": {"id": call.get("id"), "name": call["name"], "response": {"result": result}}}
        for call, result in zip(calls, results, strict=True)
    ]
    asked: Body = {"role": "user", "parts": [{"text": "Hi"}]}
    then: Body = {"role": "user", "parts": told or [{"text": "And?"}]}
    return {"contents": [asked, content, then]}


NEXT: dict[str, Callable[[Body, list[str]], Body]] = {
    "chat": _chat,
    "messages": _messages,
    "responses": _responses,
    "gemini": _gemini,
}
"""The body of the next request, as a client makes it of an answer and of what its tools gave."""


def known(name: str) -> tuple[Dialect, Can]:
    abilities = f"services.routing.tests.dialects.can_{name}"
    if find_spec(f"hive_routing.dialects.{name}") is None or find_spec(abilities) is None:
        pytest.skip(f"there is no dialect `{name}`")
    dialect: Dialect = import_module(f"hive_routing.dialects.{name}").dialect
    can: Can = import_module(abilities).CAN
    return dialect, can


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("client", CLIENTS)
@settings(few, max_examples=30)
@given(data=st.data())
def test_two_turns(client: str, provider: str, data: st.DataObject) -> None:
    own, _ = known(client)
    other, can = known(provider)
    answer = data.draw(answers(as_provider(can)))
    said = answer.choices[0].parts
    calls = [part for part in said if isinstance(part, Call)]
    body = NEXT[client](
        msgspec.json.decode(own.write_answer(answer, first(own))), [f"result {call.id}" for call in calls]
    )
    prompt = own.read_prompt(fields({"model": "bee"} | body))
    turns = prompt.turns
    back = [part for turn in turns if turn.role == "assistant" for part in turn.parts]

    assert "".join(part.text for part in back if isinstance(part, Text)) == "".join(
        part.text for part in said if isinstance(part, Text)
    )
    assert [called(part) for part in back if isinstance(part, Call)] == [called(part) for part in calls]
    assert thoughts(back, provider) == thoughts(said, provider)
    assert results(turns) == [(call.id, f"result {call.id}") for call in calls]
    prompt.tools = [Tool("look_up"), Tool("send")]
    other.write_prompt(prompt)


def as_provider(can: Can) -> Can:
    """Its answers when it is a provider: with its own seals alone, without what nobody of another dialect asks for."""
    return replace(
        can,
        answer_thinking=can.thinking,
        answer_call_seals=can.call_seals,
        answer_text_seals=NONE,
        answer_opaque=None,
        answer_media=None,
        answer_refusals=False,
        arguments=ARGUMENTS,
        logprobs=False,
    )


def first(own: Dialect) -> Prompt:
    """What the client asked at first."""
    bodies: dict[str, Body] = {
        "chat": {"messages": [{"role": "user", "content": "Hi"}]},
        "messages": {"max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}]},
        "responses": {"input": "Hi", "include": ["reasoning.encrypted_content"]},
        "gemini": {
            "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
            "generationConfig": {"thinkingConfig": {"includeThoughts": True}},
        },
    }
    return own.read_prompt(fields({"model": "bee"} | bodies[own.name]))


def fields(body: Body) -> dict[str, Raw]:
    return msgspec.json.decode(msgspec.json.encode(body), type=dict[str, Raw])


def called(call: Call) -> tuple[Any, ...]:
    return call.id, call.name, msgspec.json.decode(call.arguments), call.seal


def thoughts(parts: list[Any], provider: str) -> list[tuple[str, Any]]:
    """Those that the provider can verify."""
    thoughts = [(part.text, part.seal) for part in parts if isinstance(part, Thinking)]
    return [(text, seal) for text, seal in thoughts if seal is not None and seal.dialect == provider]


def results(turns: list[Turn]) -> list[tuple[str, str]]:
    parts = [part for turn in turns for part in turn.parts if isinstance(part, Result)]
    return [
        (part.call_id, "".join(each.text for each in part.parts if isinstance(each, Text))) for part in parts
    ]
