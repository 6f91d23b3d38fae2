"""Requests to generateContent: what Google gets for what others say."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai import types

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
    Untranslatable,
)
from hive_routing.dialects.gemini import dialect

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OWN = Seal("gemini", "signature", "c2Vh/A==")
HI = {"role": "user", "parts": [{"text": "hi"}]}


def write(*turns: Turn, model: str = "gemini-3-pro-preview", **said: Any) -> dict[str, Any]:
    body = dialect.write_prompt(Prompt("chat", model, turns=list(turns), **said))
    valid(body)
    return body


def write_parts(*parts: Part, role: Any = "user", model: str = "") -> list[Any]:
    contents = write(Turn(role, list(parts)), model=model)["contents"]
    return [part for content in contents for part in content["parts"]]


def asked(**said: Any) -> dict[str, Any]:
    return write(Turn("user", [Text("hi")]), **said)


def valid(body: dict[str, Any]) -> None:
    """Google's SDK knows every member; it forbids others."""
    for content in body["contents"]:
        types.Content.model_validate(content)
        assert content["parts"]
    for tool in body.get("tools", ()):
        types.Tool.model_validate(tool)
    types.ToolConfig.model_validate(body.get("toolConfig", {}))
    types.GenerationConfig.model_validate(body.get("generationConfig", {}))
    if "systemInstruction" in body:
        types.Content.model_validate(body["systemInstruction"])


def test_a_whole_conversation() -> None:
    body = write(
        Turn("system", [Text("be brief", cache=CacheMark())]),
        Turn("user", [Text("weather?"), Media("image", "image/png", data="AA==")]),
        Turn(
            "assistant",
            [Thinking("hm", OWN), Text("let me see"), Call("x", "f", '{"city":"Rome"}', seal=OWN)],
        ),
        Turn("tool", [Result("x", [Text("sunny")])]),
        Turn("system", [Text("now in Latin")]),
        tools=[Tool("f", "finds", SCHEMA, strict=True)],
        choice=ToolChoice("auto"),
        user="me",
        metadata={"a": "b"},
        tier="priority",
        rest={"store": True, "logit_bias": None},
    )
    assert body == {
        "systemInstruction": {"parts": [{"text": "be brief"}, {"text": "now in Latin"}]},
        "contents": [
            {
                "role": "user",
                "parts": [{"text": "weather?"}, {"inlineData": {"mimeType": "image/png", "data": "AA=="}}],
            },
            {
                "role": "model",
                "parts": [
                    {"text": "hm", "thought": True, "thoughtSignature": "c2Vh/A=="},
                    {"text": "let me see"},
                    {
                        "functionCall": {"id": "x", "name": "f", "args": {"city": "Rome"}},
                        "thoughtSignature": "c2Vh/A==",
                    },
                ],
            },
            {
                "role": "user",
                "parts": [{"functionResponse": {"id": "x", "name": "f", "response": {"result": "sunny"}}}],
            },
        ],
        "tools": [
            {"functionDeclarations": [{"name": "f", "description": "finds", "parametersJsonSchema": SCHEMA}]}
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
    }


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (Text("a", seal=Seal("messages", "signature", "x")), [{"text": "a"}]),
        (Text("a", seal=OWN), [{"text": "a", "thoughtSignature": "c2Vh/A=="}]),
        (Refusal("no"), [{"text": "no"}]),
        (Call("", "f", " "), [{"functionCall": {"name": "f", "args": {}}}]),
        (
            Media("image", url="https://a.example/b.webp"),
            [{"fileData": {"mimeType": "image/webp", "fileUri": "https://a.example/b.webp"}}],
        ),
        (Media("image", url="https://a.example/b"), [{"fileData": {"fileUri": "https://a.example/b"}}]),
        (
            Media("document", "text/plain", data="AA==", name="a.txt", context="mine"),
            [{"text": "mine"}, {"inlineData": {"mimeType": "text/plain", "data": "AA=="}}],
        ),
    ],
)
def test_parts_for_google(part: Part, written: list[Any]) -> None:
    assert write_parts(part) == written


@pytest.mark.parametrize(
    "part",
    [
        Text(""),
        Thinking("hm"),
        Thinking("hm", Seal("messages", "signature", "x")),
        Thinking("", Seal("a", "b", "c")),
    ],
)
def test_parts_that_google_is_not_told(part: Part) -> None:
    assert write_parts(Text("a"), part) == [{"text": "a"}]


