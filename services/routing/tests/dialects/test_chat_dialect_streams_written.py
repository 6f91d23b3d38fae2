"""Streams of chat completions for clients, in OpenAI's order to the byte."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
from hypothesis import given
from openai.lib.streaming.chat import ChatCompletionStreamState

from hive_routing.dialects.chat import dialect
from hive_routing.dialects.form import (
    Answer,
    Began,
    Call,
    Closed,
    Ended,
    Event,
    Opened,
    Prompt,
    Said,
    Seal,
    Sealed,
    Spent,
    Stop,
    Stopped,
    Text,
    Thinking,
    gather,
)
from services.routing.tests.dialects.can_chat import CAN
from services.routing.tests.dialects.chat_wire import (
    ASKED,
    DONE,
    USAGE,
    chunks_of,
    data_of,
    fields_of,
    read_stream,
    write_stream,
)
from services.routing.tests.dialects.conversations import RANDOMS, answers, events_of, few

SIGNED = Seal("messages", "signature", "c2VhbA==")


def accumulated(stream: bytes) -> dict[str, Any]:
    """What OpenAI's SDK makes of it."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for each in chunks_of(stream):
        state.handle_chunk(each)
    return state.current_completion_snapshot.to_dict()


def test_the_chunks_are_openais() -> None:
    part = Call("call_a1", "get_weather")
    stream = write_stream(
        [
            Began("chatcmpl-7", "gpt", 1763800000),
            Opened(0, 0, Text()),
            Said(0, 0, "Ro"),
            Said(0, 0, "me"),
            Closed(0, 0),
            Opened(0, 1, part),
            Said(0, 1, '{"ci'),
            Said(0, 1, 'ty":1}'),
            Closed(0, 1),
            Stopped(0, Stop.TOOLS),
            Spent(USAGE),
            Ended(),
        ]
    )
    head = b'data: {"id":"chatcmpl-7","object":"chat.completion.chunk","created":1763800000,"model":"gpt","choices":['
    deltas = [
        b'{"role":"assistant","content":""}',
        b'{"content":"Ro"}',
        b'{"content":"me"}',
        b'{"tool_calls":[{"index":0,"id":"call_a1","type":"function","function":{"name":"get_weather","arguments":""}}]}',
        b'{"tool_calls":[{"index":0,"function":{"arguments":"{\\"ci"}}]}',
        b'{"tool_calls":[{"index":0,"function":{"arguments":"ty\\":1}"}}]}',
    ]
    chunks = [b'{"index":0,"delta":%b,"finish_reason":null}],"usage":null}' % delta for delta in deltas]
    chunks += [b'{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":null}']
    chunks += [b'],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}']
    assert stream == b"".join(head + each + b"\n\n" for each in chunks) + b"data: [DONE]\n\n"


def test_usage_is_told_to_who_asked_for_it() -> None:
    events: list[Event] = [
        Began(),
        Opened(0, 0, Text()),
        Said(0, 0, "a"),
        Closed(0, 0),
        Stopped(0, Stop.END),
        Spent(USAGE),
        Ended(),
    ]
    for each in data_of(write_stream(events, Prompt("chat", "bee", stream=True))):
        assert each == DONE or msgspec.json.decode(each)["choices"]
        assert b"usage" not in each


def test_all_chunks_are_of_one_answer() -> None:
    events: list[Event] = [
        Began("msg_1"),
        Opened(0, 0, Text()),
        Said(0, 0, "a"),
        Closed(0, 0),
        Stopped(0, Stop.END),
    ]
    chunks = chunks_of(write_stream(events))
    assert len({(each.id, each.created, each.model) for each in chunks}) == 1
    assert chunks[0].id.startswith("chatcmpl-")
    assert chunks[0].created > 1_700_000_000
    assert chunks[0].model == "bee"


def test_each_choice_begins_with_its_role() -> None:
    events: list[Event] = [
        Began(),
        Opened(1, 0, Text()),
        Said(1, 0, "b"),
        Opened(0, 0, Text()),
        Said(0, 0, "a"),
        Closed(1, 0),
        Stopped(1, Stop.END),
        Closed(0, 0),
        Stopped(0, Stop.LENGTH),
        Stopped(2, Stop.FILTERED),
    ]
    told = [
        (each.choices[0].index, each.choices[0].delta.role) for each in chunks_of(write_stream(events))[:-1]
    ]
    assert [each for each in told if each[1]] == [(0, "assistant"), (1, "assistant"), (2, "assistant")]
    assert all(
        told.index((index, "assistant")) == [each[0] for each in told].index(index) for index in (0, 1, 2)
    )


