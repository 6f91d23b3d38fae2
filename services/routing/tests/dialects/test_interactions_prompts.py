"""Requests to the Interactions API: every form in which they may come, and what others get of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from google.genai import interactions
from msgspec import Raw

from hive_routing.dialects.form import (
    Call,
    Format,
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
from hive_routing.dialects.gemini import dialect as gemini
from hive_routing.dialects.interactions import dialect
from hive_routing.dialects.interactions.history import as_steps, history
from hive_runtime.errors import HiveError

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
RAW = Seal("interactions", "signature", "c2Vh/A==")
HI = {"type": "text", "text": "hi"}


def read(body: dict[str, Any]) -> Prompt:
    return dialect.read_prompt(msgspec.json.decode(msgspec.json.encode(body), type=dict[str, Raw]))


def read_turns(input: Any) -> list[Turn]:
    return read({"model": "bee", "input": input}).turns


@pytest.mark.parametrize(
    "input",
    [
        "hi",
        HI,
        [HI],
        {"type": "user_input", "content": [HI]},
        [{"type": "user_input", "content": [HI]}],
        [{"type": "user_input", "content": "hi"}],
        [{"role": "user", "content": "hi"}],
        [{"role": "user", "content": [HI]}],
    ],
)
def test_input_is_a_text_contents_steps_or_turns(input: Any) -> None:
    assert read_turns(input) == [Turn("user", [Text("hi")])]


def test_contents_next_to_each_other_are_one_turn() -> None:
    image = {"type": "image", "data": "_-8", "mime_type": "image/png"}
    assert read_turns([HI, image]) == [Turn("user", [Text("hi"), Media("image", "image/png", data="/+8=")])]


def test_steps_become_turns() -> None:
    steps = [
        {"type": "user_input", "content": [HI]},
        {"type": "thought", "signature": "c2Vh/A==", "summary": [{"type": "text", "text": "hm"}]},
        {"type": "model_output", "content": [{"type": "text", "text": "I look.", "annotations": []}]},
        {"type": "thought", "signature": "c2Vh/A=="},
        {"type": "function_call", "id": "x", "name": "f", "arguments": {"a": 1}},
        {"type": "function_call", "id": "y", "name": "g", "arguments": {}},
        {"type": "function_result", "call_id": "x", "name": "f", "result": {"sky": "clear"}},
        {"type": "function_result", "call_id": "y", "result": [HI], "is_error": True},
        {"type": "user_input", "content": [{"type": "text", "text": "go on"}]},
        {"type": "google_search_call", "id": "s", "arguments": {"queries": ["a"]}},
    ]
    assert read_turns(steps) == [
        Turn("user", [Text("hi")]),
        Turn(
            "assistant",
            [
                Thinking("hm", RAW, is_summary=True),
                Text("I look."),
                Call("x", "f", '{"a":1}', seal=RAW),
                Call("y", "g", "{}"),
            ],
        ),
        Turn(
            "tool",
            [
                Result("x", [Text('{"sky":"clear"}')], name="f"),
                Result("y", [Text("hi")], is_error=True),
            ],
        ),
        Turn("user", [Text("go on")]),
        Turn("assistant", [Opaque("interactions", "google_search_call", steps[-1])]),
    ]


def test_turns_of_the_older_schema() -> None:
    turns = [
        {"role": "user", "content": "hi"},
        {
            "role": "model",
            "content": [
                {"type": "thought", "signature": "c2Vh/A=="},
                {"type": "function_call", "id": "x", "name": "f", "arguments": {}},
            ],
        },
        {"role": "user", "content": [{"type": "function_result", "call_id": "x", "result": "sunny"}]},
    ]
    assert read_turns(turns) == [
        Turn("user", [Text("hi")]),
        Turn("assistant", [Call("x", "f", "{}", seal=RAW)]),
        Turn("tool", [Result("x", [Text("sunny")])]),
    ]


THOUGHT = {"type": "thought", "signature": "c2Vh/A=="}
CALL = {"type": "function_call", "id": "x", "name": "f", "arguments": {}}


@pytest.mark.parametrize(
    ("steps", "parts"),
    [
        ([THOUGHT, CALL], [Call("x", "f", "{}", seal=RAW)]),
        ([THOUGHT | {"summary": []}, CALL], [Thinking("", RAW, is_summary=True), Call("x", "f", "{}")]),
        ([THOUGHT], [Thinking("", RAW, is_summary=True)]),
        (
            [THOUGHT, {"type": "model_output", "content": [HI]}],
            [Thinking("", RAW, is_summary=True), Text("hi")],
        ),
        ([CALL | {"signature": "c2Vh/A=="}], [Call("x", "f", "{}", seal=RAW)]),
        ([{"type": "thought"}, CALL], [Call("x", "f", "{}")]),
    ],
)
def test_whose_a_signature_is(steps: list[Any], parts: list[Part]) -> None:
    assert read_turns(steps) == [Turn("assistant", parts)]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (
            {"type": "document", "uri": "https://a.example/b.pdf", "mime_type": "application/pdf"},
            Media("document", "application/pdf", url="https://a.example/b.pdf"),
        ),
        (
            {"type": "audio", "data": "AA==", "mime_type": "audio/wav"},
            Media("audio", "audio/wav", data="AA=="),
        ),
        (
            {"type": "video", "uri": "https://a.example/b.mp4", "name": "bee"},
            Media("video", url="https://a.example/b.mp4", name="bee"),
        ),
        (
            {"type": "image", "data": "AA==", "mime_type": "image/png", "resolution": "high"},
            Media("image", "image/png", data="AA==", detail="high"),
        ),
        (
            {"type": "image", "uri": "gs://a/b", "mime_type": "image/png"},
            Opaque("gemini", "fileData", {"fileData": {"mimeType": "image/png", "fileUri": "gs://a/b"}}),
        ),
    ],
)
def test_media(content: dict[str, Any], part: Part) -> None:
    assert read_turns(content) == [Turn("user", [part])]


def test_media_that_say_more_are_carried_along() -> None:
    close = {"type": "image", "data": "AA==", "mime_type": "image/png", "resolution": "ultra_high"}
    assert read_turns(close) == [Turn("user", [Opaque("interactions", "image", close)])]


def test_files_that_google_holds_go_to_google() -> None:
    prompt = read({"model": "bee", "input": {"type": "image", "uri": "gs://a/b", "mime_type": "image/png"}})
    assert gemini.write_prompt(prompt)["contents"] == [
        {"role": "user", "parts": [{"fileData": {"mimeType": "image/png", "fileUri": "gs://a/b"}}]}
    ]


def test_tools() -> None:
    tools = [
        {"type": "function", "name": "f", "description": "finds", "parameters": SCHEMA},
        {
            "type": "function",
            "name": "g",
            "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}},
        },
        {"type": "google_search"},
        {"type": "function", "name": "h", "defer_loading": True},
    ]
    prompt = read({"model": "bee", "input": "hi", "tools": tools})
    assert prompt.tools == [
        Tool("f", "finds", SCHEMA),
        Tool("g", schema={"type": "object", "properties": {"a": {"type": "string"}}}),
        Opaque("interactions", "google_search", {"type": "google_search"}),
        Opaque("interactions", "function", tools[3]),
    ]
    with pytest.raises(Untranslatable) as caught:
        gemini.write_prompt(prompt)
    assert caught.value.param == "tools[2]"


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        ("auto", ToolChoice("auto")),
        ("any", ToolChoice("required")),
        ("none", ToolChoice("none")),
        ("validated", ToolChoice("auto")),
        ({"allowed_tools": {"mode": "any", "tools": ["f"]}}, ToolChoice("named", ["f"])),
        ({"allowed_tools": {"mode": "any", "tools": ["f", "g"]}}, ToolChoice("required", ["f", "g"])),
        ({"allowed_tools": {"tools": ["f"]}}, ToolChoice("auto", ["f"])),
    ],
)
def test_choices_among_tools(said: Any, choice: ToolChoice) -> None:
    assert read({"input": "hi", "generation_config": {"tool_choice": said}}).choice == choice


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"temperature": 2, "top_p": 0.5, "seed": 7}, {"sampling": Sampling(2.0, 0.5, seed=7)}),
        ({"max_output_tokens": 64, "stop_sequences": ["a"]}, {"max_output": 64, "stop": ["a"]}),
        ({"thinking_level": "high"}, {"reasoning": Reasoning(effort="high")}),
        ({"thinking_summaries": "auto"}, {"reasoning": Reasoning(summary="auto", visible=True)}),
        ({"thinking_summaries": "none"}, {"reasoning": Reasoning(visible=False)}),
        ({"speech_config": {"voice": "a"}}, {"rest": {"generation_config.speech_config": {"voice": "a"}}}),
    ],
)
def test_generation_config(config: dict[str, Any], said: dict[str, Any]) -> None:
    expected = Prompt("interactions", turns=[Turn("user", [Text("hi")])], **said)
    assert read({"input": "hi", "generation_config": config}) == expected


@pytest.mark.parametrize(
    ("body", "format"),
    [
        ({"response_format": {"type": "text"}}, Format()),
        ({"response_format": {"type": "text", "mime_type": "application/json"}}, Format("json")),
        ({"response_format": {"type": "text", "schema": SCHEMA}}, Format("schema", schema=SCHEMA)),
        (
            {"response_format": [{"type": "text", "mime_type": "application/json", "schema": SCHEMA}]},
            Format("schema", schema=SCHEMA),
        ),
        (
            {"response_format": SCHEMA, "response_mime_type": "application/json"},
            Format("schema", schema=SCHEMA),
        ),
        ({"response_mime_type": "application/json"}, Format("json")),
    ],
)
def test_formats(body: dict[str, Any], format: Format) -> None:
    prompt = read({"input": "hi"} | body)
    assert prompt.format == format
    assert prompt.rest == {}


@pytest.mark.parametrize(
    "format",
    [{"type": "audio"}, [{"type": "text"}, {"type": "image"}], {"type": "text", "mime_type": "text/html"}],
)
def test_formats_that_have_no_place_are_kept(format: Any) -> None:
    assert read({"input": "hi", "response_format": format}).rest == {"response_format": format}


def test_the_rest() -> None:
    body = {
        "model": "models/bee",
        "input": "hi",
        "stream": True,
        "service_tier": "flex",
        "response_modalities": ["text"],
        "store": False,
        "agent_config": None,
        "labels": {"a": "b"},
        "previous_interaction_id": "v1_a",
    }
    assert read(body) == Prompt(
        "interactions",
        "bee",
        turns=[Turn("user", [Text("hi")])],
        stream=True,
        tier="flex",
        metadata={"a": "b"},
        rest={"store": False},
    )


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"model": "bee", "agent": "deep-research", "input": "hi"}, "agent"),
        ({"input": 3}, "input"),
        ({"input": [3]}, "input[0]"),
        ({"input": [{"type": "text", "text": 3}]}, "input[0].text"),
        ({"input": [{"type": "image"}]}, "input[0]"),
        ({"input": [{"role": "bee", "content": "hi"}]}, "input[0].role"),
        ({"input": [{"type": "function_call", "id": "x"}]}, "input[0].name"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].arguments"),
        ({"input": [{"type": "user_input", "content": [{"text": "hi"}]}]}, "input[0].content[0].type"),
        ({"input": "hi", "system_instruction": {}}, "system_instruction"),
        ({"input": "hi", "tools": [{}]}, "tools[0].type"),
        ({"input": "hi", "tools": [{"type": "function"}]}, "tools[0].name"),
        ({"input": "hi", "generation_config": {"seed": "x"}}, "generation_config.seed"),
        ({"input": "hi", "generation_config": {"thinking_level": "x"}}, "generation_config.thinking_level"),
        ({"input": "hi", "generation_config": {"tool_choice": "x"}}, "generation_config.tool_choice"),
        ({"input": "hi", "generation_config": {"tool_choice": 3}}, "generation_config.tool_choice"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(HiveError) as caught:
        read(body)
    assert caught.value.param == param


def test_input_may_be_absent_where_a_conversation_goes_on() -> None:
    assert read({"model": "bee", "previous_interaction_id": "v1_a"}).turns == []


# ---- what goes on from an earlier interaction


@pytest.mark.parametrize(
    ("input", "steps"),
    [
        (None, []),
        ("hi", [{"type": "user_input", "content": [HI]}]),
        (HI, [{"type": "user_input", "content": [HI]}]),
        ([HI, HI], [{"type": "user_input", "content": [HI, HI]}]),
        ([CALL, HI], [CALL, {"type": "user_input", "content": [HI]}]),
        ([{"role": "user", "content": "hi"}], [{"role": "user", "content": "hi"}]),
    ],
)
def test_any_input_as_steps(input: Any, steps: list[Any]) -> None:
    assert as_steps(input) == steps
    if input is not None:
        assert read_turns(steps) == read_turns(input)


def test_a_history_says_all_that_was_said() -> None:
    said = {"type": "model_output", "content": [{"type": "text", "text": "hello"}]}
    result = {"type": "function_result", "call_id": "x", "result": "sunny"}
    assert read_turns(history([("hi", [said]), ("weather?", [THOUGHT, CALL])], [result])) == [
        Turn("user", [Text("hi")]),
        Turn("assistant", [Text("hello")]),
        Turn("user", [Text("weather?")]),
        Turn("assistant", [Call("x", "f", "{}", seal=RAW)]),
        Turn("tool", [Result("x", [Text("sunny")])]),
    ]


# ---- what is written


def test_a_prompt_is_one_that_googles_sdk_knows() -> None:
    body = dialect.write_prompt(
        Prompt(
            "chat",
            "bee",
            turns=[
                Turn("system", [Text("be brief")]),
                Turn("user", [Text("hi"), Media("image", "image/png", data="AA==")]),
                Turn("assistant", [Thinking("hm", RAW), Text("so"), Call("x", "f", "{}")]),
                Turn(
                    "tool",
                    [Result("x", [Text("a"), Media("image", "image/png", data="AA==")], is_error=True)],
                ),
            ],
            tools=[Tool("f", "finds", SCHEMA)],
            choice=ToolChoice("named", ["f"]),
            reasoning=Reasoning(effort="max", visible=True),
            format=Format("schema", schema=SCHEMA),
            max_output=64,
            stream=True,
        )
    )
    parsed = interactions.CreateModelInteraction.model_validate(body)
    assert parsed.stream is True
    assert [step["type"] for step in body["input"]] == [
        "user_input",
        "thought",
        "model_output",
        "function_call",
        "function_result",
    ]
    assert body["generation_config"] == {
        "max_output_tokens": 64,
        "thinking_level": "xhigh",
        "thinking_summaries": "auto",
        "tool_choice": {"allowed_tools": {"mode": "any", "tools": ["f"]}},
    }


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ({"choices": 2}, "n"),
        ({"sampling": Sampling(top_k=3)}, "top_k"),
        ({"verbosity": "low"}, "verbosity"),
        ({"reasoning": Reasoning(is_off=True)}, "reasoning_effort"),
        ({"tools": [Opaque("messages", "web_search", {})]}, "tools[0]"),
        ({"rest": {"logit_bias": {"1": 2}}}, "logit_bias"),
        ({"turns": [Turn("user", [Opaque("messages", "search_result", {})])]}, "messages"),
        ({"turns": [Turn("user", [Media("image", file_id="file-1")])]}, "messages"),
    ],
)
def test_what_cannot_be_said(said: dict[str, Any], param: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        dialect.write_prompt(Prompt("chat", "bee", **said))
    assert caught.value.param == param
