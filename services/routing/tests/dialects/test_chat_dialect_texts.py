"""Guards find every word of a chat: of prompts with whose it is, of answers, of chunks."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hive_routing.dialects.chat import dialect
from hive_routing.dialects.form import Answer, Call, Choice, Opaque, Prompt, Refusal, Seal, Text, Thinking
from hive_routing.guarding.port import Origin
from services.routing.tests.dialects.chat_wire import fields_of

FUNCTION = {"name": "f", "arguments": '{"a":"six"}'}


def test_of_a_prompt() -> None:
    body = {
        "model": "bee",
        "messages": [
            {"role": "developer", "content": "one"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "two"}, {"type": "image_url", "image_url": "x"}],
            },
            {"role": "assistant", "content": "three", "refusal": "four", "reasoning_content": "five"},
            {
                "role": "assistant",
                "tool_calls": [{"id": "x", "function": FUNCTION}, {"id": "y", "custom": {"input": "seven"}}],
            },
            {"role": "tool", "tool_call_id": "x", "content": "eight"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "nine"}}],
        "functions": [{"name": "f", "description": "ten"}],
        "prediction": {"type": "content", "content": "eleven"},
        "user": "ann",
    }
    documents = dialect.prompt_texts(fields_of(body))
    found = [
        (slot.text, slot.origin, slot.is_json) for document in documents.values() for slot in document.slots
    ]
    assert found == [
        ("one", Origin.APPLICATION, False),
        ("two", Origin.USER, False),
        ("three", Origin.MODEL, False),
        ("five", Origin.MODEL, False),
        ("four", Origin.MODEL, False),
        ('{"a":"six"}', Origin.MODEL, True),
        ("seven", Origin.MODEL, False),
        ("eight", Origin.TOOL, False),
        ("eleven", Origin.APPLICATION, False),
        ("nine", Origin.APPLICATION, False),
        ("ten", Origin.APPLICATION, False),
    ]
    for slot in documents["messages"].slots:
        slot.put("*")
    assert documents["messages"].value["messages"][1]["content"][0] == {"type": "text", "text": "*"}


@pytest.mark.parametrize("messages", ["x", 7, [7], [{"role": "user", "content": 7}], None])
def test_what_cannot_be_read_holds_none(messages: Any) -> None:
    assert not [
        slot
        for each in dialect.prompt_texts(fields_of({"messages": messages})).values()
        for slot in each.slots
    ]


def test_no_word_of_an_answer_is_told_where_guards_do_not_look() -> None:
    sealed = Seal("messages", "signature", "c2VhbA==")
    answer = Answer(
        choices=[
            Choice(
                [
                    Thinking("thought of bees", sealed),
                    Thinking("thought of bees"),
                    Text("text of bees", seal=sealed),
                    Refusal("refusal of bees"),
                    Opaque("messages", "server_tool_use", {"query": "opaque of bees"}),
                    Call("id", "f", '{"a":"argument of bees"}', seal=sealed),
                ]
            )
        ]
    )
    body = dialect.write_answer(answer, Prompt("chat", "bee"))
    value = msgspec.json.decode(body)
    for slot in dialect.answer_texts(value):
        slot.put("{}" if slot.is_json else "*")
    left = msgspec.json.encode(value)
    assert b"bees" in body
    assert b"bees" not in left


def test_of_a_chunk() -> None:
    delta = {
        "content": "one",
        "reasoning_content": "two",
        "tool_calls": [{"index": 3, "function": {"arguments": "three"}}],
    }
    found = {
        place.channel: (place.place[place.key], place.is_json)
        for place in dialect.event_texts({"choices": [{"index": 1, "delta": delta}]})
    }
    assert found == {
        (1, "content"): ("one", False),
        (1, "reasoning_content"): ("two", False),
        (1, "tool", 3): ("three", True),
    }
