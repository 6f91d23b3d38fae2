"""Interactions: whole answers, those that are stored, and those that stream."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest
from google.genai import interactions

from hive_routing.dialects.form import (
    Answer,
    Began,
    Call,
    Choice,
    Closed,
    Ended,
    Event,
    Failed,
    Media,
    Opaque,
    Opened,
    Part,
    Prompt,
    Refusal,
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
from hive_routing.dialects.interactions import dialect
from hive_routing.dialects.interactions.answers import interaction_of
from hive_routing.dialects.port import Frame
from hive_routing.providers.sse import EventSplitter, read_named
from hive_routing.usage import Usage

PROMPT = Prompt("interactions", "bee")
OWN = Seal("interactions", "signature", "c2Vh/A==")
FOREIGN = Seal("messages", "signature", "é~")
PACKED = "hive1.messages.signature.w6l-"
USAGE = Usage(9, 8, {"cached_prompt": 4, "prompt": 5, "completion": 5, "reasoning": 3})


def write(*parts: Part, stop: Stop = Stop.END, **said: Any) -> dict[str, Any]:
    body = dialect.write_answer(Answer(choices=[Choice(list(parts), stop)], **said), PROMPT)
    interaction = interactions.Interaction.model_validate_json(body)
    assert not any(step.type == "UNKNOWN" for step in interaction.steps or ())
    return msgspec.json.decode(body, type=dict[str, Any])


def test_an_answer() -> None:
    written = write(Text("hello"), id="v1_abc", model="bee-2", created=1767323045, usage=USAGE)
    said = {"type": "text", "text": "hello"}
    assert written == {
        "id": "v1_abc",
        "object": "interaction",
        "model": "bee-2",
        "status": "completed",
        "created": "2026-01-02T03:04:05Z",
        "updated": "2026-01-02T03:04:05Z",
        "steps": [{"type": "model_output", "content": [said]}],
        "outputs": [said],
        "usage": {
            "total_input_tokens": 9,
            "total_output_tokens": 5,
            "total_thought_tokens": 3,
            "total_cached_tokens": 4,
            "total_tool_use_tokens": 0,
            "total_tokens": 17,
        },
    }


def test_a_nameless_answer_gets_a_name_and_no_time() -> None:
    written = write(Text("hello"))
    assert written["id"].startswith("v1_")
    assert written["id"] != write(Text("hello"))["id"]
    assert written["model"] == "bee"
    assert "created" not in written
    assert "usage" not in written


@pytest.mark.parametrize(
    ("part", "steps"),
    [
        (Refusal("no"), [{"type": "model_output", "content": [{"type": "text", "text": "no"}]}]),
        (
            Text("a", seal=FOREIGN),
            [{"type": "model_output", "content": [{"type": "text", "text": "a", "signature": PACKED}]}],
        ),
        (
            Thinking("hm", FOREIGN),
            [{"type": "thought", "signature": PACKED, "summary": [{"type": "text", "text": "hm"}]}],
        ),
        (Thinking("", OWN), [{"type": "thought", "signature": "c2Vh/A==", "summary": []}]),
        (
            Call("x", "f", '{"a":1}', seal=FOREIGN),
            [
                {"type": "thought", "signature": PACKED},
                {"type": "function_call", "id": "x", "name": "f", "arguments": {"a": 1}},
            ],
        ),
        (
            Call("x", "f", '{"cut'),
            [{"type": "function_call", "id": "x", "name": "f", "arguments": {"_raw": '{"cut'}}],
        ),
        (
            Media("image", "image/png", data="AA=="),
            [
                {
                    "type": "model_output",
                    "content": [{"type": "image", "data": "AA==", "mime_type": "image/png"}],
                }
            ],
        ),
        (Opaque("messages", "server_tool_use", {}), []),
    ],
)
def test_parts_are_steps(part: Part, steps: list[Any]) -> None:
    written = write(part)
    assert written["steps"] == steps
    contents = [each for step in steps for each in step.get("content", [step])]
    assert written["outputs"] == contents


@pytest.mark.parametrize(
    ("stop", "status"),
    [
        (Stop.END, "completed"),
        (Stop.SEQUENCE, "completed"),
        (Stop.TOOLS, "requires_action"),
        (Stop.LENGTH, "incomplete"),
        (Stop.CONTEXT, "incomplete"),
        (Stop.FILTERED, "incomplete"),
        (Stop.PAUSED, "incomplete"),
    ],
)
def test_how_it_ended(stop: Stop, status: str) -> None:
    assert write(Text("a"), stop=stop)["status"] == status


@pytest.mark.parametrize(
    ("status", "stop"),
    [
        ("completed", Stop.END),
        ("requires_action", Stop.TOOLS),
        ("incomplete", Stop.LENGTH),
        ("requires_continuation", Stop.PAUSED),
    ],
)
def test_how_it_ended_is_read(status: str, stop: Stop) -> None:
    body = msgspec.json.encode({"id": "v1_abc", "status": status, "steps": []})
    assert dialect.read_answer(body) == Answer("v1_abc", choices=[Choice(stop=stop)])


def test_what_was_asked_may_stand_before_what_was_answered() -> None:
    steps = [
        {"type": "user_input", "content": [{"type": "text", "text": "hi"}]},
        {"type": "function_call", "id": "x", "name": "f", "arguments": {}},
        {"type": "function_result", "call_id": "x", "result": "sunny"},
        {"type": "model_output", "content": [{"type": "text", "text": "sunny"}]},
    ]
    answer = dialect.read_answer(msgspec.json.encode({"status": "completed", "steps": steps}))
    assert answer.choices[0].parts == [Call("x", "f", "{}"), Text("sunny")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"status":"failed","steps":[]}',
        b'{"status":"completed","steps":[3]}',
        b'{"steps":3}',
    ],
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        dialect.read_answer(body)


def test_audio_is_told_by_modality() -> None:
    usage = Usage(
        9,
        3,
        {"prompt": 2, "audio_in": 7, "cached_prompt": 0, "reasoning": 0, "completion": 2, "audio_out": 1},
    )
    written = write(Text("a"), usage=usage)
    assert written["usage"]["input_tokens_by_modality"] == [
        {"modality": "text", "tokens": 2},
        {"modality": "audio", "tokens": 7},
    ]
    assert dialect.read_answer(msgspec.json.encode(written)).usage == usage


# ---- stored, or on its way


def test_one_that_is_on_its_way() -> None:
    assert interaction_of(PROMPT, id="v1_abc", status="queued", created=1767323045, updated=1767323046.5) == {
        "id": "v1_abc",
        "object": "interaction",
        "model": "bee",
        "status": "queued",
        "created": "2026-01-02T03:04:05Z",
        "updated": "2026-01-02T03:04:06Z",
        "steps": [],
        "outputs": [],
    }
    assert interaction_of(PROMPT)["status"] == "in_progress"


def test_one_that_goes_on_from_another_and_tells_what_was_asked() -> None:
    answer = Answer("chatcmpl-1", "bee-2", choices=[Choice([Call("x", "f", "{}")], Stop.TOOLS)])
    stored = interaction_of(PROMPT, answer, id="v1_abd", previous="v1_abc", input="hi")
    interactions.Interaction.model_validate(stored)
    assert (stored["id"], stored["status"], stored["model"]) == ("v1_abd", "requires_action", "bee-2")
    assert (stored["previous_interaction_id"], stored["input"]) == ("v1_abc", "hi")
    assert interaction_of(PROMPT, answer, status="cancelled")["status"] == "cancelled"


# ---- streams

EVENTS: list[Event] = [
    Began("v1_abc", "bee-2", 1767323045),
    Opened(0, 0, Thinking(is_summary=True)),
    Said(0, 0, "I wonder"),
    Said(0, 0, " é"),
    Sealed(0, 0, FOREIGN),
    Closed(0, 0),
    Opened(0, 1, Text()),
    Said(0, 1, "It is "),
    Said(0, 1, "sunny."),
    Sealed(0, 1, FOREIGN),
    Closed(0, 1),
    Opened(0, 2, Media("image", "image/png", data="AA==")),
    Closed(0, 2),
    Opened(0, 3, Call("x", "f", seal=FOREIGN)),
    Said(0, 3, '{"a":'),
    Said(0, 3, '"é"}'),
    Closed(0, 3),
    Opened(0, 4, Call("y", "g")),
    Closed(0, 4),
    Stopped(0, Stop.TOOLS),
    Spent(USAGE),
    Ended(),
]


def stream(events: Sequence[Event], usage: Usage | None = USAGE) -> bytes:
    writer = dialect.writer(PROMPT)
    return b"".join([*(writer.write(event) for event in events), writer.finish(usage)])


def read(pieces: Iterable[bytes]) -> list[Event]:
    reader, splitter = dialect.reader(), EventSplitter()
    events = []
    for piece in pieces:
        for event in splitter.feed(piece):
            name, data = read_named(event)
            assert data is not None
            events += reader.feed(Frame(name, data))
    return [*events, *reader.end()]


def told(written: bytes) -> list[dict[str, Any]]:
    """The events, each of which has to be one that Google's SDK knows."""
    decoded = []
    for event in EventSplitter().feed(written):
        name, data = read_named(event)
        assert data is not None
        value = msgspec.json.decode(data, type=dict[str, Any])
        assert value["event_type"] == name
        parsed = interactions.InteractionSSEStreamEvent.model_validate({"data": value})
        assert parsed.data.event_type == name
        decoded.append(value)
    return decoded


