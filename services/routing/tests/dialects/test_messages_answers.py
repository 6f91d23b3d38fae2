"""Whole answers in Anthropic's messages: read from its provider, and written for clients from what others answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from anthropic.types import Message

from hive_routing.dialects.form import (
    Answer,
    Call,
    Choice,
    Media,
    Opaque,
    Part,
    Prompt,
    Refusal,
    Seal,
    Stop,
    Text,
    Thinking,
)
from hive_routing.dialects.messages import dialect
from hive_routing.dialects.seals import packed, sealed_id
from hive_routing.usage import Usage

ASKED = Prompt("messages", "bee")
FOREIGN = Seal("gemini", "signature", "c2VhbA==")
REASONS = {
    "end_turn": Stop.END,
    "max_tokens": Stop.LENGTH,
    "stop_sequence": Stop.SEQUENCE,
    "tool_use": Stop.TOOLS,
    "refusal": Stop.FILTERED,
    "pause_turn": Stop.PAUSED,
    "model_context_window_exceeded": Stop.CONTEXT,
}


def message(*content: dict[str, Any], **members: Any) -> bytes:
    return msgspec.json.encode(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-20250514",
            "content": list(content),
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": 6},
            **members,
        }
    )


def usage_of(**figures: Any) -> Usage | None:
    return dialect.read_answer(message(usage=figures)).usage


def written(answer: Answer) -> Message:
    """As the SDK reads it, which takes nothing of a wrong type."""
    return Message.model_validate_json(dialect.write_answer(answer, ASKED), strict=True)


def answered(*parts: Part, stop: Stop = Stop.END, usage: Usage | None = None) -> list[dict[str, Any]]:
    found = written(Answer("msg_1", "bee", choices=[Choice(list(parts), stop)], usage=usage))
    return [block.model_dump(exclude_unset=True) for block in found.content]


class TestReading:
    def test_an_answer(self) -> None:
        found = dialect.read_answer(
            message(
                {"type": "thinking", "thinking": "Hm", "signature": "EqQB"},
                {"type": "redacted_thinking", "data": "Emw"},
                {"type": "text", "text": "I look.", "citations": None},
                {"type": "text", "text": ""},
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"city": "Rome"}},
                stop_reason="tool_use",
                stop_details=None,
                container=None,
            )
        )
        parts: list[Part] = [
            Thinking("Hm", Seal("messages", "signature", "EqQB")),
            Thinking("", Seal("messages", "redacted", "Emw")),
            Text("I look."),
            Call("toolu_1", "f", '{"city":"Rome"}'),
        ]
        usage = Usage(10, 6, {"prompt": 10, "completion": 6})
        choice = Choice(parts, Stop.TOOLS)
        assert found == Answer("msg_1", "claude-sonnet-4-20250514", 0, [choice], usage)

    def test_what_only_anthropic_says(self) -> None:
        block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "bees"}}
        parts = dialect.read_answer(message(block)).choices[0].parts
        assert parts == [Opaque("messages", "server_tool_use", block)]

    @pytest.mark.parametrize(
        ("reason", "stop"), [*REASONS.items(), ("of_the_future", Stop.END), (None, Stop.END)]
    )
    def test_why_it_stopped(self, reason: str | None, stop: Stop) -> None:
        found = dialect.read_answer(message(stop_reason=reason, stop_sequence="END")).choices[0]
        assert (found.stop, found.sequence) == (stop, "END")

    def test_why_it_was_refused(self) -> None:
        details = {"type": "refusal", "category": "bio", "explanation": "That would be unsafe."}
        found = dialect.read_answer(message(stop_reason="refusal", stop_details=details)).choices[0]
        assert found == Choice([Refusal("That would be unsafe.")], Stop.FILTERED)

    @pytest.mark.parametrize(
        ("figures", "usage"),
        [
            (
                {"input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 100},
                Usage(105, 7, {"prompt": 5, "cached_prompt": 100, "completion": 7}),
            ),
            (
                {
                    "input_tokens": 5,
                    "output_tokens": 7,
                    "cache_read_input_tokens": 0,
                    "cache_creation_input_tokens": 30,
                },
                Usage(35, 7, {"prompt": 5, "cached_prompt": 0, "cache_write_5m": 30, "completion": 7}),
            ),
            (
                {
                    "input_tokens": 5,
                    "output_tokens": 7,
                    "cache_creation_input_tokens": 30,
                    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
                },
                Usage(35, 7, {"prompt": 5, "cache_write_5m": 10, "cache_write_1h": 20, "completion": 7}),
            ),
            (
                {
                    "input_tokens": 5,
                    "output_tokens": 7,
                    "output_tokens_details": {"thinking_tokens": 4},
                    "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 1},
                },
                Usage(5, 7, {"prompt": 5, "completion": 3, "reasoning": 4, "search": 3}),
            ),
            ({"input_tokens": None, "output_tokens": None}, None),
            ({"input_tokens": 10**12, "output_tokens": 1}, None),
            ({"input_tokens": "5"}, None),
            ({}, None),
        ],
    )
    def test_usage(self, figures: dict[str, Any], usage: Usage | None) -> None:
        assert usage_of(**figures) == usage

    @pytest.mark.parametrize(
        "body",
        [b"{}", b"[]", b'{"content":5}', b"oops", message({"type": "text"}), message({"text": "x"})],
    )
    def test_what_is_none(self, body: bytes) -> None:
        with pytest.raises(msgspec.DecodeError):
            dialect.read_answer(body)


class TestWriting:
    def test_an_answer(self) -> None:
        units = {"prompt": 5, "cached_prompt": 100, "cache_write_5m": 10, "cache_write_1h": 20}
        usage = Usage(135, 9, units | {"completion": 5, "reasoning": 4, "search": 2})
        parts: list[Part] = [Text("Hi"), Call("call_1", "f", '{"city":"Rome"}')]
        found = written(Answer("chatcmpl-1", "bee", 7, [Choice(parts, Stop.TOOLS)], usage))
        assert found.id.startswith("msg_")
        assert found.id.removeprefix("msg_").isalnum()
        assert found.model_dump(exclude_unset=True, exclude={"id"}) == {
            "type": "message",
            "role": "assistant",
            "model": "bee",
            "content": [
                {"type": "text", "text": "Hi"},
                {"type": "tool_use", "id": "call_1", "name": "f", "input": {"city": "Rome"}},
            ],
            "stop_reason": "tool_use",
            "stop_sequence": None,
            "usage": {
                "input_tokens": 5,
                "cache_creation_input_tokens": 30,
                "cache_read_input_tokens": 100,
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
                "output_tokens": 9,
                "output_tokens_details": {"thinking_tokens": 4},
                "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
            },
        }

    def test_the_id_of_anthropic_is_kept(self) -> None:
        assert written(Answer("msg_01X", choices=[Choice()])).id == "msg_01X"

    def test_without_figures_all_are_zero(self) -> None:
        usage = written(Answer(choices=[Choice()])).usage
        assert (usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens) == (0, 0, 0)

    def test_the_model_that_was_asked_where_none_is_said(self) -> None:
        assert written(Answer(choices=[Choice()])).model == "bee"

    @pytest.mark.parametrize(("reason", "stop"), REASONS.items())
    def test_why_it_stopped(self, reason: str, stop: Stop) -> None:
        found = written(Answer(choices=[Choice([Text("x")], stop, "END")]))
        assert (found.stop_reason, found.stop_sequence) == (reason, "END")

    @pytest.mark.parametrize(("stop", "reason"), [(Stop.END, "refusal"), (Stop.LENGTH, "max_tokens")])
    def test_a_refusal(self, stop: Stop, reason: str) -> None:
        found = written(Answer(choices=[Choice([Refusal("No.")], stop)]))
        assert found.stop_reason == reason
        assert found.content[0].model_dump(exclude_unset=True) == {"type": "text", "text": "No."}

    @pytest.mark.parametrize(
        ("part", "blocks"),
        [
            (Text(""), []),
            (Thinking(), []),
            (Thinking("Hm"), [{"type": "thinking", "thinking": "Hm", "signature": ""}]),
            (
                Thinking("Hm", FOREIGN),
                [{"type": "thinking", "thinking": "Hm", "signature": packed(FOREIGN, "messages")}],
            ),
            (
                Thinking("", Seal("converse", "redacted", "eA==")),
                [
                    {
                        "type": "redacted_thinking",
                        "data": packed(Seal("converse", "redacted", "eA=="), "messages"),
                    }
                ],
            ),
            (
                Call("c", "f", "", seal=FOREIGN),
                [{"type": "tool_use", "id": sealed_id("c", FOREIGN), "name": "f", "input": {}}],
            ),
            (
                Call("c", "f", '{"a":'),
                [{"type": "tool_use", "id": "c", "name": "f", "input": {"INVALID_JSON": '{"a":'}}],
            ),
            (
                Text("Hi", seal=FOREIGN),
                [
                    {"type": "text", "text": "Hi"},
                    {"type": "thinking", "thinking": "", "signature": packed(FOREIGN, "messages")},
                ],
            ),
            (
                Media("image", "image/png", "AA=="),
                [{"type": "text", "text": "![image](data:image/png;base64,AA==)"}],
            ),
            (
                Media("document", url="https://a/b.pdf", name="b"),
                [{"type": "text", "text": "[b](https://a/b.pdf)"}],
            ),
            (Opaque("gemini", "executableCode", {}), []),
        ],
    )
    def test_a_part(self, part: Part, blocks: list[dict[str, Any]]) -> None:
        assert answered(part) == blocks
