"""Where guards find the words of Converse, and that they can replace them in place."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from hive_routing.dialects.converse import dialect
from hive_routing.dialects.places import Slot
from hive_routing.guarding.port import Origin
from services.routing.tests.dialects.converse_wire import fields

USER, APPLICATION, MODEL, TOOL = Origin.USER, Origin.APPLICATION, Origin.MODEL, Origin.TOOL


def words(slots: list[Slot]) -> list[tuple[str, Origin]]:
    return [(slot.text, slot.origin) for slot in slots]


def test_the_words_of_a_prompt() -> None:
    body = {
        "system": [
            {"text": "s1"},
            {"guardContent": {"text": {"text": "s2"}}},
            {"cachePoint": {"type": "default"}},
        ],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"text": "u1"},
                    {"guardContent": {"text": {"text": "u2", "qualifiers": ["query"]}}},
                    {"document": {"name": "n", "source": {"text": "u3"}, "context": "u4"}},
                    {"document": {"name": "n", "source": {"content": [{"text": "u5"}]}}},
                    {"searchResult": {"source": "x", "title": "x", "content": [{"text": "u6"}]}},
                    {"image": {"format": "png", "source": {"bytes": "YQ=="}}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "m1", "signature": "x"}}},
                    {"text": "m2"},
                    {
                        "toolUse": {
                            "toolUseId": "x",
                            "name": "x",
                            "input": {"a": ["m3", 1, {"b": "m4"}], "c": None},
                        }
                    },
                ],
            },
            {
                "role": "user",
                "content": [
                    {"toolResult": {"toolUseId": "x", "content": [{"text": "t1"}, {"json": {"a": ["t2"]}}]}},
                    {"text": "u7"},
                ],
            },
            {"role": "system", "content": [{"text": "s3"}]},
        ],
        "toolConfig": {
            "tools": [{"toolSpec": {"name": "x", "description": "d1", "inputSchema": {"json": {}}}}]
        },
        "promptVariables": {"who": {"text": "v1"}},
    }
    documents = dialect.prompt_texts(fields(body))
    found = {name: words(document.slots) for name, document in documents.items()}
    assert found["system"] == [("s1", APPLICATION), ("s2", APPLICATION)]
    assert found["toolConfig"] == [("d1", APPLICATION)]
    assert found["promptVariables"] == [("v1", USER)]
    origins = {"u": USER, "m": MODEL, "t": TOOL, "s": APPLICATION}
    names = ["u1", "u2", "u4", "u3", "u5", "u6", "m1", "m2", "m3", "m4", "t1", "t2", "u7", "s3"]
    assert found["messages"] == [(name, origins[name[0]]) for name in names]
    for document in documents.values():
        for slot in document.slots:
            slot.put(slot.text.upper())
    changed = msgspec.json.decode(documents["messages"].encoded())["messages"]
    assert changed[1]["content"][2]["toolUse"]["input"] == {"a": ["M3", 1, {"b": "M4"}], "c": None}
    assert changed[2]["content"][0]["toolResult"]["content"] == [{"text": "T1"}, {"json": {"a": ["T2"]}}]


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":"Hi"}',
        b'{"messages":[1,{"content":{"text":"Hi"}}]}',
        b'{"messages":[{"content":[{"text":1}]}]}',
    ],
)
def test_what_is_no_words(body: bytes) -> None:
    documents = dialect.prompt_texts(msgspec.json.decode(body, type=dict[str, Raw]))
    assert documents["messages"].slots == []


def test_what_cannot_be_read_has_none() -> None:
    assert dialect.prompt_texts({"messages": Raw(b"[" * 100_000)}) == {}


def test_the_words_of_an_answer() -> None:
    content: list[dict[str, Any]] = [
        {"reasoningContent": {"reasoningText": {"text": "m1"}}},
        {"text": "m2"},
        {"toolUse": {"toolUseId": "x", "name": "x", "input": "m3"}},
        {"citationsContent": {"content": [{"text": "m4"}], "citations": []}},
    ]
    value = {"output": {"message": {"role": "assistant", "content": content}}}
    slots = list(dialect.answer_texts(value))
    assert words(slots) == [(f"m{number}", MODEL) for number in (1, 2, 3, 4)]
    slots[2].put("gone")
    assert content[2]["toolUse"]["input"] == "gone"
    assert list(dialect.answer_texts([])) == []


@pytest.mark.parametrize(
    ("delta", "channel", "is_json"),
    [
        ({"text": "Hi"}, (2, "text"), False),
        ({"toolUse": {"input": "Hi"}}, (2, "input"), True),
        ({"reasoningContent": {"text": "Hi"}}, (2, "reasoning"), False),
        ({"reasoningContent": {"signature": "x"}}, None, False),
        ({"citation": {"title": "x"}}, None, False),
    ],
)
def test_the_words_of_an_event(delta: dict[str, Any], channel: Any, is_json: bool) -> None:
    places = list(dialect.event_texts({"contentBlockDelta": {"contentBlockIndex": 2, "delta": delta}}))
    assert [(place.channel, place.place[place.key], place.is_json) for place in places] == (
        [(channel, "Hi", is_json)] if channel else []
    )


@pytest.mark.parametrize(
    "event", [{"messageStart": {"role": "assistant"}}, {"contentBlockDelta": 1}, [], None]
)
def test_other_events_have_none(event: Any) -> None:
    assert list(dialect.event_texts(event)) == []
