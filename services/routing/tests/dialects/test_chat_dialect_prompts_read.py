"""Prompts of chat completions: what clients of all kinds send is understood, and what is wrong is named."""

from __future__ import annotations

from typing import Any

import pytest

from hive_routing.dialects.chat import dialect
from hive_routing.dialects.form import (
    CacheMark,
    Call,
    Format,
    Media,
    Opaque,
    Part,
    Prompt,
    Reasoning,
    Refusal,
    Result,
    Sampling,
    Seal,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    Turn,
)
from hive_runtime.errors import HiveError, Kind
from services.routing.tests.dialects.chat_wire import checked_request, fields_of

USER = {"role": "user", "content": "Hi"}
WEATHER = {"type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'}}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
HEARD = Seal("chat", "reasoning_content", "")
"""Of what a model thought, as a provider of chat told it."""


def read(*messages: Any, **members: Any) -> Prompt:
    return dialect.read_prompt(fields_of({"model": "bee", "messages": messages or [USER], **members}))


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("Hi", [Text("Hi")]),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": ""}], [Text("a")]),
        (
            [{"type": "image_url", "image_url": {"url": "https://hive.example/photo.jpg", "detail": "low"}}],
            [Media("image", url="https://hive.example/photo.jpg", detail="low")],
        ),
        (
            [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGl2ZQ=="}}],
            [Media("image", "image/png", "aGl2ZQ==")],
        ),
        (
            [{"type": "image_url", "image_url": {"url": "data:application/pdf;base64,aGl2ZQ=="}}],
            [Media("document", "application/pdf", "aGl2ZQ==")],
        ),
        (
            [{"type": "image_url", "image_url": "https://hive.example/paper.PDF?page=2"}],
            [Media("document", "application/pdf", url="https://hive.example/paper.PDF?page=2")],
        ),
        (
            [
                {
                    "type": "file",
                    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGl2ZQ=="},
                }
            ],
            [Media("document", "application/pdf", "aGl2ZQ==", name="a.pdf")],
        ),
        (
            [{"type": "file", "file": {"filename": "a.txt", "file_data": "aGl2ZQ=="}}],
            [Media("document", "text/plain", "aGl2ZQ==", name="a.txt")],
        ),
        (
            [{"type": "file", "file": {"file_data": "https://hive.example/a"}}],
            [Media("document", url="https://hive.example/a")],
        ),
        ([{"type": "file", "file": {"file_id": "file-7"}}], [Media("document", file_id="file-7")]),
        (
            [{"type": "input_audio", "input_audio": {"data": "aGl2ZQ==", "format": "mp3"}}],
            [Media("audio", "audio/mpeg", "aGl2ZQ==")],
        ),
        (
            [{"type": "input_audio", "input_audio": {"data": "aGl2ZQ==", "format": "flac"}}],
            [Media("audio", "audio/flac", "aGl2ZQ==")],
        ),
        (
            [{"type": "video_url", "video_url": {"url": "https://hive.example/a.mp4"}}],
            [
                Opaque(
                    "chat",
                    "video_url",
                    {"type": "video_url", "video_url": {"url": "https://hive.example/a.mp4"}},
                )
            ],
        ),
        (
            [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
            [Text("a", CacheMark("1h"))],
        ),
        (
            [{"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}],
            [Text("a", CacheMark("1h"))],
        ),
        ([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}], [Text("a", CacheMark())]),
    ],
)
def test_the_parts_of_a_message(content: Any, parts: list[Part]) -> None:
    assert read({"role": "user", "content": content}).turns == [Turn("user", parts)]


def test_a_conversation_with_tools() -> None:
    prompt = read(
        {"role": "developer", "content": "Be brief.", "name": "app"},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "annotations": [],
            "audio": None,
            "function_call": None,
            "tool_calls": [{"id": "call_a", **WEATHER}, {"id": "call_b", **WEATHER}],
        },
        {"role": "tool", "tool_call_id": "call_b", "content": "sunny"},
        {"role": "tool", "tool_call_id": "call_a", "content": [{"type": "text", "text": "rain"}]},
        {"role": "assistant", "content": "Both."},
        tools=[
            {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA, "strict": True}}
        ],
    )
    assert prompt.turns == [
        Turn("system", [Text("Be brief.")], "app"),
        Turn("user", [Text("Weather?")]),
        Turn(
            "assistant",
            [
                Call("call_a", "get_weather", '{"city":"Rome"}'),
                Call("call_b", "get_weather", '{"city":"Rome"}'),
            ],
        ),
        Turn(
            "tool",
            [
                Result("call_b", [Text("sunny")], "get_weather"),
                Result("call_a", [Text("rain")], "get_weather"),
            ],
        ),
        Turn("assistant", [Text("Both.")]),
    ]
    assert prompt.tools == [Tool("get_weather", schema=SCHEMA, strict=True)]


def test_what_an_assistant_said_besides() -> None:
    turn = read(
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No"}], "reasoning_content": "Hm"},
        {"role": "assistant", "content": "a", "refusal": "No", "audio": {"id": "audio_1"}},
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}],
        },
    ).turns
    assert [each.parts for each in turn] == [
        [Thinking("Hm", HEARD), Refusal("No")],
        [Text("a"), Refusal("No"), Opaque("chat", "audio", {"id": "audio_1"})],
        [Thinking("Hm", Seal("chat", "thinking", ""))],
    ]


def test_messages_that_say_nothing_are_no_turns() -> None:
    assert read({"role": "system", "content": ""}, USER, {"role": "assistant", "content": None}).turns == [
        Turn("user", [Text("Hi")])
    ]


