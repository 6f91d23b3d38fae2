"""Prompts, written for Anthropic's provider: from what other dialects say, and from its own."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from hive_routing.dialects.form import (
    CacheMark,
    Call,
    Format,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Result,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    Turn,
    Untranslatable,
)
from hive_routing.dialects.messages import dialect
from services.routing.tests.dialects.messages_wire import (
    FOREIGN,
    SIGNATURE,
    assistant,
    body,
    checked,
    other,
    read,
    said,
    user,
    written,
)

MARK = {"type": "ephemeral", "ttl": "1h"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "aGl2ZQ=="}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}


def _without_turns(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name != "turns"}


class TestWritingWhatWasSaidElsewhere:
    def test_the_least(self) -> None:
        assert checked(other()) == {
            "model": "claude-sonnet-4-20250514",
            "max_tokens": 4096,
            "messages": [{"role": "user", "content": "Hello"}],
        }

    def test_much(self) -> None:
        image = Media("image", "image/png", "AA==", cache=CacheMark("5m"))
        prompt = other(
            Turn("system", [Text("Be brief.", CacheMark())]),
            said("See", image),
            Turn(
                "assistant",
                [Thinking("Hm", SIGNATURE), Text("I look."), Call("call_1", "f", '{"b":1,"a":2}')],
            ),
            Turn("tool", [Result("call_1", [Text("no"), image], is_error=True, cache=CacheMark())]),
            said("And?"),
            tools=[Tool("f", "Finds", SCHEMA, False, CacheMark()), Tool("g")],
            choice=ToolChoice("named", ["f"], parallel=False),
            max_output=50,
            stop=["END"],
            sampling=Sampling(temperature=0.5, top_k=3, seed=5),
            user="u1",
            metadata={"a": "b"},
            tier="flex",
            stream=True,
            verbosity="medium",
        )
        mark = {"type": "ephemeral"}
        block = {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "AA=="},
            "cache_control": {"type": "ephemeral", "ttl": "5m"},
        }
        assert checked(prompt) == {
            "model": "claude-sonnet-4-20250514",
            "max_tokens": 50,
            "system": [{"type": "text", "text": "Be brief.", "cache_control": mark}],
            "messages": [
                user({"type": "text", "text": "See"}, block),
                assistant(
                    {"type": "thinking", "thinking": "Hm", "signature": "EqQB"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "call_1", "name": "f", "input": {"b": 1, "a": 2}},
                ),
                user(
                    {
                        "type": "tool_result",
                        "tool_use_id": "call_1",
                        "content": [{"type": "text", "text": "no"}, block],
                        "is_error": True,
                        "cache_control": mark,
                    },
                    {"type": "text", "text": "And?"},
                ),
            ],
            "tools": [
                {
                    "name": "f",
                    "input_schema": SCHEMA,
                    "description": "Finds",
                    "strict": False,
                    "cache_control": mark,
                },
                {"name": "g", "input_schema": {"type": "object", "properties": {}}},
            ],
            "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
            "stop_sequences": ["END"],
            "metadata": {"user_id": "u1"},
            "temperature": 0.5,
            "top_k": 3,
            "stream": True,
        }

    def test_members_of_an_input_keep_their_order(self) -> None:
        prompt = other(Turn("assistant", [Call("c", "f", '{"z":1,"a":{"y":2,"b":3}}')]))
        source = msgspec.json.encode(dialect.write_prompt(prompt))
        assert b'"input":{"z":1,"a":{"y":2,"b":3}}' in source

    @pytest.mark.parametrize(
        ("arguments", "input"),
        [
            ("", {}),
            (" ", {}),
            ('{"a": 1.0}', {"a": 1.0}),
            ('{"a":', {"INVALID_JSON": '{"a":'}),
            ("[1]", {"INVALID_JSON": "[1]"}),
        ],
    )
    def test_an_input(self, arguments: str, input: dict[str, Any]) -> None:
        prompt = other(said("x"), Turn("assistant", [Call("c", "f", arguments)]))
        assert checked(prompt)["messages"][1]["content"][0]["input"] == input

    def test_system_turns_are_hoisted(self) -> None:
        prompt = other(
            Turn("system", [Text("a")]), said("b"), Turn("system", [Text("c"), Text("d")]), said("e")
        )
        asked = checked(prompt)
        assert [block["text"] for block in asked["system"]] == ["a", "c", "d"]
        assert [message["content"] for message in asked["messages"]] == ["b", "e"]

    def test_thinking_that_anthropic_did_not_seal_is_left_out(self) -> None:
        thoughts: list[Part] = [Thinking("a"), Thinking("b", FOREIGN), Text("c")]
        asked = checked(other(said("x"), Turn("assistant", thoughts), Turn("assistant", [Thinking("d")])))
        assert asked["messages"][1:] == [{"role": "assistant", "content": "c"}]

    def test_a_refusal_is_text(self) -> None:
        asked = checked(other(said("x"), Turn("assistant", [Refusal("No.")])))
        assert asked["messages"][1]["content"] == "No."

    def test_text_of_spaces_is_left_out_beside_others(self) -> None:
        asked = checked(other(said(" ", "a", "\n"), said(" ")))
        assert [message["content"] for message in asked["messages"]] == ["a", " "]

    def test_ids_that_anthropic_refuses(self) -> None:
        prompt = other(
            said("x"),
            Turn("assistant", [Call("functions.f:0", "f"), Call("toolu_1-x", "f")]),
            Turn("tool", [Result("functions.f:0"), Result("toolu_1-x")]),
        )
        _, asked, answered = checked(prompt)["messages"]
        ids = [block["id"] for block in asked["content"]]
        assert ids == [block["tool_use_id"] for block in answered["content"]]
        assert ids[0].startswith("call_")
        assert ids[0].removeprefix("call_").isalnum()
        assert ids[1] == "toolu_1-x"

    @pytest.mark.parametrize(
        ("media", "block"),
        [
            (
                Media("image", "image/jpg", "AA=="),
                {"type": "base64", "media_type": "image/jpeg", "data": "AA=="},
            ),
            (Media("image", url="https://a/b", detail="low"), {"type": "url", "url": "https://a/b"}),
            (Media("document", "application/pdf", "AA=="), PDF | {"data": "AA=="}),
            (Media("document", url="https://a/b.pdf"), {"type": "url", "url": "https://a/b.pdf"}),
            (
                Media("document", "text/csv; charset=utf-8", base64.b64encode("a;ü".encode()).decode()),
                {"type": "text", "media_type": "text/plain", "data": "a;ü"},
            ),
        ],
    )
    def test_media(self, media: Media, block: dict[str, Any]) -> None:
        assert checked(other(said(media)))["messages"][0]["content"][0]["source"] == block

    def test_a_document_says_what_it_is(self) -> None:
        block = checked(other(said(Media("document", "application/pdf", "AA==", name="a.pdf", context="c"))))
        assert block["messages"][0]["content"][0] == {
            "type": "document",
            "source": PDF | {"data": "AA=="},
            "title": "a.pdf",
            "context": "c",
        }

    @pytest.mark.parametrize(
        ("choice", "written_as"),
        [
            (ToolChoice(), None),
            (ToolChoice("auto"), {"type": "auto"}),
            (ToolChoice("required"), {"type": "any"}),
            (ToolChoice("none", parallel=False), {"type": "none"}),
            (ToolChoice(parallel=False), {"type": "auto", "disable_parallel_tool_use": True}),
            (ToolChoice("required", parallel=True), {"type": "any", "disable_parallel_tool_use": False}),
            (ToolChoice("named", ["g"]), {"type": "tool", "name": "g"}),
        ],
    )
    def test_a_choice(self, choice: ToolChoice, written_as: dict[str, Any] | None) -> None:
        asked = checked(other(tools=[Tool("f"), Tool("g")], choice=choice))
        assert asked.get("tool_choice") == written_as
        assert len(asked["tools"]) == 2

    def test_a_choice_among_some(self) -> None:
        asked = checked(other(tools=[Tool("f"), Tool("g")], choice=ToolChoice("required", ["g"])))
        assert [tool["name"] for tool in asked["tools"]] == ["g"]
        assert asked["tool_choice"] == {"type": "any"}

    def test_no_choice_without_tools(self) -> None:
        assert "tool_choice" not in checked(other(choice=ToolChoice("auto")))

    def test_values_that_are_the_defaults(self) -> None:
        sampling = Sampling(
            1.0, 1.0, presence_penalty=0, frequency_penalty=0.0, logit_bias={}, logprobs=False
        )
        assert checked(other(sampling=sampling)).keys() == {"model", "max_tokens", "messages"}

    def test_a_schema_of_the_answer_is_closed(self) -> None:
        schema = {
            "type": "object",
            "properties": {
                "properties": {"type": "string"},
                "list": {"type": "array", "items": {"anyOf": [SCHEMA, {"type": "object"}]}},
                "open": {"type": "object", "properties": {}, "additionalProperties": True},
            },
            "$defs": {"x": SCHEMA},
        }
        shut = SCHEMA | {"additionalProperties": False}
        form = Format("schema", "answer", schema, strict=True, description="Says it")
        assert checked(other(format=form))["output_config"]["format"] == {
            "type": "json_schema",
            "schema": {
                "description": "Says it",
                "type": "object",
                "properties": {
                    "properties": {"type": "string"},
                    "list": {"type": "array", "items": {"anyOf": [shut, {"type": "object"}]}},
                    "open": {"type": "object", "properties": {}, "additionalProperties": True},
                },
                "$defs": {"x": shut},
                "additionalProperties": False,
            },
        }

    @pytest.mark.parametrize(
        ("tool", "schema"),
        [
            (Tool("f", schema={"properties": {}}), {"type": "object", "properties": {}}),
            (Tool("f", schema=SCHEMA), SCHEMA),
            (Tool("f", schema=SCHEMA, strict=True), SCHEMA | {"additionalProperties": False}),
        ],
    )
    def test_a_schema_of_a_tool(self, tool: Tool, schema: dict[str, Any]) -> None:
        assert checked(other(tools=[tool]))["tools"][0]["input_schema"] == schema

    @pytest.mark.parametrize(
        ("members", "param"),
        [
            ({"choices": 2}, "n"),
            ({"sampling": Sampling(temperature=1.2)}, "temperature"),
            ({"sampling": Sampling(presence_penalty=0.5)}, "presence_penalty"),
            ({"sampling": Sampling(frequency_penalty=-0.5)}, "frequency_penalty"),
            ({"sampling": Sampling(logit_bias={"1": 5})}, "logit_bias"),
            ({"sampling": Sampling(logprobs=True)}, "logprobs"),
            ({"sampling": Sampling(temperature=0.2), "reasoning": Reasoning("low")}, "temperature"),
            ({"sampling": Sampling(top_p=0.9), "reasoning": Reasoning("low")}, "top_p"),
            ({"sampling": Sampling(top_k=5), "reasoning": Reasoning("low")}, "top_k"),
            ({"choice": ToolChoice("required"), "reasoning": Reasoning("low")}, "tool_choice"),
            ({"verbosity": "low"}, "verbosity"),
            ({"stop": ["a", "\n"]}, "stop"),
            ({"format": Format("json")}, "response_format"),
            ({"reasoning": Reasoning("low"), "max_output": 1024}, "max_tokens"),
            ({"tools": [Tool("f"), Opaque("responses", "web_search")]}, "tools[1]"),
            ({"turns": [said(Opaque("gemini", "videoMetadata"))]}, "messages"),
            ({"turns": [said(Media("audio", "audio/wav", "AA=="))]}, "messages"),
            ({"turns": [said(Media("video", url="https://a/b"))]}, "messages"),
            ({"turns": [said(Media("image", "image/tiff", "AA=="))]}, "messages"),
            ({"turns": [said(Media("image", url="gs://a/b"))]}, "messages"),
            ({"turns": [said(Media("image", file_id="file-1"))]}, "messages"),
            ({"turns": [said(Media("document", "application/zip", "AA=="))]}, "messages"),
            ({"turns": [said(Media("document", "text/plain", url="https://a/b"))]}, "messages"),
            ({"turns": [said(Media("document", "text/plain", "/w=="))]}, "messages"),
            ({"turns": [Turn("user", [Text("a")], "Bob")]}, "messages"),
            ({"turns": [Turn("system", [Media("image", "image/png", "AA==")])]}, "messages"),
            ({"turns": [Turn("tool", [Result("c", [Opaque("gemini", "x")])])]}, "messages"),
            ({"rest": {"web_search_options": {}}}, "web_search_options"),
        ],
    )
    def test_what_has_no_place_is_refused(self, members: dict[str, Any], param: str) -> None:
        with pytest.raises(Untranslatable) as caught:
            dialect.write_prompt(other(*members.get("turns", ()), **_without_turns(members)))
        assert (caught.value.param, caught.value.reason) == (param, "not_translatable")
        assert "Anthropic's messages" in caught.value.message

    @pytest.mark.parametrize("name", ["store", "prediction", "prompt_cache_key", "safety_identifier"])
    def test_hints_are_left_out(self, name: str) -> None:
        assert name not in checked(other(rest={name: "x"}))


class TestWritingWhatWasSaidHere:
    """It comes back as it was, for Anthropic to judge."""

    @pytest.mark.parametrize(
        "members",
        [
            {"temperature": 1.0, "top_p": 1.0, "top_k": 0},
            {"temperature": 0.2, "thinking": {"type": "enabled", "budget_tokens": 5000}},
            {"thinking": {"type": "between_tools"}, "output_config": {"effort": "low"}},
            {
                "output_config": {
                    "effort": "max",
                    "format": {"type": "json_schema", "schema": {"type": "object", "properties": {}}},
                }
            },
            {"output_config": {"effort": "low", "task_budget": {"type": "tokens", "total": 9}}},
            {"metadata": {"user_id": "u", "more": 1}},
            {"tools": [SEARCH, {"name": "f", "input_schema": {}}], "tool_choice": {"type": "any"}},
            {"stop_sequences": ["\n"], "service_tier": "auto", "stream": True},
            {"cache_control": MARK, "container": "c", "speed": "fast"},
            {
                "system": "Be brief.",
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "system", "content": "b"},
                    {"role": "assistant", "content": "Well, "},
                ],
            },
            {
                "messages": [
                    {"role": "user", "content": " "},
                    assistant({"type": "tool_use", "id": "a.b:c", "name": "f", "input": {}}),
                ]
            },
            {"messages": [user({"type": "image", "source": {"type": "file", "file_id": "file_1"}})]},
        ],
    )
    def test_as_it_was(self, members: dict[str, Any]) -> None:
        assert written(read(**members)) == body(**members)
