"""Prompts in OpenAI's responses: what a client says is read, and what a provider is asked is what its SDK knows."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import ResponseInputItemParam, ToolParam
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from pydantic import TypeAdapter

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
from hive_routing.dialects.port import refuse_rest
from hive_routing.dialects.responses import dialect
from hive_routing.dialects.seals import packed, sealed_id
from hive_runtime.errors import HiveError, Kind
from services.routing.tests.dialects.responses_wire import fields, read, written

BODY: TypeAdapter[Any] = TypeAdapter(ResponseCreateParamsBase)
ITEM: TypeAdapter[Any] = TypeAdapter(ResponseInputItemParam)
TOOL: TypeAdapter[Any] = TypeAdapter(ToolParam)

GEMINI = Seal("gemini", "signature", "c2VhbA==")
OWN = Seal("responses", "encrypted", "gAAA")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"a":1}'}


def turns(*items: dict[str, Any]) -> list[Turn]:
    return read(input=list(items)).turns


def said(*content: dict[str, Any]) -> list[Part]:
    return turns({"role": "user", "content": list(content)})[0].parts


def asked(*parts: Part, **members: Any) -> Prompt:
    """What a client of another dialect asks."""
    return Prompt("messages", "gpt-4.1", [Turn("user", [Text("Hello"), *parts])], **members)


# ---- read


@pytest.mark.parametrize(
    ("item", "turn"),
    [
        ({"role": "user", "content": "Hi"}, Turn("user", [Text("Hi")])),
        (
            {"type": "message", "role": "developer", "content": "Be brief."},
            Turn("system", [Text("Be brief.")]),
        ),
        (
            {
                "role": "system",
                "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}],
            },
            Turn("system", [Text("a"), Text("b")]),
        ),
        ({"role": "assistant", "content": "Yes."}, Turn("assistant", [Text("Yes.")])),
        (
            {
                "type": "message",
                "id": "msg_1",
                "status": "completed",
                "phase": "final_answer",
                "role": "assistant",
                "content": [
                    {"type": "output_text", "text": "Yes", "annotations": [], "logprobs": []},
                    {"type": "output_text", "text": "", "annotations": []},
                    {"type": "refusal", "refusal": "No"},
                ],
            },
            Turn("assistant", [Text("Yes"), Refusal("No")]),
        ),
        (CALL, Turn("assistant", [Call("call_1", "f", '{"a":1}')])),
        (
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
                "encrypted_content": "gAAA",
            },
            Turn("assistant", [Thinking("a\n\nb", OWN, is_summary=True, id="rs_1")]),
        ),
        (
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "b"}],
                "content": [{"type": "reasoning_text", "text": "a"}],
                "encrypted_content": "gAAA",
            },
            Turn("assistant", [Thinking("a", id="rs_1"), Thinking("b", OWN, is_summary=True, id="rs_1")]),
        ),
        (
            {"type": "reasoning", "summary": [], "encrypted_content": packed(GEMINI, "responses")},
            Turn("assistant", [Thinking(seal=GEMINI)]),
        ),
        (
            {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aGl2ZQ=="},
            Turn("assistant", [Media("image", "image/png", "aGl2ZQ==")]),
        ),
    ],
)
def test_an_item_is_a_turn(item: dict[str, Any], turn: Turn) -> None:
    assert turns(item) == [turn]


@pytest.mark.parametrize(
    ("item", "role", "kind"),
    [
        ({"type": "item_reference", "id": "msg_1"}, "assistant", "item_reference"),
        ({"id": "msg_1"}, "assistant", "item_reference"),
        ({"type": "compaction", "encrypted_content": "x"}, "assistant", "compaction"),
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "n", "input": "x"},
            "assistant",
            "custom_tool_call",
        ),
        (
            {"type": "custom_tool_call_output", "call_id": "c", "output": "x"},
            "tool",
            "custom_tool_call_output",
        ),
        (CALL | {"namespace": "n"}, "assistant", "function_call"),
        (CALL | {"caller": {"type": "program", "caller_id": "p"}}, "assistant", "function_call"),
        ({"type": "web_search_call", "id": "ws_1", "status": "completed"}, "assistant", "web_search_call"),
        (
            {"type": "image_generation_call", "id": "ig_1", "result": None},
            "assistant",
            "image_generation_call",
        ),
        (
            {"role": "assistant", "content": [{"type": "output_audio", "data": "x"}]},
            "assistant",
            "message",
        ),
    ],
)
def test_an_item_that_the_form_does_not_have_is_carried_along_and_goes_back_as_it_was(
    item: dict[str, Any], role: Any, kind: str
) -> None:
    prompt = read(input=[item])
    assert prompt.turns == [Turn(role, [Opaque("responses", kind, item)])]
    assert written(prompt)["input"] == [item]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"type": "input_text", "text": "Hi"}, Text("Hi")),
        (
            {"type": "input_text", "text": "Hi", "prompt_cache_breakpoint": {"mode": "explicit"}},
            Text("Hi", cache=CacheMark()),
        ),
        (
            {
                "type": "input_text",
                "text": "Hi",
                "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"},
            },
            Text("Hi", cache=CacheMark("1h")),
        ),
        (
            {"type": "input_image", "image_url": "data:image/jpeg;base64,aGl2ZQ==", "detail": "auto"},
            Media("image", "image/jpeg", "aGl2ZQ=="),
        ),
        (
            {"type": "input_image", "image_url": "https://hive.example/a.png", "detail": "high"},
            Media("image", url="https://hive.example/a.png", detail="high"),
        ),
        (
            {"type": "input_image", "file_id": "file-1", "detail": "low"},
            Media("image", file_id="file-1", detail="low"),
        ),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGl2ZQ=="},
            Media("document", "application/pdf", "aGl2ZQ==", name="a.pdf"),
        ),
        (
            {"type": "input_file", "filename": "A.PDF", "file_data": "aGl2ZQ=="},
            Media("document", "application/pdf", "aGl2ZQ==", name="A.PDF"),
        ),
        (
            {"type": "input_file", "file_url": "https://hive.example/a.pdf"},
            Media("document", url="https://hive.example/a.pdf"),
        ),
        ({"type": "input_file", "file_id": "file-1"}, Media("document", file_id="file-1")),
        (
            {"type": "input_audio", "input_audio": {"data": "aGl2ZQ==", "format": "wav"}},
            Media("audio", "audio/wav", "aGl2ZQ=="),
        ),
        (
            {"type": "input_video", "url": "x"},
            Opaque("responses", "input_video", {"type": "input_video", "url": "x"}),
        ),
    ],
)
def test_a_part_of_a_message(content: dict[str, Any], part: Part) -> None:
    assert said(content) == [part]


def test_what_belongs_together_shares_a_turn() -> None:
    second = CALL | {"call_id": "call_2", "name": "g"}
    found = turns(
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        {"role": "assistant", "content": "c"},
        CALL,
        second,
        {"type": "function_call_output", "call_id": "call_1", "output": "d"},
        {
            "type": "function_call_output",
            "call_id": "call_2",
            "output": [
                {"type": "input_text", "text": "e"},
                {"type": "input_image", "image_url": "https://hive.example/a.png"},
            ],
        },
        {"role": "assistant", "content": "f"},
    )
    assert found == [
        Turn("user", [Text("a")]),
        Turn("user", [Text("b")]),
        Turn(
            "assistant",
            [
                Thinking(seal=OWN, id="rs_1"),
                Text("c"),
                Call("call_1", "f", '{"a":1}'),
                Call("call_2", "g", '{"a":1}'),
            ],
        ),
        Turn(
            "tool",
            [
                Result("call_1", [Text("d")], name="f"),
                Result("call_2", [Text("e"), Media("image", url="https://hive.example/a.png")], name="g"),
            ],
        ),
        Turn("assistant", [Text("f")]),
    ]


def test_the_seal_of_a_call_comes_back_in_its_id() -> None:
    id = sealed_id("call_1", GEMINI)
    found = turns(CALL | {"call_id": id}, {"type": "function_call_output", "call_id": id, "output": ""})
    assert found[0].parts == [Call("call_1", "f", '{"a":1}', seal=GEMINI)]
    assert found[1].parts == [Result("call_1", [], name="f")]


def test_instructions_and_a_string_are_two_turns() -> None:
    prompt = read(instructions="Be brief.", input="Hi")
    assert prompt.turns == [Turn("system", [Text("Be brief.")]), Turn("user", [Text("Hi")])]
    assert written(prompt)["instructions"] == "Be brief."
    assert written(prompt)["input"] == [{"type": "message", "role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"temperature": 2, "top_p": 0.5}, {"sampling": Sampling(2.0, 0.5)}),
        ({"include": ["message.output_text.logprobs"]}, {"sampling": Sampling(logprobs=True)}),
        ({"top_logprobs": 3}, {"sampling": Sampling(logprobs=True, top_logprobs=3)}),
        ({"top_logprobs": 0}, {}),
        ({"max_output_tokens": 20}, {"max_output": 20}),
        ({"stream": True}, {"stream": True}),
        ({"user": "u", "metadata": {"a": "b"}}, {"user": "u", "metadata": {"a": "b"}}),
        ({"service_tier": "flex"}, {"tier": "flex"}),
        ({"text": {"verbosity": "low"}}, {"verbosity": "low"}),
        ({"text": {"format": {"type": "text"}}}, {}),
        ({"text": {"format": {"type": "json_object"}}}, {"format": Format("json")}),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}}},
            {"format": Format("schema", "n", SCHEMA, True)},
        ),
        ({"text": {"format": {"type": "grammar"}}}, {"rest": {"text": {"format": {"type": "grammar"}}}}),
        (
            {"reasoning": {"effort": "xhigh", "summary": "auto"}},
            {"reasoning": Reasoning("xhigh", summary="auto")},
        ),
        ({"reasoning": {"effort": "none"}}, {"reasoning": Reasoning("none", is_off=True)}),
        ({"reasoning": {"generate_summary": "concise"}}, {"reasoning": Reasoning(summary="concise")}),
        ({"reasoning": {"mode": "standard", "context": "auto"}}, {}),
        ({"reasoning": {"mode": "pro"}}, {"rest": {"reasoning": {"mode": "pro"}}}),
        ({"tool_choice": "none"}, {"choice": ToolChoice("none")}),
        (
            {"tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": False},
            {"choice": ToolChoice("named", ["f"], False)},
        ),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "required",
                    "tools": [{"type": "function", "name": "f"}, {"type": "function", "name": "g"}],
                }
            },
            {"choice": ToolChoice("required", ["f", "g"])},
        ),
        ({"tool_choice": {"type": "file_search"}}, {"rest": {"tool_choice": {"type": "file_search"}}}),
        ({"include": ["reasoning.encrypted_content"], "truncation": None}, {}),
        (
            {"include": ["file_search_call.results"], "truncation": "auto", "store": False},
            {"rest": {"include": ["file_search_call.results"], "truncation": "auto", "store": False}},
        ),
        (
            {
                "tools": [
                    {
                        "type": "function",
                        "name": "f",
                        "description": "d",
                        "parameters": SCHEMA,
                        "strict": None,
                    }
                ]
            },
            {"tools": [Tool("f", "d", SCHEMA)]},
        ),
        (
            {"tools": [{"type": "function", "name": "f", "strict": True, "allowed_callers": ["direct"]}]},
            {"tools": [Tool("f", strict=True)]},
        ),
        (
            {"tools": [{"type": "function", "name": "f", "defer_loading": True}]},
            {
                "tools": [
                    Opaque("responses", "function", {"type": "function", "name": "f", "defer_loading": True})
                ]
            },
        ),
        (
            {"tools": [{"type": "web_search"}]},
            {"tools": [Opaque("responses", "web_search", {"type": "web_search"})]},
        ),
    ],
)
def test_members(members: dict[str, Any], expected: dict[str, Any]) -> None:
    assert read(**members) == Prompt("responses", "bee", [Turn("user", [Text("Hello")])], **expected)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"input": None}, "input"),
        ({"input": 3}, "input"),
        ({"input": ["Hi"]}, "input[0]"),
        ({"input": [{"role": "user"}]}, "input[0]"),
        ({"input": [{"role": "bee", "content": ""}]}, "input[0].role"),
        ({"input": [{"type": 3, "role": "user", "content": ""}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"text": "Hi"}]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0]"),
        ({"input": [CALL | {"arguments": {}}]}, "input[0].arguments"),
        ({"input": [CALL, {"type": "function_call_output", "call_id": "call_1"}]}, "input[1]"),
        (
            {"input": [CALL, {"type": "function_call_output", "call_id": "call_1", "output": [{}]}]},
            "input[1].output[0]",
        ),
        (
            {"input": [CALL, {"type": "function_call_output", "call_id": "call_2", "output": ""}]},
            "input[1].call_id",
        ),
        ({"instructions": 3}, "instructions"),
        ({"temperature": 2.1}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"metadata": {"a": 1}}, "metadata[...]"),
        ({"tools": [{"name": "f"}]}, "tools[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice"),
        ({"text": {"verbosity": "loud"}}, "text.verbosity"),
        ({"text": {"format": {}}}, "text.format"),
        ({"reasoning": {"effort": "much"}}, "reasoning.effort"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_what_is_wrong_is_named(members: dict[str, Any], param: str) -> None:
    with pytest.raises(HiveError) as refused:
        read(**members)
    assert refused.value.kind is Kind.INVALID
    assert refused.value.param == param
    assert f"`{param}`" in refused.value.message or "call_id `call_2`" in refused.value.message


@pytest.mark.parametrize(
    "other", [{"previous_response_id": "resp_1"}, {"conversation": "conv_1"}, {"prompt": {"id": "p"}}]
)
def test_what_is_kept_elsewhere_may_be_missing(other: dict[str, Any]) -> None:
    output = {"type": "function_call_output", "call_id": "call_9", "output": "x"}
    assert read(input=[output], **other).turns == [Turn("tool", [Result("call_9", [Text("x")])])]
    assert read(input=None, **other).turns == []


def test_an_output_may_answer_a_call_that_is_only_referred_to() -> None:
    output = {"type": "function_call_output", "call_id": "call_9", "output": "x"}
    assert len(turns({"type": "item_reference", "id": "fc_9"}, output)) == 2


def test_what_the_gateway_acts_on_is_no_obstacle_for_other_dialects() -> None:
    hints = {
        "background": True,
        "store": False,
        "truncation": "auto",
        "include": ["file_search_call.results"],
    }
    refuse_rest(read(**hints, previous_response_id="resp_1"), "messages")
    with pytest.raises(Untranslatable) as refused:
        refuse_rest(read(moderation={"model": "m"}), "messages")
    assert refused.value.param == "moderation"


# ---- written


@pytest.mark.parametrize(
    ("part", "content"),
    [
        (
            Media("image", "image/png", "aGl2ZQ=="),
            {"image_url": "data:image/png;base64,aGl2ZQ==", "detail": "auto"},
        ),
        (Media("image", url="https://a", detail="low"), {"image_url": "https://a", "detail": "low"}),
        (
            Media("document", "application/pdf", "aGl2ZQ=="),
            {"filename": "document.pdf", "file_data": "data:application/pdf;base64,aGl2ZQ=="},
        ),
        (
            Media("document", "text/plain", "aGl2ZQ==", name="a b"),
            {"filename": "a b", "file_data": "data:text/plain;base64,aGl2ZQ=="},
        ),
        (Media("document", url="https://a"), {"file_url": "https://a"}),
        (Text("a", cache=CacheMark("1h")), {"text": "a"}),
    ],
)
def test_what_another_dialect_says_to_a_model(part: Part, content: dict[str, Any]) -> None:
    body = written(asked(part))
    kind = {"image_url": "input_image", "text": "input_text"}.get(next(iter(content)), "input_file")
    assert body["input"][0]["content"][1] == {"type": kind, **content}
    valid(body)


def test_a_conversation_of_another_dialect() -> None:
    long = "toolu_" + "x" * 80
    prompt = asked(
        tools=[Tool("f", None, SCHEMA), Tool("g", "d", None, True)],
        choice=ToolChoice("auto", ["f"], False),
        format=Format("schema", None, SCHEMA),
        reasoning=Reasoning(budget=4096, visible=True),
        max_output=100,
        stream=True,
        user="u",
        tier="standard_only",
        sampling=Sampling(temperature=0.5, seed=3, presence_penalty=0, logprobs=False),
    )
    prompt.turns.insert(0, Turn("system", [Text("Be brief.")]))
    prompt.turns += [
        Turn(
            "assistant",
            [
                Thinking("mine", OWN),
                Thinking("foreign", GEMINI),
                Text("a"),
                Refusal("b"),
                Call("call_1", "f", "", seal=GEMINI),
                Call(long, "g", '{"a":1}'),
            ],
        ),
        Turn(
            "tool",
            [
                Result("call_1", [Text("c")], is_error=True),
                Result(long, [Media("image", url="https://a")], is_error=True),
            ],
        ),
        Turn("system", [Text("d")]),
        Turn("assistant", [Text("e"), Thinking(seal=OWN)]),
    ]
    body = written(prompt)
    short = body["input"][5]["call_id"]
    assert short == body["input"][7]["call_id"] and len(short) <= 64
    assert body == {
        "model": "gpt-4.1",
        "instructions": "Be brief.",
        "input": [
            {"type": "message", "role": "user", "content": "Hello"},
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "mine"}],
                "encrypted_content": "gAAA",
            },
            {"type": "message", "role": "assistant", "content": "a"},
            {
                "type": "message",
                "id": "msg_1_3",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "refusal", "refusal": "b"}],
            },
            {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
            {"type": "function_call", "call_id": short, "name": "g", "arguments": '{"a":1}'},
            {"type": "function_call_output", "call_id": "call_1", "output": "Error: c"},
            {
                "type": "function_call_output",
                "call_id": short,
                "output": [
                    {"type": "input_text", "text": "Error"},
                    {"type": "input_image", "detail": "auto", "image_url": "https://a"},
                ],
            },
            {"type": "message", "role": "system", "content": "d"},
            {"type": "message", "role": "assistant", "content": "e"},
        ],
        "tools": [
            # unless it says so, a function is strict here
            {"type": "function", "name": "f", "parameters": SCHEMA, "strict": False},
            {"type": "function", "name": "g", "parameters": None, "strict": True, "description": "d"},
        ],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "f"}],
        },
        "parallel_tool_calls": False,
        "text": {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA}},
        "reasoning": {"effort": "medium", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "temperature": 0.5,
        "max_output_tokens": 100,
        "user": "u",
        "stream": True,
        "store": False,
    }
    valid(body)


def valid(body: dict[str, Any]) -> None:
    """It is as the SDK's types say; the API does without the id of a reasoning item, unlike these."""
    stated = {name: value for name, value in body.items() if name not in ("input", "tools", "stream")}
    BODY.validate_python(stated, strict=True)
    for item in body["input"]:
        known = item | {"id": "rs_1"} if item["type"] == "reasoning" else item
        ITEM.validate_python(known, strict=False)
    for tool in body.get("tools", ()):
        TOOL.validate_python(tool, strict=False)


