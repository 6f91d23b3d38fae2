"""Streams of Converse, both ways; what is written fits Amazon's own model of their events."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hive_routing.dialects.form import (
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
from hive_routing.usage import Usage
from services.routing.tests.dialects.converse_wire import FOREIGN, events, rewritten

START = {"messageStart": {"role": "assistant"}}
STOP = {"messageStop": {"stopReason": "end_turn"}}
METADATA = {
    "metadata": {
        "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
        "metrics": {"latencyMs": 1},
    }
}
SPENT = Spent(Usage(3, 2, {"prompt": 3, "completion": 2}))


def delta(index: int, **delta: Any) -> dict[str, Any]:
    return {"contentBlockDelta": {"contentBlockIndex": index, "delta": delta, "p": "abc"}}


def start(index: int, **start: Any) -> dict[str, Any]:
    return {"contentBlockStart": {"contentBlockIndex": index, "start": start}}


def stop(index: int) -> dict[str, Any]:
    return {"contentBlockStop": {"contentBlockIndex": index}}


def test_a_stream_with_all_there_is() -> None:
    got = events(
        START,
        delta(0, reasoningContent={"text": "h"}),
        delta(0, reasoningContent={"text": "m"}),
        delta(0, reasoningContent={"signature": "EqQB"}),
        stop(0),
        delta(1, reasoningContent={"redactedContent": "c2VhbA=="}),
        stop(1),
        delta(2, text=""),
        delta(2, text="Hi"),
        stop(2),
        start(3, toolUse={"toolUseId": "t1", "name": "look_up"}),
        delta(3, toolUse={"input": ""}),
        delta(3, toolUse={"input": '{"a":'}),
        delta(3, toolUse={"input": "1}"}),
        stop(3),
        {"messageStop": {"stopReason": "tool_use"}},
        METADATA,
    )
    assert got == [
        Began(),
        Opened(0, 0, Thinking()),
        Said(0, 0, "h"),
        Said(0, 0, "m"),
        Sealed(0, 0, Seal("converse", "signature", "EqQB")),
        Closed(0, 0),
        Opened(0, 1, Thinking()),
        Sealed(0, 1, Seal("converse", "redacted", "c2VhbA==")),
        Closed(0, 1),
        Opened(0, 2, Text()),
        Said(0, 2, "Hi"),
        Closed(0, 2),
        Opened(0, 3, Call("t1", "look_up")),
        Said(0, 3, '{"a":'),
        Said(0, 3, "1}"),
        Closed(0, 3),
        Stopped(0, Stop.TOOLS),
        SPENT,
        Ended(),
    ]


def test_calls_may_grow_at_once() -> None:
    answer = gather(
        events(
            START,
            start(0, toolUse={"toolUseId": "t1", "name": "a"}),
            start(1, toolUse={"toolUseId": "t2", "name": "b"}),
            delta(1, toolUse={"input": "{}"}),
            delta(0, toolUse={"input": '{"x":1}'}),
            STOP,
            METADATA,
        )
    )
    assert answer.choices == [Choice([Call("t1", "a", '{"x":1}'), Call("t2", "b", "{}")], Stop.TOOLS)]


def test_what_is_not_closed_ends_with_the_message() -> None:
    got = events(
        START,
        start(0),
        delta(0, text="Hi"),
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {}}},
        STOP,
    )
    assert got[-4:] == [Said(0, 0, "Hi"), Closed(0, 0), Stopped(0, Stop.END), Ended()]


def test_pieces_of_seals_are_put_together() -> None:
    got = events(
        START,
        delta(0, reasoningContent={"signature": "Eq"}),
        delta(0, reasoningContent={"signature": "QB"}),
        stop(0),
        delta(1, reasoningContent={"redactedContent": "YQ=="}),
        delta(1, reasoningContent={"redactedContent": "YmM="}),
        stop(1),
        STOP,
    )
    seals = [event.seal for event in got if isinstance(event, Sealed)]
    assert seals == [Seal("converse", "signature", "EqQB"), Seal("converse", "redacted", "YWJj")]


def test_a_block_that_goes_on_as_another_kind_is_two_parts() -> None:
    answer = gather(
        events(START, delta(0, reasoningContent={"text": "hm"}), delta(0, text="Hi"), stop(0), STOP)
    )
    assert answer.choices[0].parts == [Thinking("hm"), Text("Hi")]


def test_images() -> None:
    sent = [
        START,
        start(0, image={"format": "png"}),
        delta(0, image={"source": {"bytes": "YQ=="}}),
        delta(0, image={"source": {"bytes": "YmM="}}),
        stop(0),
        STOP,
    ]
    assert gather(events(*sent)).choices[0].parts == [Media("image", "image/png", "YWJj")]


def test_what_only_converse_can_say_is_carried_along() -> None:
    sent = [
        START,
        start(0, toolUse={"toolUseId": "s1", "name": "nova_grounding", "type": "server_tool_use"}),
        delta(0, toolUse={"input": "{}"}),
        stop(0),
        start(1, toolResult={"toolUseId": "s1", "type": "nova_grounding_result"}),
        delta(1, toolResult=[{"json": {"a": 1}}]),
        stop(1),
        delta(2, text="Hi"),
        delta(2, citation={"title": "Bees"}),
        stop(2),
    ]
    got = events(*sent, STOP, METADATA)
    parts = gather(got).choices[0].parts
    assert [type(part) for part in parts] == [Opaque, Opaque, Text, Opaque]
    back = [event for event in rewritten(*got) if "contentBlockStop" not in event]
    assert [each for each in back if "contentBlockStart" in each] == [sent[1], sent[4]]
    deltas = [each["contentBlockDelta"]["delta"] for each in back if "contentBlockDelta" in each]
    assert deltas == [sent[at]["contentBlockDelta"]["delta"] for at in (2, 5, 7, 8)]


def test_how_it_ends() -> None:
    assert events(START, delta(0, text="Hi"), stop(0), STOP)[-1] == Ended()
    assert events(START, delta(0, text="Hi"))[-1] == Said(0, 0, "Hi")
    assert events(START) == [Began()]
    stopped = {"stopReason": "stop_sequence", "additionalModelResponseFields": {"stop_sequence": "X"}}
    assert events(START, {"messageStop": stopped})[1] == Stopped(0, Stop.SEQUENCE, "X")
    assert events(START, {"newest": {}}, STOP, METADATA)[1:] == [Stopped(0, Stop.END), SPENT, Ended()]


def test_errors() -> None:
    words = {"message": "Slow down", "type": "throttlingException"}
    assert events(START, {"error": words}) == [Began(), Failed(words)]
    failed = events(START, {"messageStop": {"stopReason": "malformed_tool_use"}})[-1]
    assert failed == Failed(
        {"message": "the model's call of a tool was malformed", "type": "malformed_tool_use"}
    )


@pytest.mark.parametrize(
    "sent",
    [
        delta(0, toolUse={"input": "{}"}),
        delta(0, text=1),
        delta(0, image={"source": {"bytes": "YQ=="}}),
        delta(0, text="a", toolUse={"input": ""}),
        start(0, toolUse={"name": "x"}),
        {"contentBlockDelta": {"delta": {"text": "a"}}},
        {"messageStop": {}},
    ],
)
def test_what_cannot_be_read(sent: dict[str, Any]) -> None:
    with pytest.raises(msgspec.DecodeError):
        events(START, sent)


def test_the_events_that_a_client_reads() -> None:
    call = Call("t1", "look_up")
    sent = rewritten(
        Began("id", "bee", 1),
        Opened(0, 0, Thinking()),
        Said(0, 0, "hm"),
        Sealed(0, 0, Seal("converse", "signature", "EqQB")),
        Closed(0, 0),
        Opened(0, 1, Thinking(seal=Seal("converse", "redacted", "YQ=="))),
        Closed(0, 1),
        Opened(0, 2, Text()),
        Said(0, 2, ""),
        Said(0, 2, "Hi"),
        Closed(0, 2),
        Opened(0, 3, call),
        Said(0, 3, "{}"),
        Closed(0, 3),
        Opened(0, 4, Text()),
        Closed(0, 4),
        Stopped(0, Stop.TOOLS),
        usage=SPENT.usage,
    )
    names = [next(iter(each)) for each in sent]
    assert names == [
        "messageStart",
        "contentBlockDelta",
        "contentBlockDelta",
        "contentBlockStop",
        "contentBlockDelta",
        "contentBlockStop",
        "contentBlockDelta",
        "contentBlockStop",
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert sent[4]["contentBlockDelta"] == {
        "delta": {"reasoningContent": {"redactedContent": "YQ=="}},
        "contentBlockIndex": 1,
    }
    assert sent[-1]["metadata"]["usage"] == METADATA["metadata"]["usage"]


def test_parts_that_come_whole_are_told_whole() -> None:
    parts: list[Part] = [
        Text("Hi"),
        Refusal("No."),
        Thinking("hm", FOREIGN),
        Call("t1", "look_up", '{"a":1}'),
        Media("image", "image/png", "YQ=="),
        Media("image", url="https://hive.example/bee.png"),
    ]
    said: list[Event] = [Began()]
    for number, part in enumerate(parts):
        said += [Opened(0, number, part), Closed(0, number)]
    sent = rewritten(*said, Stopped(0, Stop.LENGTH))
    assert gather(events(*sent)).choices == [
        Choice(
            [
                Text("Hi"),
                Text("No."),
                Thinking("hm", FOREIGN),
                Call("t1", "look_up", '{"a":1}'),
                Media("image", "image/png", "YQ=="),
                Text("![image](https://hive.example/bee.png)"),
            ],
            Stop.LENGTH,
        )
    ]
