"""Prompts for providers of chat completions: they are what OpenAI takes, and what cannot be said is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given

from hive_routing.dialects.chat import dialect
from hive_routing.dialects.form import (
    CacheMark,
    Call,
    Media,
    Opaque,
    Part,
    Prompt,
    Reasoning,
    Result,
    Sampling,
    Seal,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    Turn,
    Untranslatable,
)
from services.routing.tests.dialects.can_chat import CAN
from services.routing.tests.dialects.chat_wire import checked_request
from services.routing.tests.dialects.conversations import NONE, few, prompts

USER = {"role": "user", "content": "Hi"}
HEARD = Seal("chat", "reasoning_content", "")
"""Of what a model thought, as a provider of chat told it."""


def foreign(*turns: Turn, **members: Any) -> dict[str, Any]:
    """What a provider is sent of another dialect's prompt."""
    prompt = Prompt("messages", "bee", list(turns) or [Turn("user", [Text("Hi")])], **members)
    return checked_request(dialect.write_prompt(prompt))


def said(*parts: Part) -> dict[str, Any]:
    """The message of the user with these parts, as a provider gets it."""
    message: dict[str, Any] = foreign(Turn("user", list(parts)))["messages"][0]
    return message


@few
@given(
    prompt=prompts(
        replace(CAN, opaque_parts={}, rest=NONE.map(lambda _: {}), samplings={**CAN.samplings, "top_k": NONE})
    )
)
def test_what_is_written_is_what_openais_sdk_sends(prompt: Prompt) -> None:
    if prompt.tier is not None:
        prompt.tier = "flex"
    checked_request(msgspec.json.decode(msgspec.json.encode(dialect.write_prompt(prompt))))


def test_of_other_dialects_texts_side_by_side_become_one() -> None:
    body = foreign(
        Turn("system", [Text("a", CacheMark()), Text("b")]),
        Turn("user", [Text("c"), Text("d")]),
        Turn("assistant", [Text("e"), Text("f"), Call("call_1", "t", "")]),
        Turn("tool", [Result("call_1", [Text("g"), Text("h")])]),
    )
    assert body["messages"] == [
        {"role": "system", "content": "a\n\nb"},
        {"role": "user", "content": "c\n\nd"},
        {
            "role": "assistant",
            "content": "ef",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "t", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "g\n\nh"},
    ]


def test_of_other_dialects_hints_are_left_out() -> None:
    body = foreign(
        user="ann",
        metadata={"a": "b"},
        tier="standard_only",
        rest={"store": True, "service_tier": "x", "gone": None},
        usage_asked=True,
    )
    assert body == {"model": "bee", "messages": [USER]}


def test_what_tools_show_follows_their_results() -> None:
    image = Media("image", "image/png", "aGl2ZQ==")
    body = foreign(
        Turn("assistant", [Call("call_1", "draw", "{}"), Call("call_2", "look", "{}")]),
        Turn("tool", [Result("call_1", [Text("done"), image], "draw"), Result("call_2", [], is_error=True)]),
        Turn("user", [Text("And?")]),
    )
    assert body["messages"][1:] == [
        {"role": "tool", "tool_call_id": "call_1", "content": "done"},
        {"role": "tool", "tool_call_id": "call_2", "content": "Error: "},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Result of `draw`:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGl2ZQ=="}},
            ],
        },
        {"role": "user", "content": "And?"},
    ]


def test_thoughts_go_back_to_who_told_them_only() -> None:
    body = foreign(
        Turn(
            "assistant",
            [
                Thinking("foreign", Seal("messages", "signature", "c2VhbA==")),
                Thinking("nobody's"),
                Thinking("told", HEARD),
                Call("call_1", "t", "{}", seal=Seal("gemini", "signature", "c2VhbA==")),
                Call("call_2", "t", "{}", seal=Seal("chat", "google", "c2VhbA==")),
            ],
        )
    )
    message = body["messages"][0]
    assert message["content"] is None
    assert message["reasoning_content"] == "told"
    assert "extra_content" not in message["tool_calls"][0]
    assert message["tool_calls"][1]["extra_content"] == {"google": {"thought_signature": "c2VhbA=="}}


@pytest.mark.parametrize(
    ("media", "block"),
    [
        (
            Media("document", "application/pdf", "aGl2ZQ=="),
            {
                "type": "file",
                "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,aGl2ZQ=="},
            },
        ),
        (
            Media("audio", "audio/x-wav", "aGl2ZQ=="),
            {"type": "input_audio", "input_audio": {"data": "aGl2ZQ==", "format": "wav"}},
        ),
    ],
)
def test_media_of_other_dialects(media: Media, block: Any) -> None:
    assert said(media)["content"] == [block]


def test_what_a_document_says_of_itself_stands_before_it() -> None:
    document = Media("document", file_id="file-7", context="A contract.")
    assert said(document)["content"] == [
        {"type": "text", "text": "A contract."},
        {"type": "file", "file": {"file_id": "file-7"}},
    ]


@pytest.mark.parametrize(
    ("reasoning", "model", "effort"),
    [
        (Reasoning(budget=1024), "bee", "low"),
        (Reasoning(budget=4096), "bee", "medium"),
        (Reasoning(budget=4097), "bee", "high"),
        (Reasoning("xhigh", budget=1), "bee", "xhigh"),
        (Reasoning(adaptive=True), "bee", None),
        (Reasoning(is_off=True), "gpt-5.1", "none"),
        (Reasoning(is_off=True), "gpt-4o", None),
    ],
)
def test_effort(reasoning: Reasoning, model: str, effort: str | None) -> None:
    prompt = Prompt("messages", model, [Turn("user", [Text("Hi")])], reasoning=reasoning)
    assert checked_request(dialect.write_prompt(prompt)).get("reasoning_effort") == effort


def test_some_tools_of_another_dialect_are_those_that_are_there() -> None:
    tools: list[Tool | Opaque] = [Tool("a"), Tool("b"), Tool("c")]
    body = foreign(tools=tools, choice=ToolChoice("required", ["a", "c"], parallel=False))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["a", "c"]
    assert body["tool_choice"] == "required"
    assert body["parallel_tool_calls"] is False


def test_without_tools_nothing_is_said_of_a_choice() -> None:
    assert foreign(choice=ToolChoice("auto", parallel=True)).keys() == {"model", "messages"}


IMAGE = Media("image", url="https://hive.example/bee.png")


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"tools": [Tool("a"), Opaque("messages", "web_search_20250305", {})]}, "tools[1]"),
        ({"sampling": Sampling(top_k=3)}, "top_k"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"rest": {"container": "c"}}, "container"),
        ({"turns": [Turn("user", [Opaque("messages", "search_result", {})])]}, "messages"),
        ({"turns": [Turn("user", [Media("video", "video/mp4", "AA==")])]}, "messages"),
        ({"turns": [Turn("user", [Media("audio", "audio/ogg", "AA==")])]}, "messages"),
        ({"turns": [Turn("user", [Media("image", file_id="file_1")])]}, "messages"),
        ({"turns": [Turn("user", [Media("document", url="https://hive.example/a.pdf")])]}, "messages"),
        ({"turns": [Turn("assistant", [IMAGE])]}, "messages"),
    ],
)
def test_what_chat_cannot_say_is_refused(changed: dict[str, Any], param: str) -> None:
    with pytest.raises(Untranslatable) as raised:
        foreign(*changed.pop("turns", ()), **changed)
    assert raised.value.param == param
    assert "OpenAI's chat completions" in raised.value.message