@pytest.mark.parametrize(
    ("model", "reasoning", "written_reasoning", "is_sealed"),
    [
        ("gpt-4.1", Reasoning(), None, False),
        ("gpt-4.1", Reasoning(is_off=True), None, False),
        ("gpt-5-chat-latest", Reasoning(), None, False),
        ("gpt-5.1", Reasoning(), None, True),
        ("openai/o3", Reasoning(), None, True),
        ("gpt-5.1", Reasoning(is_off=True), {"effort": "none"}, False),
        ("gpt-5.1", Reasoning("none"), {"effort": "none"}, False),
        ("any", Reasoning("high"), {"effort": "high"}, True),
        ("any", Reasoning(budget=1024), {"effort": "low", "summary": "auto"}, True),
        ("any", Reasoning(budget=1025), {"effort": "medium", "summary": "auto"}, True),
        ("any", Reasoning(budget=5000), {"effort": "high", "summary": "auto"}, True),
        ("any", Reasoning(adaptive=True), None, True),
        ("any", Reasoning(visible=True), {"summary": "auto"}, True),
        ("any", Reasoning("low", summary="detailed"), {"effort": "low", "summary": "detailed"}, True),
    ],
)
def test_reasoning(model: str, reasoning: Reasoning, written_reasoning: Any, is_sealed: bool) -> None:
    prompt = asked(reasoning=reasoning)
    prompt.model = model
    body = written(prompt)
    assert body.get("reasoning") == written_reasoning
    assert ("include" in body) is is_sealed


