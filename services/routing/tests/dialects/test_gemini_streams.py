"""Streams of generateContent: Google's as events of the form, and these as a client gets to see them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest
from google.genai import types

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
from hive_routing.dialects.gemini import dialect
from hive_routing.dialects.gemini.arrays import ArrayStream
from hive_routing.dialects.port import Frame, Reader
from hive_routing.providers.sse import EventSplitter, read_named
from hive_routing.usage import Usage

OWN = Seal("gemini", "signature", "c2Vh/A==")
IDENTITY = {"modelVersion": "gemini-3-pro", "responseId": "r8Zk"}


def frame(*parts: Any, index: int = 0, **said: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": index}
    reason = said.pop("finishReason", None)
    return {"candidates": [candidate | ({"finishReason": reason} if reason else {})], **IDENTITY, **said}


CANONICAL = [
    frame({"text": "I wonder", "thought": True}, usageMetadata={"promptTokenCount": 9, "totalTokenCount": 9}),
    frame({"text": " é", "thought": True}),
    frame({"text": "It is "}),
    frame({"text": "sunny"}, {"text": "."}),
    frame({"text": "", "thoughtSignature": "c2Vh/A=="}),
    frame({"functionCall": {"id": "x", "name": "f", "args": {"a": "é"}}, "thoughtSignature": "c2Vh/A=="}),
    frame({"functionCall": {"id": "y", "name": "g", "args": {}}}),
    frame(
        {"text": ""},
        finishReason="STOP",
        usageMetadata={
            "promptTokenCount": 9,
            "candidatesTokenCount": 5,
            "thoughtsTokenCount": 3,
            "totalTokenCount": 17,
        },
    ),
]
BYTES = b"".join(b"data: " + msgspec.json.encode(each) + b"\r\n\r\n" for each in CANONICAL)
EVENTS: list[Event] = [
    Began("r8Zk", "gemini-3-pro"),
    Opened(0, 0, Thinking(is_summary=True)),
    Said(0, 0, "I wonder"),
    Spent(Usage(9, 0, {"prompt": 9})),
    Said(0, 0, " é"),
    Closed(0, 0),
    Opened(0, 1, Text()),
    Said(0, 1, "It is "),
    Said(0, 1, "sunny"),
    Said(0, 1, "."),
    Sealed(0, 1, OWN),
    Closed(0, 1),
    Opened(0, 2, Call("x", "f", seal=OWN)),
    Said(0, 2, '{"a":"é"}'),
    Closed(0, 2),
    Opened(0, 3, Call("y", "g")),
    Said(0, 3, "{}"),
    Closed(0, 3),
    Stopped(0, Stop.TOOLS),
    Spent(Usage(9, 8, {"prompt": 9, "completion": 5, "reasoning": 3})),
    Ended(),
]


def read(pieces: Iterable[bytes]) -> list[Event]:
    reader, splitter = dialect.reader(), EventSplitter()
    events = []
    for piece in pieces:
        for event in splitter.feed(piece):
            name, data = read_named(event)
            assert data is not None
            events += reader.feed(Frame(name, data))
    return [*events, *reader.end()]


def feed(reader: Reader, *responses: dict[str, Any]) -> list[Event]:
    return [event for each in responses for event in reader.feed(Frame("", msgspec.json.encode(each)))]


def test_a_stream_at_every_split() -> None:
    assert read([BYTES]) == EVENTS
    for at in range(len(BYTES)):
        assert read([BYTES[:at], BYTES[at:]]) == EVENTS


def test_a_stream_byte_by_byte() -> None:
    assert read(BYTES[at : at + 1] for at in range(len(BYTES))) == EVENTS


def test_a_stream_is_over_when_all_candidates_are() -> None:
    reader = dialect.reader()
    feed(reader, frame({"text": "a"}), frame({"text": "b"}, index=1))
    assert feed(reader, frame(finishReason="MAX_TOKENS")) == [Closed(0, 0), Stopped(0, Stop.LENGTH)]
    assert reader.end() == []
    assert feed(reader, frame({"text": "c"}, index=1, finishReason="STOP")) == [
        Said(1, 0, "c"),
        Closed(1, 0),
        Stopped(1, Stop.END),
    ]
    assert reader.end() == [Ended()]


def test_a_stream_that_was_cut_is_not_over() -> None:
    assert dialect.reader().end() == []


def test_a_blocked_prompt() -> None:
    reader = dialect.reader()
    blocked = {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 4},
    }
    assert feed(reader, blocked) == [Began(), Stopped(0, Stop.FILTERED), Spent(Usage(4, 0, {"prompt": 4}))]
    assert reader.end() == [Ended()]


def test_an_error_ends_it() -> None:
    error = {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}
    assert feed(dialect.reader(), {"error": error}) == [Failed(error)]


def test_usage_is_told_when_it_changes() -> None:
    figures = {"promptTokenCount": 9}
    reader = dialect.reader()
    feed(reader, frame({"text": "a"}, usageMetadata=figures))
    assert feed(reader, frame({"text": "b"}, usageMetadata=figures)) == [Said(0, 0, "b")]


def test_parts_that_come_whole() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    blob = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
    reader = dialect.reader()
    assert feed(reader, frame({"text": "a"}, code, blob, {"text": "b"}))[1:] == [
        Opened(0, 0, Text()),
        Said(0, 0, "a"),
        Closed(0, 0),
        Opened(0, 1, Opaque("gemini", "executableCode", code)),
        Closed(0, 1),
        Opened(0, 2, Media("image", "image/png", data="AA==")),
        Closed(0, 2),
        Opened(0, 3, Text()),
        Said(0, 3, "b"),
    ]


def test_calls_without_ids_get_their_own() -> None:
    first, second = (feed(dialect.reader(), frame({"functionCall": {"name": "f"}}))[1] for _ in range(2))
    assert isinstance(first, Opened)
    assert isinstance(second, Opened)
    assert isinstance(first.part, Call)
    assert isinstance(second.part, Call)
    assert first.part.id.startswith("call_")
    assert first.part.id != second.part.id


def test_a_signature_alone_is_kept() -> None:
    events = feed(dialect.reader(), frame({"text": "", "thoughtSignature": "c2Vh/A=="}))
    assert gather(events).choices[0].parts == [Text("", seal=OWN)]


def test_logprobs_go_with_the_text() -> None:
    candidate = frame({"text": "hm", "thought": True}, {"text": "a"})
    candidate["candidates"][0]["logprobsResult"] = {
        "chosenCandidates": [{"token": "a", "logProbability": -0.5}],
        "topCandidates": [{"candidates": []}],
    }
    logprobs = {
        "content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}],
        "refusal": None,
    }
    assert Said(0, 1, "a", logprobs) in feed(dialect.reader(), candidate)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[DONE]",
        b"3",
        b'{"candidates":3}',
        b'{"candidates":[{"content":{"parts":[{"text":3}]}}]}',
        b'{"candidates":[{"content":{"parts":[{"functionCall":{}}]}}]}',
        b'{"candidates":[{"content":{"parts":[{"text":"\xff"}]}}]}',
    ],
)
def test_what_cannot_be_read(data: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        dialect.reader().feed(Frame("", data))


def test_a_candidate_that_goes_on_after_its_end_cannot_be_read() -> None:
    reader = dialect.reader()
    feed(reader, frame({"text": "a"}, finishReason="STOP"))
    assert feed(reader, frame({"text": ""}, finishReason="STOP")) == []
    with pytest.raises(msgspec.DecodeError):
        feed(reader, frame({"text": "b"}))


# ---- for clients


def write(events: Sequence[Event], usage: Usage | None = None) -> bytes:
    writer = dialect.writer(Prompt("gemini", "bee"))
    return b"".join([*(writer.write(event) for event in events), writer.finish(usage)])


def responses(stream: bytes) -> list[dict[str, Any]]:
    """The frames, each of which has to be one that Google's SDK accepts and keeps in the history of a chat."""
    decoded = []
    for event in EventSplitter().feed(stream):
        assert event.startswith(b"data: {")
        assert event.count(b"\n") == 2
        response = types.GenerateContentResponse.model_validate_json(event[6:])
        assert response.candidates
        for candidate in response.candidates:
            assert candidate.content is not None
            assert candidate.content.parts
            assert all(part != types.Part() for part in candidate.content.parts)
        decoded.append(msgspec.json.decode(event[6:], type=dict[str, Any]))
    return decoded