def test_signatures_of_texts_that_came_back_as_thoughts_are_joined_to_their_texts() -> None:
    behind: list[Part] = [Text("a"), Thinking("", OWN), Call("x", "f", "{}")]
    joined, call = write_parts(*behind, role="assistant")
    assert joined == {"text": "a", "thoughtSignature": "c2Vh/A=="}
    assert "functionCall" in call
    assert write_parts(Thinking("", OWN), Text("a"), role="assistant") == [
        {"text": "", "thoughtSignature": "c2Vh/A=="},
        {"text": "a"},
    ]


@pytest.mark.parametrize(
    ("parts", "is_error", "response"),
    [
        ([], False, {"result": ""}),
        ([Text("sunny")], False, {"result": "sunny"}),
        ([Text("sunny"), Text("warm")], False, {"results": ["sunny", "warm"]}),
        ([Text("no"), Text("map")], True, {"errors": ["no", "map"]}),
        ([Text("no")], True, {"error": "no"}),
        ([Text('{"a": 1}')], False, {"a": 1}),
        ([Text('{"error":"x"}')], False, {"result": '{"error":"x"}'}),
        ([Text('{"a":1}')], True, {"error": '{"a":1}'}),
        ([Text("[1]")], False, {"result": "[1]"}),
    ],
)
def test_results_are_objects(parts: list[Any], is_error: bool, response: Any) -> None:
    [written] = write_parts(Result("x", parts, name="f", is_error=is_error), role="tool")
    assert written["functionResponse"] == {"id": "x", "name": "f", "response": response}


IMAGE = Media("image", "image/png", data="AA==")
BLOB = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}


def test_images_are_a_part_of_results_where_the_model_takes_them_there() -> None:
    result = Result("x", [Text("a"), IMAGE], name="f")
    response = {"id": "x", "name": "f", "response": {"result": "a"}}
    assert write_parts(result, role="tool", model="gemini-3-flash") == [
        {"functionResponse": response | {"parts": [BLOB]}}
    ]
    assert write_parts(result, role="tool", model="gemini-2.5-pro") == [{"functionResponse": response}, BLOB]


@pytest.mark.parametrize(
    ("model", "excused"),
    [
        ("gemini-3-pro-preview", True),
        ("publishers/google/models/gemini-3.1-flash", True),
        ("gemini-flash-latest", True),
        ("gemini-2.5-pro", False),
        ("tuned-42", False),
    ],
)
def test_calls_of_other_models_are_excused_where_signatures_are_checked(model: str, excused: bool) -> None:
    foreign = Seal("responses", "encrypted", "x")
    first, second = write_parts(
        Call("x", "f", "{}", seal=foreign), Call("y", "f", "{}"), role="assistant", model=model
    )
    assert first.get("thoughtSignature") == ("skip_thought_signature_validator" if excused else None)
    assert "thoughtSignature" not in second


def test_signatures_stay_where_they_were() -> None:
    first, second = write_parts(
        Call("x", "f", "{}", seal=OWN), Call("y", "f", "{}"), role="assistant", model="gemini-3-pro"
    )
    assert first["thoughtSignature"] == "c2Vh/A=="
    assert "thoughtSignature" not in second


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        (ToolChoice(), None),
        (ToolChoice(parallel=True), None),
        (ToolChoice(parallel=False), None),
        (ToolChoice("auto"), {"mode": "AUTO"}),
        (ToolChoice("none", parallel=False), {"mode": "NONE"}),
        (ToolChoice("required"), {"mode": "ANY"}),
        (ToolChoice("named", ["f"]), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice("required", ["f", "g"]), {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}),
        (ToolChoice("auto", ["f"]), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
    ],
)
def test_choices_for_google(choice: ToolChoice, calling: Any) -> None:
    body = asked(tools=[Tool("f")], choice=choice)
    assert body.get("toolConfig", {}).get("functionCallingConfig") == calling