def test_a_seal_in_the_prompt_says_that_the_model_thinks() -> None:
    prompt = asked()
    prompt.turns += [Turn("assistant", [Thinking(seal=OWN), Text("a")]), Turn("user", [Text("b")])]
    assert written(prompt)["include"] == ["reasoning.encrypted_content"]


def test_the_provider_keeps_nothing_and_knows_no_other_response() -> None:
    prompt = read(
        store=True,
        background=True,
        conversation="conv_1",
        previous_response_id="resp_1",
        truncation="auto",
        prompt_cache_key="k",
        safety_identifier="s",
        include=["file_search_call.results", "message.output_text.logprobs"],
        reasoning={"effort": "low", "mode": "pro"},
        text={"verbosity": "low", "format": {"type": "grammar"}},
        tool_choice={"type": "mcp", "server_label": "s"},
    )
    assert written(prompt) == {
        "model": "bee",
        "input": [{"type": "message", "role": "user", "content": "Hello"}],
        "tool_choice": {"type": "mcp", "server_label": "s"},
        "text": {"verbosity": "low", "format": {"type": "grammar"}},
        "reasoning": {"effort": "low", "mode": "pro"},
        "include": [
            "message.output_text.logprobs",
            "reasoning.encrypted_content",
            "file_search_call.results",
        ],
        "truncation": "auto",
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "store": False,
    }