def test_a_stream_comes_back_as_it_was_at_every_split() -> None:
    written = stream(EVENTS)
    for at in range(len(written)):
        assert read([written[:at], written[at:]]) == EVENTS
    assert read(written[at : at + 1] for at in range(len(written))) == EVENTS


def test_the_order_of_a_stream() -> None:
    interaction = {
        "id": "v1_abc",
        "object": "interaction",
        "model": "bee-2",
        "created": "2026-01-02T03:04:05Z",
    }
    events = told(
        stream([EVENTS[0], Opened(0, 0, Text()), Said(0, 0, "hi"), Closed(0, 0), Stopped(0, Stop.END)])
    )
    assert events == [
        {"event_type": "interaction.created", "interaction": interaction | {"status": "in_progress"}},
        {"event_type": "interaction.status_update", "interaction_id": "v1_abc", "status": "in_progress"},
        {"event_type": "step.start", "index": 0, "step": {"type": "model_output"}},
        {"event_type": "step.delta", "index": 0, "delta": {"type": "text", "text": "hi"}},
        {"event_type": "step.stop", "index": 0},
        {
            "event_type": "interaction.completed",
            "interaction": interaction
            | {
                "status": "completed",
                "usage": {
                    "total_input_tokens": 9,
                    "total_output_tokens": 5,
                    "total_thought_tokens": 3,
                    "total_cached_tokens": 4,
                    "total_tool_use_tokens": 0,
                    "total_tokens": 17,
                },
            },
        },
    ]


