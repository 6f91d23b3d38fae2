"""Where guards find words in what clients of the Interactions API send and get."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from hive_routing.dialects.interactions import dialect
from hive_routing.guarding.port import Origin

USER, APPLICATION, MODEL, TOOL = Origin.USER, Origin.APPLICATION, Origin.MODEL, Origin.TOOL


def prompt_texts(body: dict[str, Any]) -> dict[str, list[tuple[str, Origin]]]:
    fields = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, Raw])
    found = dialect.prompt_texts(fields)
    return {name: [(slot.text, slot.origin) for slot in document.slots] for name, document in found.items()}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def test_a_prompt() -> None:
    body = {
        "input": [
            {
                "type": "user_input",
                "content": [text("a"), {"type": "image", "data": "AA", "mime_type": "image/png"}],
            },
            {"type": "thought", "summary": [text("b")]},
            {"type": "thought", "signature": "AA", "summary": [text("sealed")]},
            {"type": "model_output", "content": [text("c")]},
            {"type": "function_call", "id": "x", "name": "f", "arguments": {"type": "d", "n": 3, "l": ["e"]}},
            {"type": "function_result", "call_id": "x", "result": "f"},
            {
                "type": "function_result",
                "call_id": "x",
                "result": [text("g"), {"type": "image", "data": "AA"}],
            },
            {"type": "function_result", "call_id": "x", "result": {"sky": "h"}},
            {"role": "model", "content": "i"},
            {"role": "user", "content": [text("j")]},
        ],
        "system_instruction": "k",
        "tools": [{"type": "function", "name": "f", "description": "l"}],
    }
    assert prompt_texts(body) == {
        "input": [
            ("a", USER),
            ("b", MODEL),
            ("sealed", MODEL),
            ("c", MODEL),
            ("d", MODEL),
            ("e", MODEL),
            ("f", TOOL),
            ("g", TOOL),
            ("h", TOOL),
            ("i", MODEL),
            ("j", USER),
        ],
        "system_instruction": [("k", APPLICATION)],
        "tools": [("l", APPLICATION)],
    }


def test_texts_may_stand_alone() -> None:
    assert prompt_texts({"input": "a"}) == {"input": [("a", USER)]}
    assert prompt_texts({"input": text("a")}) == {"input": [("a", USER)]}
    document = dialect.prompt_texts({"input": Raw(b'"a"')})["input"]
    document.slots[0].put("*")
    assert document.value == {"input": "*"}


def test_a_sealed_thought_in_an_answer_is_read_like_any_other() -> None:
    thought = {"type": "thought", "signature": "AA", "summary": [text("a")]}
    assert [slot.text for slot in dialect.answer_texts({"steps": [thought]})] == ["a"]


@pytest.mark.parametrize("content", ["a", ["a"], text("a"), [text("a")]])
@pytest.mark.parametrize("said", [{"type": "user_input"}, {"role": "user"}])
def test_contents_come_in_many_forms(said: dict[str, Any], content: Any) -> None:
    assert prompt_texts({"input": [said | {"content": content}]}) == {"input": [("a", USER)]}
    document = dialect.prompt_texts({"input": Raw(msgspec.json.encode(said | {"content": content}))})["input"]
    document.slots[0].put("*")
    assert document.encoded().count(b'"*"') == 1
    assert b'"a"' not in document.encoded()


def test_a_single_tool_has_words() -> None:
    tool = {"type": "function", "name": "f", "description": "a"}
    assert prompt_texts({"tools": tool}) == {"tools": [("a", APPLICATION)]}


def test_documents_of_text_are_words_in_base64() -> None:
    document = {"type": "document", "data": "YQ==", "mime_type": "text/plain", "name": "n"}
    found = dialect.prompt_texts({"input": Raw(msgspec.json.encode(document))})["input"]
    assert [slot.text for slot in found.slots] == ["a", "n"]
    found.slots[0].put("b")
    assert found.value["input"] == document | {"data": "Yg=="}


def test_what_makes_no_sense_has_no_words() -> None:
    assert prompt_texts({"input": 3, "tools": 3, "system_instruction": []}) == {
        "input": [],
        "tools": [],
        "system_instruction": [],
    }
    for value in (None, 3, {"steps": 3}, {"steps": [3, {"type": "model_output", "content": 3}]}):
        assert list(dialect.answer_texts(value)) == []
        assert list(dialect.event_texts(value)) == []


def test_an_answer_says_it_twice() -> None:
    output = {"type": "model_output", "content": [text("a")]}
    call = {"type": "function_call", "id": "x", "name": "f", "arguments": {"p": "b"}}
    answer = {"steps": [output, call], "outputs": [text("a"), call]}
    assert [slot.text for slot in dialect.answer_texts(answer)] == ["a", "b", "a", "b"]


def test_pieces_of_a_stream_share_channels() -> None:
    def places(**event: Any) -> list[tuple[Any, str, bool]]:
        return [(each.channel, each.place[each.key], each.is_json) for each in dialect.event_texts(event)]

    start = places(index=1, step={"type": "model_output", "content": [text("a")]})
    piece = places(index=1, delta=text("b"))
    assert start == [((1, "text"), "a", False)]
    assert piece == [((1, "text"), "b", False)]
    thought = {"type": "thought_summary", "content": text("c")}
    assert places(index=0, delta=thought) == [((0, "summary"), "c", False)]
    assert places(index=0, step={"type": "thought", "summary": [text("c")]}) == [((0, "summary"), "c", False)]
    arguments = {"type": "arguments_delta", "arguments": '{"p":'}
    assert places(index=2, delta=arguments) == [((2, "arguments"), '{"p":', True)]
    [(_, whole, _)] = places(index=3, delta={"type": "code_execution_call", "arguments": {"code": "d"}})
    assert whole == "d"
    [(_, begun, _)] = places(index=3, step={"type": "function_call", "name": "f", "arguments": {"p": "e"}})
    assert begun == "e"
    assert places(interaction={"id": "v1_abc", "status": "completed"}) == []
