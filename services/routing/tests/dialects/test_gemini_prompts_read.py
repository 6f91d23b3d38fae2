"""Requests to generateContent: what clients may write."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
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
)
from hive_routing.dialects.gemini import dialect
from hive_runtime.errors import HiveError

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OWN = Seal("gemini", "signature", "c2Vh/A==")
HI = {"role": "user", "parts": [{"text": "hi"}]}


def read(body: dict[str, Any]) -> Prompt:
    return dialect.read_prompt(msgspec.json.decode(msgspec.json.encode(body), type=dict[str, Raw]))


def read_parts(*parts: Any, role: str = "user") -> list[Part]:
    prompt = read({"contents": [{"role": role, "parts": list(parts)}]})
    return [part for turn in prompt.turns for part in turn.parts]


@pytest.mark.parametrize(
    "contents",
    [
        "hi",
        HI,
        [HI],
        ["hi"],
        [{"parts": [{"text": "hi"}]}],
        {"parts": {"text": "hi"}},
        {"text": "hi"},
        [{"role": "user", "parts": ["hi", {"text": ""}]}],
    ],
)
def test_contents_are_a_list_an_object_or_a_text(contents: Any) -> None:
    assert read({"contents": contents}).turns == [Turn("user", [Text("hi")])]


@pytest.mark.parametrize("name", ["systemInstruction", "system_instruction"])
@pytest.mark.parametrize(
    "value", ["be brief", {"parts": [{"text": "be brief"}]}, {"role": "user", "parts": {"text": "be brief"}}]
)
def test_the_system_comes_first(name: str, value: Any) -> None:
    assert read({"contents": "hi", name: value}).turns[0] == Turn("system", [Text("be brief")])


PARTS: list[tuple[dict[str, Any], Part]] = [
    ({"text": "a"}, Text("a")),
    ({"text": "a", "thought": False}, Text("a")),
    ({"text": "a", "thoughtSignature": "c2Vh/A=="}, Text("a", seal=OWN)),
    ({"text": "", "thought_signature": "c2Vh/A=="}, Text("", seal=OWN)),
    ({"text": "a", "thought": True}, Thinking("a", is_summary=True)),
    ({"text": "a", "thought": True, "thoughtSignature": "c2Vh/A=="}, Thinking("a", OWN, is_summary=True)),
    (
        {"inlineData": {"mimeType": "image/png", "data": "/+8="}},
        Media("image", "image/png", data="/+8="),
    ),
    (
        {"inline_data": {"mime_type": "image/png", "data": "_-8"}},
        Media("image", "image/png", data="/+8="),
    ),
    (
        {"inlineData": {"mimeType": "application/pdf", "data": "AA==", "displayName": "a.pdf"}},
        Media("document", "application/pdf", data="AA==", name="a.pdf"),
    ),
    (
        {"inlineData": {"mimeType": "audio/wav", "data": "AA=="}},
        Media("audio", "audio/wav", data="AA=="),
    ),
    (
        {"file_data": {"mime_type": "video/mp4", "file_uri": "https://a.example/b"}},
        Media("video", "video/mp4", url="https://a.example/b"),
    ),
    (
        {"fileData": {"fileUri": "https://a.example/b.PNG?x=1"}},
        Media("image", url="https://a.example/b.PNG?x=1"),
    ),
    ({"fileData": {"fileUri": "https://youtu.be/x"}}, Media("video", url="https://youtu.be/x")),
    (
        {"functionCall": {"name": "f", "args": {"a": 1}, "id": "x"}, "thoughtSignature": "c2Vh/A=="},
        Call("x", "f", '{"a":1}', seal=OWN),
    ),
    ({"function_call": {"name": "f"}}, Call("call_1", "f", "{}")),
    (
        {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "skip_thought_signature_validator"},
        Call("call_1", "f", "{}"),
    ),
]


@pytest.mark.parametrize(("part", "read_as"), PARTS)
def test_parts(part: dict[str, Any], read_as: Part) -> None:
    assert read_parts(part, role="model") == [read_as]


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"executableCode": {"language": "PYTHON", "code": "1"}}, "executableCode"),
        ({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}, "codeExecutionResult"),
        ({"fileData": {"fileUri": "gs://a/b", "mimeType": "image/png"}}, "fileData"),
        ({"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a"}}, "fileData"),
        ({"fileData": {"fileUri": "https://a.example/b"}}, "fileData"),
        ({"text": "a", "videoMetadata": {"fps": 1}}, "text"),
        ({"inlineData": {"mimeType": "image/png", "data": "AA=="}, "thoughtSignature": "AA=="}, "inlineData"),
        ({"functionCall": {"name": "f", "partialArgs": []}}, "functionCall"),
        ({"functionResponse": {"name": "f", "response": {}, "scheduling": "SILENT"}}, "functionResponse"),
        ({"somethingNew": {"a_b": 1}}, "somethingNew"),
    ],
)
def test_what_has_no_place_is_carried_along_whole(part: dict[str, Any], kind: str) -> None:
    opaque = Opaque("gemini", kind, part)
    assert read_parts(part) == [opaque]
    assert dialect.write_prompt(Prompt("gemini", turns=[Turn("user", [opaque])]))["contents"][0]["parts"] == [
        part
    ]


RESPONSES: list[tuple[Any, list[str], bool]] = [
    ({"result": "sunny"}, ["sunny"], False),
    ({"output": "sunny"}, ["sunny"], False),
    ({"results": ["sunny", "warm"]}, ["sunny", "warm"], False),
    ({"error": "no city"}, ["no city"], True),
    ({"errors": ["no city", "no map"]}, ["no city", "no map"], True),
    ({"sky": "clear", "t": 3}, ['{"sky":"clear","t":3}'], False),
    ({"result": 3}, ['{"result":3}'], False),
    ({"result": ""}, [], False),
    ("sunny", ["sunny"], False),
]


@pytest.mark.parametrize(("response", "texts", "is_error"), RESPONSES)
def test_responses_of_functions(response: Any, texts: list[str], is_error: bool) -> None:
    part = {"functionResponse": {"id": "x", "name": "f", "response": response}}
    parts: list[Any] = [Text(text) for text in texts]
    prompt = read({"contents": [{"role": "function", "parts": [part]}]})
    assert prompt.turns == [Turn("tool", [Result("x", parts, name="f", is_error=is_error)])]


def test_responses_may_hold_media() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
    [result] = read_parts(
        {"functionResponse": {"id": "x", "name": "f", "response": {"result": "a"}, "parts": [image]}}
    )
    assert result == Result("x", [Text("a"), Media("image", "image/png", data="AA==")], name="f")


def test_responses_without_ids_belong_to_the_calls_of_their_names_in_order() -> None:
    def call(name: str) -> dict[str, Any]:
        return {"functionCall": {"name": name, "args": {}}}

    def response(name: str) -> dict[str, Any]:
        return {"functionResponse": {"name": name, "response": {"result": name}}}

    prompt = read(
        {
            "contents": [
                {"role": "model", "parts": [call("a"), call("b"), call("a")]},
                {"role": "user", "parts": [response("a"), response("a"), response("b"), {"text": "go on"}]},
                {"role": "model", "parts": [call("a")]},
                {"role": "user", "parts": [response("a")]},
                {"role": "user", "parts": [response("c")]},
            ]
        }
    )
    assert [turn.role for turn in prompt.turns] == ["assistant", "tool", "user", "assistant", "tool"]
    ids = [part.id for turn in prompt.turns for part in turn.parts if isinstance(part, Call)]
    answered = [part.call_id for turn in prompt.turns for part in turn.parts if isinstance(part, Result)]
    assert ids == ["call_1", "call_2", "call_3", "call_4"]
    assert answered == ["call_1", "call_3", "call_2", "call_4", "call_5"]


def test_made_up_ids_are_new() -> None:
    one, other = read_parts(
        {"functionCall": {"name": "f", "id": "call_1"}}, {"functionCall": {"name": "f"}}, role="model"
    )
    assert isinstance(one, Call)
    assert isinstance(other, Call)
    assert (one.id, other.id) == ("call_1", "call_2")


DECLARED = {"name": "f", "description": "finds"}


@pytest.mark.parametrize(
    ("declaration", "schema"),
    [
        ({}, None),
        ({"parametersJsonSchema": SCHEMA}, SCHEMA),
        ({"parameters_json_schema": SCHEMA}, SCHEMA),
        (
            {
                "parameters": {
                    "type": "OBJECT",
                    "properties": {"city": {"type": "STRING"}},
                    "required": ["city"],
                }
            },
            SCHEMA,
        ),
        (
            {
                "parameters": {
                    "type": "OBJECT",
                    "properties": {
                        "any_of": {"type": "STRING", "nullable": True, "enum": ["a"], "format": "enum"},
                        "list": {
                            "type": "ARRAY",
                            "min_items": "1",
                            "items": {"type": "INTEGER", "example": 3},
                        },
                        "either": {"anyOf": [{"type": "NUMBER"}, {"type": "BOOLEAN"}], "nullable": True},
                        "there": {"ref": "#/defs/place"},
                        "which": {"type": "INTEGER", "format": "enum", "enum": ["1", "2"]},
                    },
                    "propertyOrdering": ["list"],
                    "defs": {"place": {"type": "STRING"}},
                }
            },
            {
                "type": "object",
                "properties": {
                    "any_of": {"type": ["string", "null"], "enum": ["a", None]},
                    "list": {"type": "array", "minItems": 1, "items": {"type": "integer", "examples": [3]}},
                    "either": {"anyOf": [{"type": "number"}, {"type": "boolean"}, {"type": "null"}]},
                    "there": {"$ref": "#/$defs/place"},
                    "which": {"type": "integer", "enum": [1, 2]},
                },
                "$defs": {"place": {"type": "string"}},
            },
        ),
    ],
)
@pytest.mark.parametrize("name", ["functionDeclarations", "function_declarations"])
def test_functions(declaration: dict[str, Any], schema: Any, name: str) -> None:
    prompt = read({"contents": "hi", "tools": [{name: [DECLARED | declaration]}]})
    assert prompt.tools == [Tool("f", "finds", schema)]


def test_tools_of_googles_own_are_carried_along() -> None:
    with_response = DECLARED | {"response": {"type": "STRING"}}
    tools = [
        {"googleSearch": {}, "functionDeclarations": [DECLARED]},
        {"functionDeclarations": [with_response]},
    ]
    prompt = read({"contents": "hi", "tools": tools})
    assert prompt.tools == [
        Opaque("gemini", "googleSearch", {"googleSearch": {}}),
        Tool("f", "finds"),
        Opaque("gemini", "functionDeclarations", {"functionDeclarations": [with_response]}),
    ]
    written = dialect.write_prompt(prompt)["tools"]
    assert written == [{"googleSearch": {}}, {"functionDeclarations": [DECLARED]}, tools[1]]


@pytest.mark.parametrize(
    ("calling", "choice"),
    [
        ({"mode": "AUTO"}, ToolChoice("auto")),
        ({"mode": "any"}, ToolChoice("required")),
        ({"mode": "NONE"}, ToolChoice("none")),
        ({"mode": "MODE_UNSPECIFIED"}, ToolChoice()),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, ToolChoice("named", ["f"])),
        ({"mode": "ANY", "allowed_function_names": ["f", "g"]}, ToolChoice("required", ["f", "g"])),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, ToolChoice("auto", ["f"])),
    ],
)
def test_choices_among_tools(calling: dict[str, Any], choice: ToolChoice) -> None:
    assert read({"contents": "hi", "toolConfig": {"functionCallingConfig": calling}}).choice == choice
    assert read({"contents": "hi", "tool_config": {"function_calling_config": calling}}).choice == choice


CONFIGS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"temperature": 2, "topP": 0.5, "topK": 40.0}, {"sampling": Sampling(2.0, 0.5, 40)}),
    (
        {"seed": 7, "presencePenalty": 1, "frequencyPenalty": -1},
        {"sampling": Sampling(seed=7, presence_penalty=1.0, frequency_penalty=-1.0)},
    ),
    ({"responseLogprobs": True, "logprobs": 3}, {"sampling": Sampling(logprobs=True, top_logprobs=3)}),
    ({"candidateCount": 2}, {"choices": 2}),
    ({"maxOutputTokens": "64"}, {"max_output": 64}),
    ({"stopSequences": ["a", "b"]}, {"stop": ["a", "b"]}),
    ({"responseMimeType": "text/plain", "responseModalities": ["TEXT"]}, {}),
    ({"responseMimeType": "application/json"}, {"format": Format("json")}),
    (
        {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
        {"format": Format("schema", schema=SCHEMA)},
    ),
    (
        {"responseMimeType": "application/json", "responseSchema": {"type": "STRING", "enum": ["a"]}},
        {"format": Format("schema", schema={"type": "string", "enum": ["a"]})},
    ),
    (
        {"responseFormat": [{"text": {"mimeType": "APPLICATION_JSON", "schema": SCHEMA}}]},
        {"format": Format("schema", schema=SCHEMA)},
    ),
    ({"thinkingConfig": {"thinkingBudget": 0}}, {"reasoning": Reasoning(is_off=True)}),
    ({"thinkingConfig": {"thinkingBudget": -1}}, {"reasoning": Reasoning(adaptive=True)}),
    (
        {"thinkingConfig": {"thinkingBudget": 512, "includeThoughts": True}},
        {"reasoning": Reasoning(budget=512, visible=True)},
    ),
    ({"thinkingConfig": {"thinkingLevel": "low"}}, {"reasoning": Reasoning(effort="low")}),
    ({"thinkingConfig": {"thinkingLevel": "XHIGH"}}, {"reasoning": Reasoning(effort="xhigh")}),
]


def snake(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            "".join(f"_{c.lower()}" if c.isupper() else c for c in name): snake(each)
            for name, each in value.items()
        }
    return [snake(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("config", "said"), CONFIGS)
def test_generation_config(config: dict[str, Any], said: dict[str, Any]) -> None:
    expected = Prompt("gemini", turns=[Turn("user", [Text("hi")])], **said)
    assert read({"contents": "hi", "generationConfig": config}) == expected
    assert read({"contents": "hi", "generation_config": snake(config)}) == expected


def test_the_rest_is_kept_and_goes_back() -> None:
    body = {
        "contents": [HI],
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_LOW_AND_ABOVE"}],
        "labels": {"a_b": "c"},
        "cachedContent": "cachedContents/x",
        "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}, "retrievalConfig": {"languageCode": "en"}},
        "generationConfig": {
            "temperature": 1.0,
            "speechConfig": {"languageCode": "en-US"},
            "responseModalities": ["TEXT", "IMAGE"],
            "responseMimeType": "text/x.enum",
            "responseSchema": {"type": "STRING", "enum": ["a"]},
        },
        "serviceTier": "flex",
    }
    prompt = read(body)
    assert dialect.write_prompt(prompt) == body
    assert "generationConfig.speechConfig" in prompt.rest
    assert prompt.format == Format()


@pytest.mark.parametrize("threshold", ["OFF", "BLOCK_NONE"])
def test_that_nothing_is_filtered_is_no_more_than_others_do(threshold: str) -> None:
    settings = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": threshold}]
    assert read({"contents": "hi", "safetySettings": settings}).rest == {}


def test_labels_are_metadata() -> None:
    assert read({"contents": "hi", "labels": {"a_b": "c"}}).metadata == {"a_b": "c"}


def test_a_model_and_a_stream_may_stand_in_the_body() -> None:
    prompt = read({"model": "models/gemini-2.5-pro", "stream": True, "contents": "hi"})
    assert (prompt.model, prompt.stream) == ("gemini-2.5-pro", True)
    assert dialect.write_prompt(prompt) == {"contents": [HI]}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "contents"),
        ({"contents": 3}, "contents[0]"),
        ({"contents": [{"role": "bee", "parts": []}]}, "contents[0].role"),
        ({"contents": [{"parts": [{"text": 3}]}]}, "contents[0].parts[0].text"),
        ({"contents": [{"parts": [3]}]}, "contents[0].parts[0]"),
        ({"contents": [{"parts": [{"functionCall": {}}]}]}, "contents[0].parts[0].functionCall.name"),
        (
            {"contents": [{"parts": [{"functionCall": {"name": "f", "args": 3}}]}]},
            "contents[0].parts[0].functionCall.args",
        ),
        (
            {"contents": [{"parts": [{"functionResponse": {"response": {}}}]}]},
            "contents[0].parts[0].functionResponse.name",
        ),
        ({"contents": "hi", "tools": 3}, "tools[0]"),
        (
            {"contents": "hi", "tools": [{"functionDeclarations": [{}]}]},
            "tools[0].functionDeclarations[0].name",
        ),
        (
            {
                "contents": "hi",
                "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": 3}}]}],
            },
            "tools[0].functionDeclarations[0].parameters.type",
        ),
        ({"contents": "hi", "generationConfig": {"topP": "x"}}, "generationConfig.topP"),
        (
            {"contents": "hi", "generationConfig": {"stopSequences": ["a", 3]}},
            "generationConfig.stopSequences[1]",
        ),
        ({"contents": "hi", "generationConfig": {"candidateCount": 0}}, "generationConfig.candidateCount"),
        (
            {"contents": "hi", "generationConfig": {"thinkingConfig": {"thinkingBudget": "x"}}},
            "generationConfig.thinkingConfig.thinkingBudget",
        ),
        ({"contents": "hi", "toolConfig": {"functionCallingConfig": 3}}, "toolConfig.functionCallingConfig"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(HiveError) as caught:
        read(body)
    assert caught.value.param == param
    assert f"`{param}`" in str(caught.value)