def test_hints_of_chat_completions_go_on_where_they_mean_the_same() -> None:
    rest = {
        "prompt_cache_key": "k",
        "prediction": {},
        "store": True,
        "stream_options": {"include_usage": True},
    }
    prompt = Prompt("chat", "gpt-4.1", [Turn("user", [Media("image", file_id="file-1")])], rest=rest)
    body = written(prompt)
    assert (body["prompt_cache_key"], body["store"]) == ("k", False)
    assert not body.keys() & {"prediction", "stream_options"}
    assert body["input"][0]["content"][0]["file_id"] == "file-1"


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        (asked(choices=2), "n"),
        (asked(stop=["."]), "stop"),
        (asked(sampling=Sampling(top_k=3)), "top_k"),
        (asked(sampling=Sampling(presence_penalty=1)), "presence_penalty"),
        (asked(sampling=Sampling(frequency_penalty=1)), "frequency_penalty"),
        (asked(sampling=Sampling(logit_bias={"1": 1})), "logit_bias"),
        (asked(max_output=15), "max_tokens"),
        (asked(verbosity="loud"), "verbosity"),
        (asked(rest={"mcp_servers": []}), "mcp_servers"),
        (asked(tools=[Tool("f"), Opaque("messages", "web_search_20250305", {})]), "tools[1]"),
        (asked(Opaque("messages", "search_result", {})), "messages"),
        (asked(Media("audio", "audio/wav", "aGl2ZQ==")), "messages"),
        (asked(Media("video", "video/mp4", "aGl2ZQ==")), "messages"),
        (asked(Media("image", file_id="file_1")), "messages"),
        (asked(Media("document", "application/pdf", "aGl2ZQ==", context="c")), "messages"),
        (asked(Call("call_1", "f", "{}")), "messages"),
        (Prompt("chat", "", [Turn("user", [Text("a")], "bee")]), "messages"),
        (Prompt("gemini", "", [Turn("assistant", [Media("image", "image/png", "aGl2ZQ==")])]), "messages"),
        (
            Prompt("messages", "", [Turn("assistant", [Opaque("messages", "server_tool_use", {})])]),
            "messages",
        ),
    ],
)
def test_what_cannot_be_said_is_refused(prompt: Prompt, param: str) -> None:
    with pytest.raises(Untranslatable) as refused:
        dialect.write_prompt(prompt)
    assert refused.value.param == param
    assert "OpenAI's responses" in refused.value.message


def test_other_values_of_members_that_are_their_defaults_are_no_obstacle() -> None:
    sampling = Sampling(
        top_k=None, seed=1, presence_penalty=0.0, frequency_penalty=0, logit_bias={}, logprobs=False
    )
    assert "top_logprobs" not in written(asked(sampling=sampling, verbosity="medium"))


def test_a_body_without_a_model_can_be_read() -> None:
    assert dialect.read_prompt(fields({"input": "Hi"})).model == ""