@few
@given(answer=answers(CAN, 2), random=RANDOMS)
def test_openais_sdk_puts_it_together(answer: Answer, random: Random) -> None:
    stream = write_stream(events_of(answer, random, interleaves=True), usage=answer.usage)
    whole = msgspec.json.decode(dialect.write_answer(answer, ASKED))
    read = accumulated(stream)
    for told, expected in zip(read["choices"], whole["choices"], strict=True):
        message = expected["message"]
        for name in ("content", "refusal", "reasoning_content"):
            assert (told["message"].get(name) or "") == (message.get(name) or "")
        assert without_index(told["message"].get("tool_calls")) == message.get("tool_calls", [])
        details = sorted(map(bare, told["message"].get("reasoning_details") or []))
        assert details == sorted(map(bare, message.get("reasoning_details") or []))
        assert told["finish_reason"] == expected["finish_reason"]


def without_index(calls: Any) -> list[Any]:
    """As the SDK gives them, calls keep what only chunks have."""
    kept = []
    for each in calls or ():
        function = {name: each["function"][name] for name in ("name", "arguments")}
        extra = {"extra_content": each["extra_content"]} if "extra_content" in each else {}
        kept.append({"id": each["id"], "type": each["type"], "function": function} | extra)
    return kept


def bare(detail: dict[str, Any]) -> list[tuple[str, Any]]:
    return sorted((name, value) for name, value in detail.items() if name != "index")


@few
@given(answer=answers(CAN), random=RANDOMS)
def test_a_stream_comes_back_in_the_next_prompt(answer: Answer, random: Random) -> None:
    choice = answer.choices[0]
    choice.parts = [part for part in choice.parts if isinstance(part, Text | Thinking | Call)]
    stream = write_stream(events_of(answer, random, interleaves=True))
    message = accumulated(stream)["choices"][0]["message"]
    turns = dialect.read_prompt(fields_of({"messages": [message]})).turns
    assert [part for turn in turns for part in turn.parts] == choice.parts


def test_a_seal_that_comes_behind_its_call_is_in_its_id() -> None:
    part = Call("call_1", "f", seal=None)
    events: list[Event] = [
        Began(),
        Opened(0, 0, part),
        Sealed(0, 0, SIGNED),
        Said(0, 0, "{}"),
        Closed(0, 0),
        Opened(0, 1, Call("call_2", "g")),
        Closed(0, 1),
        Stopped(0, Stop.TOOLS),
    ]
    calls = [
        each
        for chunk in chunks_of(write_stream(events))[:-1]
        for each in chunk.choices[0].delta.tool_calls or ()
    ]
    assert [(each.index, each.id) for each in calls] == [
        (0, "call_1~hive1.messages.signature.YzJWaGJBPT0"),
        (0, None),
        (1, "call_2"),
    ]


def test_who_asked_with_functions_gets_a_function_call() -> None:
    fields = fields_of(
        {"messages": [{"role": "user", "content": "Hi"}], "functions": [{"name": "f"}], "stream": True}
    )
    events: list[Event] = [
        Began(),
        Opened(0, 0, Call("call_1", "f")),
        Said(0, 0, "{}"),
        Closed(0, 0),
        Opened(0, 1, Call("call_2", "g")),
        Closed(0, 1),
        Stopped(0, Stop.TOOLS),
    ]
    _, *chunks = chunks_of(write_stream(events, dialect.read_prompt(fields)))
    told = [chunk.choices[0].delta for chunk in chunks]
    assert [each.function_call.to_dict() for each in told if each.function_call] == [
        {"name": "f", "arguments": ""},
        {"arguments": "{}"},
    ]
    assert [each.id for delta in told for each in delta.tool_calls or ()] == ["call_2"]
    assert chunks[-1].choices[0].finish_reason == "function_call"


def test_a_part_that_was_known_already_is_told_whole() -> None:
    events: list[Event] = [
        Began("chatcmpl-1", "bee", 7),
        Opened(0, 0, Text("Ro")),
        Said(0, 0, "me"),
        Closed(0, 0),
        Opened(0, 1, Call("call_1", "f", "{}")),
        Closed(0, 1),
        Stopped(0, Stop.LENGTH),
        Ended(),
    ]
    assert gather(read_stream(*data_of(write_stream(events, usage=None)))) == gather(events)