@pytest.mark.parametrize(
    ("model", "reasoning", "config"),
    [
        ("gemini-3-pro", Reasoning(effort="minimal"), {"thinkingLevel": "MINIMAL"}),
        ("gemini-3-pro", Reasoning(effort="high"), {"thinkingLevel": "HIGH"}),
        ("gemini-3-pro", Reasoning(effort="max"), {"thinkingLevel": "XHIGH"}),
        ("gemini-2.5-pro", Reasoning(effort="minimal"), {"thinkingBudget": 512}),
        ("gemini-2.5-pro", Reasoning(effort="low"), {"thinkingBudget": 1024}),
        ("gemini-2.5-pro", Reasoning(effort="medium"), {"thinkingBudget": 4096}),
        ("gemini-2.5-pro", Reasoning(effort="high"), {"thinkingBudget": 16384}),
        ("gemini-2.5-pro", Reasoning(effort="max"), {"thinkingBudget": 24576}),
        ("gemini-3-pro", Reasoning(effort="none"), {"thinkingBudget": 0}),
        ("gemini-3-pro", Reasoning(is_off=True), {"thinkingBudget": 0}),
        ("gemini-3-pro", Reasoning(budget=2000, effort="low"), {"thinkingBudget": 2000}),
        ("gemini-2.5-pro", Reasoning(budget=64000), {"thinkingBudget": 32768}),
        ("gemini-2.5-flash", Reasoning(budget=64000), {"thinkingBudget": 24576}),
        ("gemini-3-pro", Reasoning(adaptive=True), {"thinkingBudget": -1}),
        ("gemini-3-pro", Reasoning(adaptive=True, effort="low"), {"thinkingLevel": "LOW"}),
        ("gemini-3-pro", Reasoning(summary="auto"), {"includeThoughts": True}),
        ("gemini-3-pro", Reasoning(visible=False), {"includeThoughts": False}),
    ],
)
def test_thinking_for_google(model: str, reasoning: Reasoning, config: dict[str, Any]) -> None:
    assert asked(model=model, reasoning=reasoning)["generationConfig"] == {"thinkingConfig": config}


def test_generation_config_for_google() -> None:
    body = asked(
        sampling=Sampling(0.5, 0.9, 3, 2**40, 0.5, 0.25, {}, True, 2),
        max_output=100,
        stop=["a"],
        choices=2,
        format=Format("schema", "person", SCHEMA, True, "A person."),
        verbosity="medium",
    )
    assert body["generationConfig"] == {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 3,
        "candidateCount": 2,
        "maxOutputTokens": 100,
        "stopSequences": ["a"],
        "presencePenalty": 0.5,
        "frequencyPenalty": 0.25,
        "responseLogprobs": True,
        "logprobs": 2,
        "responseMimeType": "application/json",
        "responseJsonSchema": {"description": "A person.", **SCHEMA},
    }


def test_what_googles_other_dialect_says_goes_on() -> None:
    prompt = Prompt(
        "interactions",
        turns=[Turn("user", [Text("hi")])],
        tier="flex",
        rest={
            "cached_content": "cachedContents/x",
            "safety_settings": [{"type": "hate_speech", "threshold": "block_none"}],
            "store": False,
        },
    )
    assert dialect.write_prompt(prompt) == {
        "contents": [HI],
        "serviceTier": "flex",
        "cachedContent": "cachedContents/x",
        "safetySettings": [{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}],
    }
    prompt.rest = {"safety_settings": [{"type": "hate_speech", "threshold": "off", "method": "severity"}]}
    with pytest.raises(Untranslatable):
        dialect.write_prompt(prompt)


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ({"sampling": Sampling(temperature=2.5)}, "temperature"),
        ({"sampling": Sampling(logit_bias={"1": 2.0})}, "logit_bias"),
        ({"verbosity": "low"}, "verbosity"),
        ({"stop": list("abcdef")}, "stop"),
        ({"choices": 9}, "n"),
        ({"tools": [Tool("f"), Opaque("messages", "web_search", {})]}, "tools[1]"),
        ({"rest": {"modalities": ["audio"]}}, "modalities"),
        (
            {"model": "gemini-2.5-pro", "tools": [Tool("f")], "format": Format("json")},
            "response_format",
        ),
    ],
)
def test_what_google_cannot_be_asked(said: dict[str, Any], param: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        asked(**said)
    assert caught.value.param == param
    assert "generateContent" in str(caught.value)


@pytest.mark.parametrize(
    "part",
    [
        Media("image", file_id="file-1"),
        Media("image", data="AA=="),
        Opaque("messages", "search_result", {}),
        Call("x", "f", "[1]"),
        Call("x", "f", '{"cut'),
        Result("x", [Text("a")]),
        Result("x", [Opaque("messages", "search_result", {})], name="f"),
    ],
)
def test_parts_that_google_cannot_be_told(part: Part) -> None:
    with pytest.raises(Untranslatable):
        write(Turn("user", [part]))
