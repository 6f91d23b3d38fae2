"""Bodies of Anthropic's messages, read as prompts."""

from __future__ import annotations

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
    Result,
    Sampling,
    Seal,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    Turn,
)
from hive_routing.dialects.messages import dialect
from hive_routing.dialects.seals import packed, sealed_id
from hive_runtime.errors import HiveError, Kind
from services.routing.tests.dialects.messages_wire import (
    FOREIGN,
    SIGNATURE,
    assistant,
    body,
    fields,
    read,
    user,
    written,
)

MARK = {"type": "ephemeral", "ttl": "1h"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "aGl2ZQ=="}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}


def turns_of(*messages: dict[str, Any]) -> list[Turn]:
    return read(messages=list(messages)).turns


class TestReading:
    @pytest.mark.parametrize(
        ("members", "name", "value"),
        [
            ({"max_tokens": 7}, "max_output", 7),
            ({"max_tokens": 0}, "max_output", 0),
            ({"stop_sequences": ["END"]}, "stop", ["END"]),
            ({"stream": True}, "stream", True),
            ({"stream": None}, "stream", False),
            ({"metadata": {"user_id": "u1"}}, "user", "u1"),
            ({"service_tier": "standard_only"}, "tier", "standard_only"),
            ({"temperature": 0.5, "top_p": 0.9, "top_k": 4}, "sampling", Sampling(0.5, 0.9, 4)),
            ({"tool_choice": {"type": "auto"}}, "choice", ToolChoice("auto")),
            ({"tool_choice": {"type": "any"}}, "choice", ToolChoice("required")),
            ({"tool_choice": {"type": "none"}}, "choice", ToolChoice("none")),
            ({"tool_choice": {"type": "tool", "name": "f"}}, "choice", ToolChoice("named", ["f"])),
            (
                {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
                "choice",
                ToolChoice("required", parallel=False),
            ),
            ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, "reasoning", Reasoning(budget=2048)),
            ({"thinking": {"type": "disabled"}}, "reasoning", Reasoning(is_off=True)),
            (
                {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "max"}},
                "reasoning",
                Reasoning("max", adaptive=True, visible=False),
            ),
            (
                {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
                "format",
                Format("schema", schema=SCHEMA),
            ),
            (
                {"cache_control": MARK, "container": None, "inference_geo": "eu"},
                "rest",
                {"cache_control": MARK, "inference_geo": "eu"},
            ),
            ({"thinking": {"type": "between_tools"}}, "rest", {"thinking": {"type": "between_tools"}}),
            (
                {"output_config": {"effort": "huge", "format": None}},
                "rest",
                {"output_config": {"effort": "huge"}},
            ),
            ({"metadata": {"user_id": "u", "a": 1}}, "rest", {"metadata": {"a": 1}}),
        ],
    )
    def test_a_member(self, members: dict[str, Any], name: str, value: Any) -> None:
        assert getattr(read(**members), name) == value

    @pytest.mark.parametrize(
        ("system", "parts"),
        [
            ("Be brief.", [Text("Be brief.")]),
            (
                [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": MARK}],
                [Text("a"), Text("b", CacheMark("1h"))],
            ),
        ],
    )
    def test_the_system_is_the_first_turn(self, system: Any, parts: list[Part]) -> None:
        assert read(system=system).turns[0] == Turn("system", parts)

    @pytest.mark.parametrize("system", ["", []])
    def test_no_system(self, system: Any) -> None:
        assert [turn.role for turn in read(system=system).turns] == ["user"]

    @pytest.mark.parametrize(
        ("block", "part"),
        [
            ({"type": "text", "text": "Hi"}, Text("Hi")),
            ({"type": "text", "text": "Hi", "citations": None, "cache_control": None}, Text("Hi")),
            ({"type": "text", "text": "Hi", "cache_control": MARK}, Text("Hi", CacheMark("1h"))),
            (
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
                Media("image", "image/png", "AA=="),
            ),
            (
                {"type": "image", "source": {"type": "url", "url": "https://a/b"}},
                Media("image", url="https://a/b"),
            ),
            ({"type": "image", "source": {"type": "file", "file_id": "f"}}, Media("image", file_id="f")),
            (
                {
                    "type": "document",
                    "source": PDF,
                    "title": "T",
                    "context": "C",
                    "citations": {"enabled": False},
                },
                Media("document", "application/pdf", "aGl2ZQ==", name="T", context="C"),
            ),
            (
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "hive"},
                    "cache_control": {"type": "ephemeral"},
                },
                Media("document", "text/plain", "aGl2ZQ==", cache=CacheMark()),
            ),
            (
                {"type": "document", "source": {"type": "url", "url": "https://a/b.pdf"}},
                Media("document", url="https://a/b.pdf"),
            ),
        ],
    )
    def test_a_block_of_a_user(self, block: dict[str, Any], part: Part) -> None:
        assert turns_of(user(block)) == [Turn("user", [part])]

    @pytest.mark.parametrize(
        ("block", "part"),
        [
            (
                {
                    "type": "tool_use",
                    "id": "t",
                    "name": "f",
                    "input": {"b": 1, "a": [1.5, None]},
                    "caller": {"type": "direct"},
                    "cache_control": MARK,
                },
                Call("t", "f", '{"b":1,"a":[1.5,null]}', CacheMark("1h")),
            ),
            (
                {"type": "tool_use", "id": sealed_id("t", FOREIGN), "name": "f", "input": {}},
                Call("t", "f", "{}", seal=FOREIGN),
            ),
            (
                {"type": "tool_use", "id": "t", "name": "f", "input": {"INVALID_JSON": '{"a":'}},
                Call("t", "f", '{"a":'),
            ),
            ({"type": "thinking", "thinking": "Hm", "signature": "EqQB"}, Thinking("Hm", SIGNATURE)),
            (
                {"type": "thinking", "thinking": "", "signature": packed(FOREIGN, "messages")},
                Thinking("", FOREIGN),
            ),
            ({"type": "thinking", "thinking": "Hm", "signature": ""}, Thinking("Hm")),
            (
                {"type": "redacted_thinking", "data": "Emw"},
                Thinking(seal=Seal("messages", "redacted", "Emw")),
            ),
        ],
    )
    def test_a_block_of_an_assistant(self, block: dict[str, Any], part: Part) -> None:
        assert turns_of(assistant(block)) == [Turn("assistant", [part])]

    @pytest.mark.parametrize(
        "block",
        [
            {
                "type": "search_result",
                "source": "s",
                "title": "t",
                "content": [{"type": "text", "text": "x"}],
            },
            {"type": "document", "source": {"type": "content", "content": "abc"}},
            {"type": "document", "source": PDF, "citations": {"enabled": True}},
            {"type": "image", "source": {"type": "url", "url": "u"}, "transformations": {"a": "b"}},
            {"type": "text", "text": "x", "citations": [{"type": "char_location"}]},
            {"type": "container_upload", "file_id": "f"},
            {
                "type": "tool_use",
                "id": "t",
                "name": "f",
                "input": {},
                "caller": {"type": "code_execution_20250825"},
            },
            {"type": "of_the_future"},
        ],
    )
    def test_what_the_form_has_no_place_for_is_carried_along(self, block: dict[str, Any]) -> None:
        prompt = read(messages=[user(block)])
        assert prompt.turns == [Turn("user", [Opaque("messages", block["type"], block)])]
        assert written(prompt)["messages"] == [user(block)]

    def test_results_of_tools_have_turns_of_their_own(self) -> None:
        call = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
        results: list[dict[str, Any]] = [
            {"type": "tool_result", "tool_use_id": "t1", "content": "sunny"},
            {
                "type": "tool_result",
                "tool_use_id": sealed_id("t2", FOREIGN),
                "content": [
                    {"type": "text", "text": ""},
                    {"type": "image", "source": PDF | {"data": "AA=="}},
                ],
                "is_error": True,
                "cache_control": MARK,
            },
            {"type": "tool_result", "tool_use_id": "t3"},
        ]
        told = {"type": "text", "text": "Well?"}
        assert turns_of(assistant(call), user(results[0]), user(*results[1:], told)) == [
            Turn("assistant", [Call("t1", "f", "{}")]),
            Turn(
                "tool",
                [
                    Result("t1", [Text("sunny")], "f"),
                    Result(
                        "t2",
                        [Media("image", "application/pdf", "AA==")],
                        is_error=True,
                        cache=CacheMark("1h"),
                    ),
                    Result("t3"),
                ],
            ),
            Turn("user", [Text("Well?")]),
        ]

    def test_turns_stay_apart_and_in_their_order(self) -> None:
        found = turns_of(
            user({"type": "text", "text": "a"}),
            {"role": "user", "content": "b"},
            {"role": "system", "content": "c"},
            {"role": "assistant", "content": "d"},
            {"role": "assistant", "content": ""},
        )
        texts = [(turn.role, turn.parts) for turn in found]
        expected = [("user", "a"), ("user", "b"), ("system", "c"), ("assistant", "d")]
        assert texts == [(role, [Text(text)]) for role, text in expected]

    @pytest.mark.parametrize(
        ("tool", "read_as"),
        [
            (
                {"name": "f", "input_schema": SCHEMA, "description": "d", "strict": True},
                Tool("f", "d", SCHEMA, True),
            ),
            (
                {
                    "type": "custom",
                    "name": "f",
                    "input_schema": {},
                    "defer_loading": False,
                    "cache_control": MARK,
                },
                Tool("f", schema={}, cache=CacheMark("1h")),
            ),
            (SEARCH, Opaque("messages", "web_search_20250305", SEARCH)),
            (
                {"name": "f", "input_schema": {}, "input_examples": [{}]},
                Opaque("messages", "custom", {"name": "f", "input_schema": {}, "input_examples": [{}]}),
            ),
        ],
    )
    def test_a_tool(self, tool: dict[str, Any], read_as: Tool | Opaque) -> None:
        assert read(tools=[tool]).tools == [read_as]

    @pytest.mark.parametrize(
        ("members", "param"),
        [
            ({"max_tokens": None}, "max_tokens"),
            ({"max_tokens": "7"}, "max_tokens"),
            ({"max_tokens": -1}, "max_tokens"),
            ({"messages": None}, "messages"),
            ({"messages": []}, "messages"),
            ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
            ({"messages": [{"role": "user"}]}, "messages[0]"),
            ({"messages": [{"role": "user", "content": [1]}]}, "messages[0].content[0]"),
            ({"messages": [user({"text": "x"})]}, "messages[0].content[0]"),
            ({"messages": [user({"type": "text", "text": 1})]}, "messages[0].content[0].text"),
            (
                {"messages": [user({"type": "tool_result", "tool_use_id": "t", "content": 5})]},
                "messages[0].content[0].content",
            ),
            (
                {"messages": [user({"type": "image", "source": {"url": "u"}})]},
                "messages[0].content[0].source",
            ),
            ({"system": 5}, "system"),
            ({"system": [{"type": "text"}]}, "system"),
            ({"temperature": 1.5}, "temperature"),
            ({"top_p": "x"}, "top_p"),
            ({"top_k": 1.5}, "top_k"),
            ({"stop_sequences": "END"}, "stop_sequences"),
            ({"stream": "yes"}, "stream"),
            ({"tools": [{"name": "f"}]}, "tools[0]"),
            ({"tools": [{"name": "f", "input_schema": {}, "strict": "no"}]}, "tools[0].strict"),
            ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
            ({"tool_choice": {"type": "tool"}}, "tool_choice"),
            ({"thinking": {"type": "enabled"}}, "thinking"),
            ({"thinking": True}, "thinking"),
            ({"metadata": "x"}, "metadata"),
        ],
    )
    def test_what_is_wrong_is_named(self, members: dict[str, Any], param: str) -> None:
        with pytest.raises(HiveError) as caught:
            read(**members)
        assert (caught.value.kind, caught.value.param) == (Kind.INVALID, param)
        assert f"`{param}" in caught.value.message

    def test_max_tokens_is_needed(self) -> None:
        asked = fields(body())
        del asked["max_tokens"]
        with pytest.raises(HiveError, match="`max_tokens` is missing"):
            dialect.read_prompt(asked)

    def test_a_number_that_cannot_be_read(self) -> None:
        with pytest.raises(HiveError) as caught:
            dialect.read_prompt(fields(body()) | {"speed": msgspec.Raw(b"1e999")})
        assert caught.value.param == "speed"