def test_a_stream_for_a_client() -> None:
    usage = Usage(9, 8, {"prompt": 9, "completion": 5, "reasoning": 3})
    written = responses(write(EVENTS, usage))
    assert [each["candidates"][0]["content"]["parts"] for each in written] == [
        [{"text": "I wonder", "thought": True}],
        [{"text": " é", "thought": True}],
        [{"text": "It is "}],
        [{"text": "sunny"}],
        [{"text": "."}],
        [{"text": "", "thoughtSignature": "c2Vh/A=="}],
        [{"functionCall": {"id": "x", "name": "f", "args": {"a": "é"}}, "thoughtSignature": "c2Vh/A=="}],
        [{"functionCall": {"id": "y", "name": "g", "args": {}}}],
        [{"text": ""}],
    ]
    assert all(each.items() >= IDENTITY.items() for each in written)
    assert [each["candidates"][0].get("finishReason") for each in written] == [None] * 8 + ["STOP"]
    assert ["usageMetadata" in each for each in written] == [False] * 8 + [True]
    assert gather(read([write(EVENTS, usage)])) == gather(EVENTS)


def test_what_was_open_already_has_its_text() -> None:
    events: list[Event] = [
        Began("a", "b"),
        Opened(0, 0, Thinking("hm")),
        Closed(0, 0),
        Opened(0, 1, Text("so", seal=OWN)),
        Said(0, 1, " far"),
        Closed(0, 1),
        Opened(0, 2, Call("x", "f", '{"a":')),
        Said(0, 2, "1}"),
        Closed(0, 2),
        Opened(0, 3, Media("image", "image/png", data="AA==")),
        Closed(0, 3),
        Opened(0, 4, Opaque("messages", "server_tool_use", {})),
        Closed(0, 4),
        Stopped(0, Stop.TOOLS),
    ]
    assert gather(read([write(events)])).choices == [
        Choice(
            [
                Thinking("hm", is_summary=True),
                Text("so far", seal=OWN),
                Call("x", "f", '{"a":1}'),
                Media("image", "image/png", data="AA=="),
            ],
            Stop.TOOLS,
        )
    ]


