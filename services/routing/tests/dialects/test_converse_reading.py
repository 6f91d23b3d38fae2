"""Bodies of Converse as prompts: what the form has a place for, what is carried along, and what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from hive_routing.dialects.converse import dialect
from hive_routing.dialects.form import (
    CacheMark,
    Call,
    Media,
    Opaque,
    Prompt,
    Reasoning,
    Result,
    Seal,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    Turn,
)
from hive_runtime.errors import HiveError, Kind
from services.routing.tests.dialects.converse_wire import check_body, fields, read, written

USED = {"toolUse": {"toolUseId": "t1", "name": "look_up", "input": {"b": 1, "a": [2.5]}}}
GIVEN = {"toolResult": {"toolUseId": "t1", "content": [{"json": {"sun": True}}], "status": "error"}}
POINT = {"cachePoint": {"type": "default"}}


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def test_results_of_tools_have_turns_of_their_own() -> None:
    messages = [user({"text": "Hi"}), assistant(USED), user(GIVEN, {"text": "So?"}, GIVEN), user(GIVEN)]
    result = Result("t1", [Text('{"sun":true}')], "look_up", is_error=True)
    assert read(messages=messages).turns == [
        Turn("user", [Text("Hi")]),
        Turn("assistant", [Call("t1", "look_up", '{"b":1,"a":[2.5]}')]),
        Turn("tool", [result]),
        Turn("user", [Text("So?")]),
        Turn("tool", [result, result]),
    ]


def test_cache_points_belong_to_what_stands_before_them() -> None:
    blocks: list[dict[str, Any]] = [
        POINT,
        {"text": "Hi"},
        POINT,
        POINT,
        {"reasoningContent": {"redactedContent": "YQ=="}},
        POINT,
    ]
    carried = Opaque("converse", "cachePoint", {"type": "default"})
    prompt = read(messages=[assistant(*blocks)], system=[{"text": "Be brief."}, POINT])
    assert prompt.turns == [
        Turn("system", [Text("Be brief.", CacheMark())]),
        Turn(
            "assistant",
            [
                carried,
                Text("Hi", CacheMark()),
                carried,
                Thinking("", Seal("converse", "redacted", "YQ==")),
                carried,
            ],
        ),
    ]
    assert written(prompt)["messages"] == [assistant(*blocks)]


@pytest.mark.parametrize(
    "block",
    [
        {"guardContent": {"text": {"text": "Hi"}}},
        {"toolUse": {"toolUseId": "t1", "name": "x", "input": {}, "type": "server_tool_use"}},
        {"toolResult": {"toolUseId": "t1", "content": [], "type": "nova_grounding_result"}},
        {"document": {"name": "a", "source": {"text": "Hi"}}},
        {
            "document": {
                "name": "a",
                "source": {"bytes": "YQ=="},
                "format": "pdf",
                "citations": {"enabled": True},
            }
        },
        {
            "image": {
                "format": "png",
                "source": {"s3Location": {"uri": "s3://bee/a", "bucketOwner": "123456789012"}},
            }
        },
        {"image": {"format": "tiff", "source": {"bytes": "YQ=="}}},
        {"citationsContent": {"content": [{"text": "Hi"}], "citations": []}},
        {"reasoningContent": {"summary": "hm"}},
        {"searchResult": {"source": "s", "title": "t", "content": [{"text": "Hi"}]}},
        {"newest": {"a": 1}},
    ],
)
def test_what_the_form_has_no_place_for_is_carried_along(block: dict[str, Any]) -> None:
    prompt = read(messages=[user({"text": "Hi"}, block)])
    (kind, value), *_ = block.items()
    assert prompt.turns == [Turn("user", [Text("Hi"), Opaque("converse", kind, value)])]
    assert written(prompt)["messages"] == [user({"text": "Hi"}, block)]


def test_media() -> None:
    prompt = read(
        messages=[
            user(
                {"image": {"format": "jpeg", "source": {"bytes": "YQ=="}}},
                {"video": {"format": "mov", "source": {"s3Location": {"uri": "s3://bee/a"}}}},
                {
                    "document": {
                        "format": "md",
                        "name": "document-3",
                        "source": {"bytes": "YQ=="},
                        "context": "c",
                    }
                },
            )
        ]
    )
    assert prompt.turns[0].parts == [
        Media("image", "image/jpeg", "YQ=="),
        Media("video", "video/quicktime", url="s3://bee/a"),
        Media("document", "text/markdown", "YQ==", context="c"),
    ]


def test_tools_and_the_choice_of_one() -> None:
    spec = {"name": "look_up", "inputSchema": {"json": {"type": "object"}}, "strict": True}
    tools = [{"toolSpec": spec}, POINT, {"systemTool": {"name": "nova_grounding"}}, POINT]
    prompt = read(toolConfig={"tools": tools, "toolChoice": {"tool": {"name": "look_up"}}})
    assert prompt.tools == [
        Tool("look_up", None, {"type": "object"}, strict=True, cache=CacheMark()),
        Opaque("converse", "systemTool", {"name": "nova_grounding"}),
        Opaque("converse", "cachePoint", {"type": "default"}),
    ]
    assert prompt.choice == ToolChoice("named", ["look_up"])
    assert written(prompt)["toolConfig"]["tools"] == tools


@pytest.mark.parametrize(
    ("fields", "reasoning", "rest"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, Reasoning(budget=2048), {}),
        (
            {"thinking": {"type": "adaptive", "display": "omitted"}},
            Reasoning(adaptive=True, visible=False),
            {},
        ),
        ({"thinking": {"type": "disabled"}, "x": 1}, Reasoning(is_off=True), {"x": 1}),
        (
            {"thinking": {"type": "newest"}, "top_k": "5"},
            Reasoning(),
            {"thinking": {"type": "newest"}, "top_k": "5"},
        ),
    ],
)
def test_fields_of_the_models_own(fields: dict[str, Any], reasoning: Reasoning, rest: dict[str, Any]) -> None:
    prompt = read(additionalModelRequestFields=fields)
    assert prompt.reasoning == reasoning
    assert prompt.rest == ({"additionalModelRequestFields": rest} if rest else {})
    assert written(prompt)["additionalModelRequestFields"] == fields


def test_a_body_with_all_there_is_comes_back_the_same() -> None:
    body = {
        "messages": [
            user({"text": "Hi"}, POINT),
            {"role": "system", "content": [{"toolAddition": {"tool": {"name": "look_up"}}}]},
            assistant({"reasoningContent": {"reasoningText": {"text": "hm", "signature": "Eq"}}}, USED),
            user({"toolResult": {"toolUseId": "t1", "content": [{"text": "sun"}], "status": "error"}}),
        ],
        "system": [{"text": "Be brief."}, {"guardContent": {"text": {"text": "x"}}}],
        "inferenceConfig": {"maxTokens": 9, "temperature": 1.0, "topP": 0.5, "stopSequences": ["."]},
        "toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}], "toolChoice": {"auto": {}}},
        "guardrailConfig": {"guardrailIdentifier": "g1", "guardrailVersion": "1"},
        "additionalModelRequestFields": {
            "thinking": {"type": "adaptive"},
            "anthropic_beta": ["b"],
            "top_k": 3,
        },
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
        "promptVariables": {"who": {"text": "Ann"}},
        "requestMetadata": {"team": "bees"},
        "performanceConfig": {"latency": "optimized"},
        "serviceTier": {"type": "default"},
        "outputConfig": {
            "effort": "max",
            "textFormat": {
                "type": "json_schema",
                "structure": {"jsonSchema": {"schema": '{"a":1}', "name": "n"}},
            },
        },
    }
    check_body(body)
    assert written(dialect.read_prompt(fields(body))) == body


def test_a_prompt_says_no_model_and_nothing_of_a_stream() -> None:
    prompt = Prompt("converse", "bee", [Turn("user", [Text("Hi")])], stream=True)
    assert written(prompt) == {"messages": [user({"text": "Hi"})]}


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"messages": {}}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"role": "bee", "content": []}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, "messages[0].content"),
        ({"messages": [user({"text": 1})]}, "messages[0].content[0].text"),
        ({"messages": [user({"text": "Hi"}, {"text": "a", "image": {}})]}, "messages[0].content[1]"),
        ({"messages": [user({"toolUse": {"name": "x"}})]}, "messages[0].content[0].toolUse"),
        ({"messages": [user({"toolResult": {"toolUseId": "x"}})]}, "messages[0].content[0].toolResult"),
        (
            {"messages": [user({"image": {"format": "png", "source": {"bytes": 1}}})]},
            "messages[0].content[0].image",
        ),
        ({"messages": [user({"cachePoint": {"type": "x"}})]}, "messages[0].content[0].cachePoint.type"),
        ({"system": "Be brief."}, "system"),
        ({"inferenceConfig": {"temperature": 2}}, "inferenceConfig.temperature"),
        ({"inferenceConfig": {"maxTokens": "9"}}, "inferenceConfig.maxTokens"),
        ({"toolConfig": {"tools": 1}}, "toolConfig.tools"),
        ({"toolConfig": {"tools": [], "toolChoice": {"none": {}}}}, "toolConfig"),
        ({"outputConfig": {"textFormat": {"type": "xml"}}}, "outputConfig.textFormat.type"),
        ({"requestMetadata": {"a": 1}}, "requestMetadata[...]"),
        ({"serviceTier": "flex"}, "serviceTier"),
    ],
)
def test_what_is_wrong_is_named(members: dict[str, Any], param: str) -> None:
    with pytest.raises(HiveError) as raised:
        read(**members)
    assert (raised.value.kind, raised.value.param) == (Kind.INVALID, param)
    assert f"`{param}` is wrong" in raised.value.message