def test_a_call_has_its_signature_before_it() -> None:
    events = told(stream([EVENTS[0], *EVENTS[13:17], Stopped(0, Stop.TOOLS)]))[2:-1]
    assert [(each["event_type"], each["index"]) for each in events] == [
        ("step.start", 0),
        ("step.delta", 0),
        ("step.stop", 0),
        ("step.start", 1),
        ("step.delta", 1),
        ("step.delta", 1),
        ("step.stop", 1),
    ]
    assert events[0]["step"] == {"type": "thought"}
    assert events[1]["delta"] == {"type": "thought_signature", "signature": PACKED}
    assert events[3]["step"] == {"type": "function_call", "id": "x", "name": "f", "arguments": {}}
    assert events[4]["delta"] == {"type": "arguments_delta", "arguments": '{"a":'}


def test_what_was_open_already_has_its_text() -> None:
    events: list[Event] = [
        Opened(0, 0, Thinking("hm", OWN)),
        Closed(0, 0),
        Opened(0, 1, Text("so")),
        Said(0, 1, " far"),
        Closed(0, 1),
        Opened(0, 2, Refusal("no")),
        Closed(0, 2),
        Opened(0, 3, Call("x", "f", "{}")),
        Closed(0, 3),
        Opened(0, 4, Opaque("messages", "server_tool_use", {})),
        Closed(0, 4),
        Stopped(0, Stop.TOOLS),
    ]
    told(stream([Began("a", "b"), *events]))
    assert gather(read([stream([Began("a", "b"), *events])])).choices == [
        Choice(
            [Thinking("hm", OWN, is_summary=True), Text("so far"), Text("no"), Call("x", "f", "{}")],
            Stop.TOOLS,
        )
    ]


