"""Streams of providers of chat completions, however they differ."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hive_routing.dialects.chat import dialect
from hive_routing.dialects.form import (
    Answer,
    Began,
    Call,
    Choice,
    Closed,
    Ended,
    Event,
    Failed,
    Opaque,
    Opened,
    Part,
    Refusal,
    Said,
    Seal,
    Spent,
    Stop,
    Stopped,
    Text,
    Thinking,
    gather,
)
from hive_routing.dialects.port import Frame
from services.routing.tests.dialects.chat_wire import DONE, USAGE, data_of, read_stream, write_stream
from services.routing.tests.dialects.conversations import assert_well_formed

HEARD = Seal("chat", "reasoning_content", "")


def chunk(
    delta: Any = None, finish_reason: str | None = None, index: int = 0, **members: Any
) -> dict[str, Any]:
    choice = {"index": index, "delta": delta or {}, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "bee",
        "choices": [choice],
    } | members


def deltas(*given: Any, finish_reason: str = "stop") -> list[Event]:
    """What the deltas of the only choice of a complete stream say, without what begins and ends each stream."""
    events = read_stream(*(chunk(each) for each in given), chunk(finish_reason=finish_reason), DONE)
    assert_well_formed(events)
    return events[1:-1]


def call(
    index: int | None = 0, id: str | None = None, name: str | None = None, arguments: str | None = None
) -> Any:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    place = {key: value for key, value in (("index", index), ("id", id)) if value is not None}
    return {**place, "function": function}


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ([{"role": "assistant", "content": ""}, {"content": "a"}, {"content": "b"}], [Text("ab")]),
        (
            [{"reasoning_content": "H"}, {"reasoning_content": "m"}, {"content": "a"}],
            [Thinking("Hm", HEARD), Text("a")],
        ),
        (
            [{"reasoning": "Hm", "content": ""}, {"content": "a"}],
            [Thinking("Hm", Seal("chat", "reasoning", "")), Text("a")],
        ),
        ([{"reasoning_content": "Hm", "reasoning": "Hm"}], [Thinking("Hm", HEARD)]),
        ([{"reasoning_content": None, "content": None, "refusal": "No."}], [Refusal("No.")]),
        (
            [
                {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "H"}]}]},
                {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "m"}]}]},
                {"content": [{"type": "text", "text": "a"}]},
                {"content": "b"},
            ],
            [Thinking("Hm", Seal("chat", "thinking", "")), Text("ab")],
        ),
        (
            [{"content": "a"}, {"reasoning_content": "Hm"}, {"content": "b"}],
            [Text("a"), Thinking("Hm", HEARD), Text("b")],
        ),
        (
            [
                {"tool_calls": [call(0, "call_1", "f", "")]},
                {"tool_calls": [call(1, "call_2", "g", "")]},
                {"tool_calls": [call(0, arguments="{"), call(1, arguments="[")]},
                {"tool_calls": [call(1, arguments="]")]},
                {"tool_calls": [call(0, arguments="}")]},
            ],
            [Call("call_1", "f", "{}"), Call("call_2", "g", "[]")],
        ),
        (  # no index, each whole
            [{"tool_calls": [call(None, "call_1", "f", "{}"), call(None, "call_2", "f", "[]")]}],
            [Call("call_1", "f", "{}"), Call("call_2", "f", "[]")],
        ),
        (  # all of index 0
            [{"tool_calls": [call(0, "call_1", "f", "{}")]}, {"tool_calls": [call(0, "call_2", "f", "[]")]}],
            [Call("call_1", "f", "{}"), Call("call_2", "f", "[]")],
        ),
        (  # no index, in pieces that have the id
            [
                {"tool_calls": [call(None, "call_1", "f", "{")]},
                {"tool_calls": [call(None, "call_1", None, "}")]},
                {"tool_calls": [call(None, None, None, "!")]},
            ],
            [Call("call_1", "f", "{}!")],
        ),
        (  # each piece with an id and a name
            [{"tool_calls": [call(0, "call_1", "f", "{")]}, {"tool_calls": [call(0, "call_1", "f", "}")]}],
            [Call("call_1", "f", "{}")],
        ),
        (  # each piece with an id that is made up
            [{"tool_calls": [call(0, "call_1", "f", "{")]}, {"tool_calls": [call(0, "call_x", None, "}")]}],
            [Call("call_1", "f", "{}")],
        ),
        (  # its name comes late
            [{"tool_calls": [call(0, "call_1", None, "{")]}, {"tool_calls": [call(0, None, "f", "}")]}],
            [Call("call_1", "f", "{}")],
        ),
        (
            [
                {
                    "tool_calls": [
                        {"index": 0, "id": "call_1", "function": {"name": "f", "arguments": {"a": 1}}}
                    ]
                }
            ],
            [Call("call_1", "f", '{"a":1}')],
        ),
        (
            [
                {
                    "tool_calls": [
                        {
                            **call(0, "call_1", "f", "{}"),
                            "extra_content": {"google": {"thought_signature": "Eq/+"}},
                        }
                    ]
                }
            ],
            [Call("call_1", "f", "{}", seal=Seal("chat", "google", "Eq/+"))],
        ),
        (
            [
                {
                    "tool_calls": [
                        {"index": 0, "id": "call_1", "type": "custom", "custom": {"name": "c", "input": "x"}}
                    ]
                },
                {"tool_calls": [{"index": 0, "custom": {"input": "y"}}]},
            ],
            [
                Opaque(
                    "chat",
                    "custom",
                    {"id": "call_1", "type": "custom", "custom": {"name": "c", "input": "xy"}},
                )
            ],
        ),
        (
            [{"content": "a"}, {"annotations": [{"type": "url_citation"}]}, {"content": "b"}],
            [Text("a"), Opaque("chat", "annotations", [{"type": "url_citation"}]), Text("b")],
        ),
    ],
)
def test_what_providers_stream(given: list[Any], parts: list[Part]) -> None:
    choice = gather(deltas(*given)).choices[0]
    assert choice.parts == parts
    has_calls = any(
        isinstance(part, Call) or (isinstance(part, Opaque) and part.kind == "custom") for part in parts
    )
    assert choice.stop is (Stop.TOOLS if has_calls else Stop.END)


def test_a_function_call_of_the_older_kind() -> None:
    *events, _ = deltas(
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": "{}"}},
        finish_reason="function_call",
    )
    opened, said, closed = events
    assert isinstance(opened, Opened)
    assert isinstance(opened.part, Call)
    assert (opened.part.name, opened.part.id[:5]) == ("f", "call_")
    assert [said, closed] == [Said(0, 0, "{}"), Closed(0, 0)]


def test_events_come_as_soon_as_they_are_known() -> None:
    reader = dialect.reader()

    def feed(value: Any) -> list[Event]:
        return reader.feed(Frame("", msgspec.json.encode(value)))

    assert feed(chunk({"role": "assistant", "content": ""})) == [Began("chatcmpl-1", "bee", 7)]
    assert feed(chunk({"content": "a"})) == [Opened(0, 0, Text()), Said(0, 0, "a")]
    assert feed(chunk({"content": "b"})) == [Said(0, 0, "b")]
    assert feed(chunk({"tool_calls": [call(0, "call_1", "f", "")]})) == [
        Closed(0, 0),
        Opened(0, 1, Call("call_1", "f")),
    ]
    assert feed(chunk({"tool_calls": [call(0, arguments="{}")]})) == [Said(0, 1, "{}")]
    assert feed(chunk(finish_reason="tool_calls")) == [Closed(0, 1), Stopped(0, Stop.TOOLS)]
    assert feed({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}) == [Spent(USAGE)]
    assert reader.feed(Frame("", DONE)) == [Ended()]
    assert reader.end() == []


def test_what_comes_behind_the_end_is_no_content() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    events = read_stream(
        chunk({"content": "a"}),
        chunk({"content": ""}, "stop"),
        chunk({"role": "assistant", "content": ""}, "stop", usage=usage),
        DONE,
        chunk({"content": "b"}),
    )
    assert_well_formed(events)
    assert gather(events) == Answer("chatcmpl-1", "bee", 7, [Choice([Text("a")])], USAGE)


def test_a_chunk_without_choices_begins_nothing() -> None:
    azure = {"id": "", "model": "", "created": 0, "choices": [], "prompt_filter_results": []}
    assert read_stream(azure, chunk({"content": "a"}))[0] == Began("chatcmpl-1", "bee", 7)


def test_an_empty_reason_is_none() -> None:
    assert Stopped not in {type(event) for event in read_stream(chunk({"content": "a"}, ""))}


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ({"error": {"message": "overloaded"}}, {"message": "overloaded"}),
        ({"error": "overloaded"}, "overloaded"),
        ({"object": "error", "message": "overloaded"}, {"object": "error", "message": "overloaded"}),
        (
            {
                "choices": [
                    {"index": 0, "delta": {}, "finish_reason": "error", "error": {"message": "overloaded"}}
                ]
            },
            {"message": "overloaded"},
        ),
        (
            chunk({}, "insufficient_system_resource"),
            {"message": "It ended with `insufficient_system_resource`."},
        ),
    ],
)
def test_an_error_is_the_last_event(last: Any, words: Any) -> None:
    events = read_stream(chunk({"content": "a"}), last, chunk({"content": "b"}), DONE)
    assert events[-1] == Failed(words)
    assert Said(0, 0, "b") not in events


def test_a_stream_that_just_stops_has_no_end() -> None:
    assert Ended not in {type(event) for event in read_stream(chunk({"content": "a"}, "stop"))}


@pytest.mark.parametrize(
    "data", [b"{", b"7", b'{"choices":7}', b'{"choices":[{"delta":{"content":7}}]}', b"\xff"]
)
def test_what_is_no_chunk(data: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        dialect.reader().feed(Frame("", data))


def test_logprobs_go_through() -> None:
    tokens = [{"token": each, "logprob": -0.5, "bytes": [97], "top_logprobs": []} for each in "ab"]
    given = [
        {"index": 0, "delta": {"content": each["token"]}, "logprobs": {"content": [each], "refusal": None}}
        for each in tokens
    ]
    events = read_stream(
        *({"id": "chatcmpl-1", "choices": [each]} for each in given), chunk(finish_reason="stop"), DONE
    )
    assert gather(events).choices[0].logprobs == {"content": tokens, "refusal": []}
    assert gather(read_stream(*data_of(write_stream(events)))).choices[0].logprobs == {
        "content": tokens,
        "refusal": [],
    }