def test_two_candidates_end_in_one_frame() -> None:
    events: list[Event] = [
        Began("a", "b"),
        Opened(1, 0, Text()),
        Said(1, 0, "or"),
        Opened(0, 0, Text()),
        Said(0, 0, "either"),
        Closed(0, 0),
        Closed(1, 0),
        Stopped(1, Stop.LENGTH),
        Stopped(0, Stop.END),
    ]
    written = responses(write(events))
    assert [each["index"] for each in written[-1]["candidates"]] == [0, 1]
    assert gather(read([write(events)])) == Answer(
        "a", "b", choices=[Choice([Text("either")]), Choice([Text("or")], Stop.LENGTH)]
    )


def test_a_stream_without_a_name_gets_one() -> None:
    [said, last] = responses(write([Opened(0, 0, Text("a")), Closed(0, 0), Stopped(0, Stop.END)]))
    assert said["modelVersion"] == "bee"
    assert said["responseId"] == last["responseId"] != ""


def test_an_array_is_the_same_stream_at_every_split() -> None:
    whole = msgspec.json.encode(CANONICAL)
    for at in range(0, len(BYTES), 7):
        array = ArrayStream()
        out = array.feed(BYTES[:at]) + array.feed(BYTES[at:]) + array.end()
        assert out.startswith(b"[{")
        assert msgspec.json.decode(out) == msgspec.json.decode(whole)


def test_an_array_grows_by_whole_elements() -> None:
    array = ArrayStream()
    assert array.feed(b'data: {"a":1}\n') == b""
    assert array.feed(b'\n: ping\n\ndata: {"b":2}\n\n') == b'[{"a":1},\r\n{"b":2}'
    assert array.feed(b'data: {"c":3}\n') == b""
    assert array.end() == b',\r\n{"c":3}]'
    assert ArrayStream().end() == b"[]"
