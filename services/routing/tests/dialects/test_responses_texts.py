"""Where guards find texts in OpenAI's responses, and that what they take out is taken out wherever it is told again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from hive_routing.dialects import form
from hive_routing.dialects.responses import dialect
from hive_routing.guarding.gates import OutputGate, RestoringGate
from hive_routing.guarding.port import Asker, Decision, Found, Origin, Text, Verdict
from hive_routing.guarding.redaction import Redaction, Span
from services.routing.tests.dialects.responses_wire import (
    CANONICAL,
    OUTPUT,
    checked,
    fields,
    stream_of,
    told,
    whole,
)

APPLICATION, USER, TOOL, MODEL = Origin.APPLICATION, Origin.USER, Origin.TOOL, Origin.MODEL


def asked(**members: Any) -> list[tuple[str, Origin, bool]]:
    documents = dialect.prompt_texts(fields(members))
    return [(slot.text, slot.origin, slot.is_json) for each in documents.values() for slot in each.slots]


def test_what_a_client_says() -> None:
    spoken = {"type": "output_text", "text": "g", "annotations": [{"title": "not said"}]}
    assert asked(
        model="bee",
        instructions="a",
        input=[
            {"role": "user", "content": "b"},
            {"role": "developer", "content": "c"},
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "d"}, {"type": "input_image"}],
            },
            {"type": "reasoning", "id": "rs_1", "summary": [{"text": "e"}], "content": [{"text": "f"}]},
            {"role": "assistant", "content": [spoken, {"type": "refusal", "refusal": "h"}]},
            {"type": "function_call", "call_id": "c", "name": "n", "arguments": '{"i":1}'},
            {"type": "function_call_output", "call_id": "c", "output": "j"},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "k"}]},
            {"type": "custom_tool_call", "call_id": "c", "name": "n", "input": "l"},
            {"type": "mcp_call", "name": "n", "arguments": "{}", "output": "m"},
            {"type": "file_search_call", "queries": ["n", "o"], "results": [{"text": "p", "filename": "x"}]},
            {"type": "shell_call", "action": {"commands": ["q"]}},
            {"type": "shell_call_output", "output": [{"stdout": "r", "stderr": "s"}]},
            {"type": "compaction", "encrypted_content": "x"},
        ],
        tools=[{"type": "function", "name": "n", "description": "t", "parameters": {"description": "x"}}],
        prompt={"id": "p", "variables": {"v": "u", "w": {"type": "input_text", "text": "v"}}},
    ) == [
        ("a", APPLICATION, False),
        ("b", USER, False),
        ("c", APPLICATION, False),
        ("d", USER, False),
        ("e", MODEL, False),
        ("f", MODEL, False),
        ("g", MODEL, False),
        ("h", MODEL, False),
        ('{"i":1}', MODEL, True),
        ("j", TOOL, False),
        ("k", TOOL, False),
        ("l", MODEL, False),
        ("{}", MODEL, True),
        ("m", TOOL, False),
        ("n", MODEL, False),
        ("o", MODEL, False),
        ("p", TOOL, False),
        ("q", MODEL, False),
        ("r", TOOL, False),
        ("s", TOOL, False),
        ("t", APPLICATION, False),
        ("u", USER, False),
        ("v", USER, False),
    ]
    assert asked(input="a") == [("a", USER, False)]
    assert asked(input=3, instructions=None, tools="x", prompt={}) == []


def test_words_about_tools_and_errors() -> None:
    function = {"type": "function", "name": "n", "description": "f", "parameters": {"description": "x"}}
    space = {"type": "namespace", "name": "s", "description": "s", "tools": [function]}
    mcp = {"type": "mcp", "server_label": "l", "server_description": "m"}
    assert asked(
        input=[
            {"type": "mcp_list_tools", "tools": [{"name": "n", "description": "a", "input_schema": {}}]},
            {"type": "additional_tools", "role": "developer", "tools": [space]},
            {"type": "tool_search_output", "tools": [space, mcp]},
            {"type": "tool_search_call", "arguments": {"goal": "b", "more": [{"arguments": "c"}]}},
            {"type": "mcp_call", "arguments": "{}", "error": "d"},
            {"type": "mcp_call", "error": {"type": "http_error", "code": 1, "message": "e"}},
            {"type": "mcp_call", "error": {"content": [{"type": "text", "text": "g"}]}},
        ],
        tools=[space, mcp],
    ) == [
        ("a", TOOL, False),
        ("s", APPLICATION, False),
        ("f", APPLICATION, False),
        ("s", TOOL, False),
        ("f", TOOL, False),
        ("m", TOOL, False),
        ("b", MODEL, False),
        ("c", MODEL, False),
        ("{}", MODEL, True),
        ("d", TOOL, False),
        ("e", TOOL, False),
        ("g", TOOL, False),
        ("s", APPLICATION, False),
        ("f", APPLICATION, False),
        ("m", APPLICATION, False),
    ]


@pytest.mark.parametrize(
    ("part", "words", "put"),
    [
        ({"file_data": "data:text/plain;base64,aGl2ZQ=="}, "hive", "data:text/plain;base64,YmVlcw=="),
        ({"file_data": "DATA:;base64,aGl2ZQ=="}, "hive", "DATA:;base64,YmVlcw=="),
        ({"file_data": "data:text/plain,hive"}, "data:text/plain,hive", "bees"),
        ({"file_data": "aGl2ZQ==", "filename": "a.MD"}, "hive", "YmVlcw=="),
        ({"file_data": "aGl2ZQ==", "filename": "a.py"}, "hive", "YmVlcw=="),
        ({"file_data": "aGl2ZQ==", "filename": []}, "hive", "YmVlcw=="),
        ({"file_data": "aGl2ZQ==", "filename": "a.pdf"}, None, None),
        ({"file_data": "data:application/pdf;base64,aGl2ZQ=="}, None, None),
        ({"file_data": "/wA=", "filename": "a.bin"}, None, None),
    ],
)
def test_files_of_text(part: dict[str, Any], words: str | None, put: str | None) -> None:
    content = [{"type": "input_file", **part}]
    document = dialect.prompt_texts(fields({"input": [{"role": "user", "content": content}]}))["input"]
    assert [slot.text for slot in document.slots] == ([] if words is None else [words])
    for slot in document.slots:
        slot.put(slot.text)
        assert document.value["input"][0]["content"] == content
        slot.put("bees")
        assert document.value["input"][0]["content"][0]["file_data"] == put


def test_a_text_can_be_put_elsewhere() -> None:
    documents = dialect.prompt_texts(fields({"input": [{"role": "user", "content": "a"}]}))
    documents["input"].slots[0].put("b")
    assert documents["input"].value == {"input": [{"role": "user", "content": "b"}]}


def test_what_a_model_answers() -> None:
    found = [
        (slot.text, slot.origin) for slot in dialect.answer_texts({"instructions": "x", "output": OUTPUT})
    ]
    assert found == [
        ("Let me ", MODEL),
        ("sée.", MODEL),
        ("I look 🐝.", MODEL),
        ('{"a":1}', MODEL),
    ]
    assert list(dialect.answer_texts([])) == list(dialect.answer_texts({"output": None})) == []


def test_pieces_and_wholes_of_a_stream_have_the_same_channel() -> None:
    pieces: dict[Any, str] = {}
    again: dict[Any, set[str]] = {}
    for event in CANONICAL:
        for channel, place, key, _, is_again in dialect.event_texts(event):
            if is_again:
                again.setdefault(channel, set()).add(place[key])
            else:
                pieces[channel] = pieces.get(channel, "") + place[key]
    assert {channel: {text} for channel, text in pieces.items()} == again
    assert pieces == {
        ("rs_p", "summary", 0, "text"): "Let me ",
        ("rs_p", "summary", 1, "text"): "sée.",
        ("msg_p", "content", 0, "text"): "I look 🐝.",
        ("fc_p", "arguments"): '{"a":1}',
    }


def test_pieces_of_tools_that_the_provider_runs() -> None:
    where = {"item_id": "x", "output_index": 2}
    command = {"output_index": 2, "command_index": 0}
    output = {**where, "command_index": 1}
    shell = {"type": "shell_call", "id": "y", "action": {"commands": ["ls"]}}
    events = [
        {"type": "response.custom_tool_call_input.delta", **where, "delta": "a"},
        {"type": "response.mcp_call_arguments.delta", **where, "delta": "{"},
        {"type": "response.code_interpreter_call_code.done", **where, "code": "b"},
        {"type": "response.shell_call_command.added", **command, "command": "l"},
        {"type": "response.shell_call_command.delta", **command, "delta": "s"},
        {"type": "response.output_item.done", "output_index": 2, "item": shell},
        {"type": "response.shell_call_output_content.delta", **output, "delta": {"stdout": "c"}},
        {
            "type": "response.shell_call_output_content.done",
            **output,
            "output": [{"stdout": "c", "stderr": ""}],
        },
        {"type": "response.audio.transcript.delta", "delta": "d"},
        {"type": "response.audio.delta", "delta": "AAAA"},
        {"type": "response.refusal.done", **where, "content_index": 0, "refusal": "e"},
    ]
    found = [
        (place.channel, place.place[place.key], place.is_json, place.is_again)
        for event in events
        for place in dialect.event_texts(event)
    ]
    assert found == [
        (("x", "input"), "a", False, False),
        (("x", "arguments"), "{", True, False),
        (("x", "code"), "b", False, True),
        (("", 2, "action", "commands", 0), "l", False, True),
        (("", 2, "action", "commands", 0), "s", False, False),
        (("", 2, "action", "commands", 0), "ls", False, True),
        (("x", "output", 1, "stdout"), "c", False, False),
        (("x", "output", 0, "stdout"), "c", False, True),
        (("", None, "transcript"), "d", False, False),
        (("x", "content", 0, "refusal"), "e", False, True),
    ]


class Bees:
    """Takes every bee out of what it reads."""

    async def on_input(self, asker: Asker, texts: Sequence[Text]) -> Decision:
        raise AssertionError("only answers are guarded here")

    async def on_output(self, asker: Asker, texts: Sequence[Text], *, more: bool) -> Decision:
        found = [
            Found("bee", number, match.start(), match.end())
            for number, text in enumerate(texts)
            for match in re.finditer("bee", text.text)
        ]
        open = [min(len(text.text), 2) for text in texts]
        return Decision(Verdict.REDACTED, found=found, open=open)


async def test_what_guards_take_out_of_pieces_is_told_nowhere_again() -> None:
    said = whole(
        told(form.Thinking(is_summary=True), "A b", "ee?"),
        told(form.Text(), "Two be", "es, a b", "ee.", number=1),
        told(form.Call("call_1", "f"), '{"a":"', 'bee"}', number=2),
    )
    stream = stream_of(said)
    gate = OutputGate(Bees(), Asker("r", "t", "k", "m", None), 8, "", dialect.event_texts)
    out = (
        b"".join([await gate.feed(stream[at : at + 7]) for at in range(0, len(stream), 7)]) + await gate.end()
    )
    assert b"bee" not in out.replace(b'"model":"bee-2"', b"")
    last = checked(out)[-1]["response"]["output"]
    assert last[0]["summary"][0]["text"] == "A [BEE]?"
    assert last[1]["content"][0]["text"] == "Two [BEE]s, a [BEE]."
    assert last[2]["arguments"] == '{"a":"[BEE]"}'


def test_what_was_taken_out_of_the_prompt_is_put_back_everywhere() -> None:
    redaction = Redaction()
    redaction.replace(['say "bee"'], [Span(0, 4, 9, "word")])
    said = whole(
        told(form.Text(), "[WO", "RD_1]!"), told(form.Call("call_1", "f"), '{"a":"[WORD', '_1]"}', number=1)
    )
    gate = RestoringGate(redaction, dialect.event_texts)
    last = checked(gate.feed(stream_of(said)) + gate.end())[-1]["response"]["output"]
    assert last[0]["content"][0]["text"] == '"bee"!'
    assert msgspec.json.decode(last[1]["arguments"]) == {"a": '"bee"'}


def test_events_without_texts() -> None:
    events: list[Any] = [
        [],
        {},
        {"type": "error", "message": "x"},
        {"type": "response.created", "response": None},
    ]
    assert [list(dialect.event_texts(event)) for event in events] == [[]] * 4