def test_a_call_that_is_sealed_late_is_sealed_all_the_same() -> None:
    events: list[Event] = [
        Opened(0, 0, Call("x", "f")),
        Sealed(0, 0, FOREIGN),
        Closed(0, 0),
        Stopped(0, Stop.TOOLS),
    ]
    assert gather(read([stream([Began("a"), *events])])).choices[0].parts == [Call("x", "f", seal=FOREIGN)]


def google(*events: dict[str, Any], done: bool = True) -> list[Event]:
    """What is read of a stream as Google writes it."""
    written = b"".join(
        b"event: " + str(each["event_type"]).encode() + b"\ndata: " + msgspec.json.encode(each) + b"\n\n"
        for each in events
    )
    return read([written + (b"event: done\ndata: [DONE]\n\n" if done else b"")])


CREATED = {"event_type": "interaction.created", "interaction": {"id": "v1_abc", "model": "bee"}}
COMPLETED = {"event_type": "interaction.completed", "interaction": {"id": "v1_abc", "status": "completed"}}


def step(index: int, step: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"event_type": "step.start", "index": index, "step": step},
        *({"event_type": "step.delta", "index": index, "delta": delta} for delta in deltas),
        {"event_type": "step.stop", "index": index},
    ]


def test_a_stream_of_googles_own() -> None:
    summary = {"type": "thought_summary", "content": {"type": "text", "text": "hm"}}
    signature = {"type": "thought_signature", "signature": "c2Vh/A=="}
    answer = gather(
        google(
            CREATED,
            *step(0, {"type": "thought", "signature": ""}, summary, signature),
            *step(
                1,
                {"type": "model_output", "content": [{"type": "text", "text": "It is "}]},
                {"type": "text", "text": "sunny."},
                {"type": "text_annotation_delta", "annotations": []},
            ),
            *step(2, {"type": "thought"}, signature),
            *step(3, {"type": "thought", "summary": [{"type": "text", "text": "so"}]}),
            *step(
                4,
                {"type": "google_search_call", "id": "s", "arguments": {}},
                {"type": "google_search_call", "arguments": {"queries": ["a"]}},
            ),
            *step(5, {"type": "function_call", "id": "x", "name": "f", "arguments": {"a": 1}}),
            COMPLETED,
        )
    )
    search = {"type": "google_search_call", "id": "s", "arguments": {"queries": ["a"]}}
    assert answer.choices == [
        Choice(
            [
                Thinking("hm", OWN, is_summary=True),
                Text("It is sunny."),
                Thinking("", OWN, is_summary=True),
                Thinking("so", is_summary=True),
                Opaque("interactions", "google_search_call", search),
                Call("x", "f", '{"a":1}'),
            ],
            Stop.TOOLS,
        )
    ]


def test_a_stream_that_was_cut_is_not_over() -> None:
    assert google(CREATED, done=False) == [Began("v1_abc", "bee")]
    assert Ended() not in google(CREATED, *step(0, {"type": "model_output"}, {"type": "text", "text": "a"}))


@pytest.mark.parametrize(
    "event",
    [
        {"event_type": "error", "error": {"code": "internal", "message": "no"}},
        {
            "event_type": "interaction.completed",
            "interaction": {"status": "failed", "errors": {"code": "internal", "message": "no"}},
        },
    ],
)
def test_an_error_ends_it(event: dict[str, Any]) -> None:
    assert google(CREATED, event, done=False)[-1] == Failed({"code": "internal", "message": "no"})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"3",
        b"{}",
        b'{"event_type":"step.delta","index":7,"delta":{"type":"text","text":"a"}}',
        b'{"event_type":"step.stop","index":7}',
        b'{"event_type":"step.start","step":{"type":"function_call"}}',
        b'{"event_type":"step.start","step":{"type":"model_output","content":3}}',
    ],
)
def test_what_cannot_be_read(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        dialect.reader().feed(Frame("", data))
