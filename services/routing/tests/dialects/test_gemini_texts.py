"""Where guards find words in what Google's clients send and get."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from hive_routing.dialects.gemini import dialect
from hive_routing.guarding.port import Origin

USER, APPLICATION, MODEL, TOOL = Origin.USER, Origin.APPLICATION, Origin.MODEL, Origin.TOOL


def prompt_texts(body: dict[str, Any]) -> dict[str, list[tuple[str, Origin]]]:
    fields = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, Raw])
    found = dialect.prompt_texts(fields)
    return {name: [(slot.text, slot.origin) for slot in document.slots] for name, document in found.items()}


def test_a_prompt() -> None:
    body = {
        "contents": [
            {
                "role": "user",
                "parts": [{"text": "a"}, {"inlineData": {"mimeType": "image/png", "data": "AA"}}],
            },
            {
                "role": "model",
                "parts": [
                    {"text": "b", "thought": True},
                    {"text": "sealed", "thought": True, "thoughtSignature": "AA"},
                    {"functionCall": {"name": "f", "args": {"x": ["c", {"y": "d"}], "z": 3}}},
                    {"executable_code": {"language": "PYTHON", "code": "e"}},
                    {"codeExecutionResult": {"outcome": "OK", "output": "f"}},
                ],
            },
            {
                "role": "function",
                "parts": [{"function_response": {"name": "f", "response": {"result": "g"}}}],
            },
        ],
        "system_instruction": {"parts": [{"text": "h"}]},
        "tools": [{"functionDeclarations": [{"name": "f", "description": "i"}]}],
        "generationConfig": {"stopSequences": ["x"]},
    }
    assert prompt_texts(body) == {
        "contents": [
            ("a", USER),
            ("b", MODEL),
            ("sealed", MODEL),
            ("c", MODEL),
            ("d", MODEL),
            ("e", MODEL),
            ("f", TOOL),
            ("g", TOOL),
        ],
        "system_instruction": [("h", APPLICATION)],
        "tools": [("i", APPLICATION)],
    }


def test_texts_may_stand_alone() -> None:
    assert prompt_texts({"contents": "a", "systemInstruction": "b"}) == {
        "contents": [("a", USER)],
        "systemInstruction": [("b", APPLICATION)],
    }
    assert prompt_texts({"contents": ["a", {"text": "b"}]}) == {"contents": [("a", USER), ("b", USER)]}
    assert prompt_texts({"contents": {"parts": {"text": "a"}}}) == {"contents": [("a", USER)]}


def test_words_can_be_replaced() -> None:
    document = dialect.prompt_texts({"contents": Raw(b'["a",{"parts":[{"text":"b"}]}]')})["contents"]
    for slot in document.slots:
        slot.put("*")
    assert document.value == {"contents": ["*", {"parts": [{"text": "*"}]}]}


def test_a_sealed_thought_in_an_answer_is_read_like_any_other() -> None:
    parts = [{"text": "a", "thought": True, "thoughtSignature": "AA"}]
    answer = {"candidates": [{"content": {"parts": parts}}]}
    assert [slot.text for slot in dialect.answer_texts(answer)] == ["a"]
    assert [place.place[place.key] for place in dialect.event_texts(answer)] == ["a"]


@pytest.mark.parametrize("spelled", [("inlineData", "mimeType"), ("inline_data", "mime_type")])
def test_documents_of_text_are_words_in_base64(spelled: tuple[str, str]) -> None:
    member, mime = spelled
    parts = [
        {member: {mime: "TEXT/plain; charset=utf-8", "data": "w7YgYT9-", "displayName": "n"}},
        {member: {mime: "image/png", "data": "w7Yg"}},
        {member: {mime: "text/csv", "data": "/zs"}},
        {member: {mime: "text/csv", "data": "YWJj\nZ"}},
        {member: {mime: "text/csv", "data": 3}},
    ]
    body = msgspec.json.encode([{"parts": parts}])
    document = dialect.prompt_texts({"contents": Raw(body)})["contents"]
    assert [slot.text for slot in document.slots] == ["ö a?~", "n", "\ufffd;", "abc"]
    for slot in document.slots:
        slot.put(slot.text)
    assert document.value == {"contents": [{"parts": parts}]}, "what nobody changed keeps its bytes"
    document.slots[0].put("[X_1] é")
    assert document.value["contents"][0]["parts"][0][member]["data"] == "W1hfMV0gw6k="
    assert document.slots[0].text == "[X_1] é"


def test_what_makes_no_sense_has_no_words() -> None:
    assert prompt_texts(
        {"contents": 3, "tools": [3, {"functionDeclarations": 3}], "systemInstruction": [None]}
    ) == {
        "contents": [],
        "tools": [],
        "systemInstruction": [],
    }
    nonsense: tuple[Any, ...] = (
        None,
        3,
        [],
        {"candidates": 3},
        {"candidates": [3, {"content": 3}, {"content": {"parts": 3}}]},
    )
    for value in nonsense:
        assert list(dialect.answer_texts(value)) == []
        assert list(dialect.event_texts(value)) == []


def test_an_answer() -> None:
    answer = {
        "candidates": [
            {"content": {"parts": [{"text": "a", "thought": True}, {"text": "b"}]}},
            {"content": {"parts": [{"functionCall": {"name": "f", "args": {"x": "c"}}}]}, "index": 1},
        ]
    }
    assert [(slot.text, slot.origin) for slot in dialect.answer_texts(answer)] == [
        ("a", MODEL),
        ("b", MODEL),
        ("c", MODEL),
    ]


def test_pieces_of_a_stream_share_channels() -> None:
    def places(*parts: Any, index: int = 0) -> list[tuple[Any, str]]:
        event = {"candidates": [{"content": {"parts": list(parts)}, "index": index}]}
        return [(place.channel, place.place[place.key]) for place in dialect.event_texts(event)]

    first = places({"text": "a"}, {"text": "b"}, {"text": "c", "thought": True})
    assert [text for _, text in first] == ["a", "b", "c"]
    assert first[0][0] == first[1][0] != first[2][0]
    assert places({"text": "d"})[0][0] == first[0][0]
    assert places({"text": "d"}, index=1)[0][0] != first[0][0]
    called = places({"functionCall": {"id": "x", "name": "f", "args": {"p": "e", "q": ["f"]}}})
    assert [text for _, text in called] == ["e", "f"]
    assert len({channel for channel, _ in called}) == 2