def test_a_mark_of_a_whole_message_stands_behind_it() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    turns = read(
        {"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], **mark},
        {"role": "assistant", "tool_calls": [{"id": "call_a", **WEATHER}]},
        {"role": "tool", "tool_call_id": "call_a", "content": "c", **mark},
        tools=[{"type": "function", "function": {"name": "t"}, **mark}],
    )
    assert turns.turns[0].parts == [Text("a"), Text("b", CacheMark())]
    assert turns.turns[2].parts == [Result("call_a", [Text("c")], "get_weather", cache=CacheMark())]
    assert turns.tools == [Tool("t", cache=CacheMark())]


def test_the_older_functions_are_tools() -> None:
    prompt = read(
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
        functions=[{"name": "f", "parameters": SCHEMA}],
        function_call={"name": "f"},
    )
    assert prompt.tools == [Tool("f", schema=SCHEMA)]
    assert prompt.choice == ToolChoice("named", ["f"], parallel=False)
    assert prompt.turns == [
        Turn("assistant", [Call("call_1", "f", "{}")]),
        Turn("tool", [Result("call_1", [Text("1")], "f")]),
    ]


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        ("none", ToolChoice("none")),
        ("auto", ToolChoice("auto")),
        ("any", ToolChoice("required")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("named", ["f"])),
        ({"type": "custom", "custom": {"name": "c"}}, ToolChoice("named", ["c"])),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [
                        {"type": "function", "function": {"name": "f"}},
                        {"type": "custom", "custom": {"name": "c"}},
                    ],
                },
            },
            ToolChoice("required", ["f", "c"]),
        ),
    ],
)
def test_choices_among_tools(said: Any, choice: ToolChoice) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}, {"type": "custom", "custom": {"name": "c"}}]
    prompt = read(tools=tools, tool_choice=said)
    assert prompt.choice == choice
    written = checked_request(dialect.write_prompt(prompt))
    assert written["tool_choice"] == ("required" if said == "any" else said)
    assert written["tools"] == tools


@pytest.mark.parametrize(
    ("members", "reasoning"),
    [
        ({"reasoning_effort": "high"}, Reasoning("high")),
        ({"reasoning_effort": "none"}, Reasoning("none", is_off=True)),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, Reasoning(budget=2048)),
        ({"thinking": {"type": "disabled"}}, Reasoning(is_off=True)),
        ({"thinking": {"type": "adaptive"}, "reasoning_effort": "max"}, Reasoning("max", adaptive=True)),
        ({"reasoning": {"effort": "low", "exclude": True}}, Reasoning("low", visible=False)),
        ({"reasoning": {"max_tokens": 900}}, Reasoning(budget=900)),
        ({"reasoning": {"enabled": False}}, Reasoning(is_off=True)),
    ],
)
def test_how_much_is_thought(members: Any, reasoning: Reasoning) -> None:
    prompt = read(**members)
    assert prompt.reasoning == reasoning
    assert not prompt.rest


def test_members_with_a_place_of_their_own() -> None:
    prompt = read(
        max_tokens=7,
        max_completion_tokens=9,
        stop="x",
        n=2,
        stream=True,
        stream_options={"include_usage": True, "include_obfuscation": False},
        presence_penalty=0,
        logprobs=False,
        verbosity="medium",
        modalities=["text"],
        temperature=None,
        seed=7,
        user="ann",
        metadata={"a": "b"},
        service_tier="flex",
        response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}},
    )
    assert prompt == Prompt(
        "chat",
        "bee",
        [Turn("user", [Text("Hi")])],
        max_output=9,
        stop=["x"],
        choices=2,
        stream=True,
        usage_asked=True,
        sampling=Sampling(seed=7),
        user="ann",
        metadata={"a": "b"},
        tier="flex",
        format=Format("schema", "s", SCHEMA),
    )


def test_what_has_no_place_is_kept() -> None:
    prompt = read(
        web_search_options={},
        modalities=["text", "audio"],
        audio={"voice": "alloy", "format": "wav"},
        response_format={"type": "grammar", "grammar": "…"},
        reasoning_effort="default",
        store=None,
    )
    assert prompt.rest == {
        "web_search_options": {},
        "modalities": ["text", "audio"],
        "audio": {"voice": "alloy", "format": "wav"},
        "response_format": {"type": "grammar", "grammar": "…"},
        "reasoning_effort": "default",
    }


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [USER, {"role": "user", "content": [{"text": "x"}]}]}, "messages[1].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}
                ]
            },
            "messages[0].content[0].image_url.url",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "bee.png"}}]}
                ]
            },
            "messages[0].content[0].image_url.url",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0].image_url",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
            "messages[0].content[0].file",
        ),
        (
            {"messages": [{"role": "tool", "tool_call_id": "call_x", "content": "x"}]},
            "messages[0].tool_call_id",
        ),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].name"),
        ({"messages": [{"role": "assistant", "tool_calls": [WEATHER]}]}, "messages[0].tool_calls[0].id"),
        ({"tools": [{"function": {"name": "f"}}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": "x"}}]},
            "tools[0].function.parameters",
        ),
        ({"tool_choice": "perhaps"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "function", "function": {}}}, "tool_choice.function.name"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"temperature": "hot"}, "temperature"),
        ({"stop": 7}, "stop"),
    ],
)
def test_what_cannot_be_read_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(HiveError) as raised:
        dialect.read_prompt(fields_of({"model": "bee", "messages": [USER], **body}))
    assert raised.value.kind is Kind.INVALID
    assert raised.value.param == param
