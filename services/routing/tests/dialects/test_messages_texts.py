"""Where guards find the words in Anthropic's messages, and that what they put there arrives."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from hive_routing.dialects.messages import dialect
from hive_routing.guarding.port import Origin
from services.routing.tests.dialects.messages_wire import body, fields

USER, APPLICATION, TOOL, MODEL = Origin.USER, Origin.APPLICATION, Origin.TOOL, Origin.MODEL
PDF = {"type": "base64", "media_type": "application/pdf", "data": "aGl2ZQ=="}


def slots(**members: Any) -> list[tuple[str, Origin]]:
    found = dialect.prompt_texts(fields(body(**members)))
    return [(slot.text, slot.origin) for document in found.values() for slot in document.slots]


def of(role: str, *blocks: dict[str, Any]) -> list[tuple[str, Origin]]:
    return slots(messages=[{"role": role, "content": list(blocks)}])


class TestPrompts:
    @pytest.mark.parametrize(
        ("role", "origin"), [("user", USER), ("assistant", MODEL), ("system", APPLICATION), ("?", USER)]
    )
    def test_whose_words_they_are(self, role: str, origin: Origin) -> None:
        assert slots(messages=[{"role": role, "content": "a"}]) == [("a", origin)]
        assert of(role, {"type": "text", "text": "a"}) == [("a", origin)]

    @pytest.mark.parametrize("system", ["Be brief.", [{"type": "text", "text": "Be brief."}]])
    def test_the_system(self, system: Any) -> None:
        assert slots(system=system, messages=[]) == [("Be brief.", APPLICATION)]

    def test_tools(self) -> None:
        tools = [{"name": "f", "description": "d", "input_schema": {}}, {"type": "web_search_20250305"}]
        assert slots(tools=tools, messages=[]) == [("d", APPLICATION)]
        tools = [{"name": "f", "input_schema": {}, "input_examples": [{"a": "x"}, {"b": [1, "y"]}]}]
        assert slots(tools=tools, messages=[]) == [("x", APPLICATION), ("y", APPLICATION)]

    @pytest.mark.parametrize(
        ("block", "texts"),
        [
            (
                {"type": "tool_use", "id": "t", "name": "f", "input": {"a": "x", "b": [1, {"c": ["y"]}]}},
                [("x", MODEL), ("y", MODEL)],
            ),
            ({"type": "server_tool_use", "id": "t", "name": "f", "input": {"q": "x"}}, [("x", MODEL)]),
            ({"type": "tool_result", "tool_use_id": "t", "content": "x"}, [("x", TOOL)]),
            (
                {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "content": [
                        {"type": "text", "text": "x"},
                        {"type": "image", "source": PDF},
                        {"type": "document", "source": {"type": "text", "data": "y"}},
                    ],
                },
                [("x", TOOL), ("y", TOOL)],
            ),
            (
                {
                    "type": "bash_code_execution_tool_result",
                    "content": {"type": "bash_code_execution_result", "stdout": "x", "stderr": "y"},
                },
                [("x", TOOL), ("y", TOOL)],
            ),
            (
                {
                    "type": "web_search_tool_result",
                    "content": [
                        {"type": "web_search_result", "title": "x", "encrypted_content": "E", "url": "u"}
                    ],
                },
                [("x", TOOL)],
            ),
            (
                {"type": "document", "source": PDF, "title": "x", "context": "y"},
                [("x", USER), ("y", USER)],
            ),
            (
                {"type": "document", "source": {"type": "content", "content": "x"}},
                [("x", USER)],
            ),
            (
                {
                    "type": "document",
                    "source": {"type": "content", "content": [{"type": "text", "text": "x"}]},
                },
                [("x", USER)],
            ),
            (
                {
                    "type": "search_result",
                    "source": "s",
                    "title": "x",
                    "content": [{"type": "text", "text": "y"}],
                },
                [("x", USER), ("y", USER)],
            ),
            ({"type": "thinking", "thinking": "x", "signature": "s"}, [("x", USER)]),
            ({"type": "thinking", "thinking": "x", "signature": ""}, [("x", USER)]),
            ({"type": "mcp_tool_use", "input": {"a": ["x"]}}, [("x", MODEL)]),
            ({"type": "server_tool_use", "input": "x"}, [("x", MODEL)]),
            ({"type": "compaction", "content": "x", "encrypted_content": "E"}, [("x", USER)]),
            (
                {
                    "type": "text_editor_code_execution_tool_result",
                    "content": {"type": "text_editor_code_execution_view_result", "content": "x"},
                },
                [("x", TOOL)],
            ),
            (
                {
                    "type": "text_editor_code_execution_tool_result",
                    "content": {"type": "text_editor_code_execution_str_replace_result", "lines": ["x"]},
                },
                [("x", TOOL)],
            ),
            (
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "text/plain", "data": "aGl2ZQ=="},
                },
                [("hive", USER)],
            ),
            ({"type": "redacted_thinking", "data": "d"}, []),
            ({"type": "image", "source": {"type": "url", "url": "u"}}, []),
        ],
    )
    def test_a_block(self, block: dict[str, Any], texts: list[tuple[str, Origin]]) -> None:
        assert of("user", block) == texts

    def test_what_is_put_there_arrives(self) -> None:
        asked = fields(
            body(system="s", messages=[{"role": "user", "content": [{"type": "text", "text": "a"}]}])
        )
        found = dialect.prompt_texts(asked)
        for document in found.values():
            for slot in document.slots:
                slot.put(slot.text + "!")
        changed = {name: msgspec.json.decode(document.encoded()) for name, document in found.items()}
        assert changed == {
            "system": {"system": "s!"},
            "messages": {"messages": [{"role": "user", "content": [{"type": "text", "text": "a!"}]}]},
        }

    def test_what_is_put_in_a_document_of_base64_is_encoded_again(self) -> None:
        source = {"type": "base64", "media_type": "text/csv", "data": "aGl2ZQ=="}
        messages = [{"role": "user", "content": [{"type": "document", "source": source}]}]
        document = dialect.prompt_texts(fields(body(messages=messages)))["messages"]
        (slot,) = document.slots
        slot.put("bées")
        (message,) = document.value["messages"]
        assert message["content"][0]["source"] == source | {"data": "YsOpZXM="}

    def test_what_cannot_be_read_is_not_looked_at(self) -> None:
        found = dialect.prompt_texts({"messages": Raw(b'["\\ud800"]'), "system": Raw(b"5")})
        assert [slot for document in found.values() for slot in document.slots] == []


def test_answers() -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {"x": ["d"]}}
    answer = {
        "content": [
            {"type": "thinking", "thinking": "a", "signature": "s"},
            {"type": "text", "text": "b", "citations": [{"type": "char_location", "cited_text": "c"}]},
            call,
        ]
    }
    found = list(dialect.answer_texts(answer))
    assert [(slot.text, slot.origin) for slot in found] == [(text, MODEL) for text in "abcd"]
    found[3].put("e")
    assert call["input"] == {"x": ["e"]}


@pytest.mark.parametrize("answer", [None, [], {}, {"content": "x"}, {"content": [5]}])
def test_answers_of_another_form(answer: Any) -> None:
    assert list(dialect.answer_texts(answer)) == []


def delta(**members: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 2, "delta": members}


def start(**block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": 2, "content_block": block}


@pytest.mark.parametrize(
    ("event", "places"),
    [
        (delta(type="text_delta", text="x"), [((2, "text"), "x", False)]),
        (delta(type="thinking_delta", thinking="x"), [((2, "thinking"), "x", False)]),
        (delta(type="input_json_delta", partial_json="x"), [((2, "partial_json"), "x", True)]),
        (delta(type="signature_delta", signature="x"), []),
        (
            delta(type="citations_delta", citation={"type": "char_location", "cited_text": "x"}),
            [((2, "citation"), "x", False)],
        ),
        (start(type="text", text="x"), [((2, "text"), "x", False)]),
        (start(type="thinking", thinking="x", signature="s"), [((2, "thinking"), "x", False)]),
        (start(type="tool_use", id="t", name="f", input={}), []),
        (start(type="mcp_tool_use", id="t", name="f", input={"a": "x"}), [((2, "block", 0), "x", False)]),
        (delta(type="compaction_delta", content="x"), [((2, "compaction_delta"), "x", False)]),
        ({"index": [], "delta": {"type": "text_delta", "text": "x"}}, [((None, "text"), "x", False)]),
        (start(type="tool_use", id="t", name="f", input={"a": "x"}), [((2, "block", 0), "x", False)]),
        (
            start(type="bash_code_execution_tool_result", content={"stdout": "x"}),
            [((2, "block", 0), "x", False)],
        ),
        ({"type": "message_start", "message": {"content": []}}, []),
        ({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, []),
        ({"type": "ping"}, []),
        ([], []),
    ],
)
def test_events(event: Any, places: list[tuple[Any, str, bool]]) -> None:
    found = list(dialect.event_texts(event))
    assert [(each.channel, each.place[each.key], each.is_json) for each in found] == places
