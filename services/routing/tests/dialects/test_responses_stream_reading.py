"""Streams of a provider that speaks OpenAI's responses: read however they arrive, and nothing of them twice."""

from __future__ import annotations

from collections.abc import Callable
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
from hive_routing.dialects.port import Frame
from hive_routing.dialects.responses import dialect
from hive_routing.usage import Usage
from services.routing.tests.dialects.responses_wire import (
    CALL,
    CANONICAL,
    MESSAGE,
    NOW,
    OUTPUT,
    REASONING,
    TEXT,
    TOKEN,
    created,
    done,
    event,
    frames,
    heard,
    item,
    sse,
)

OWN = Seal("responses", "encrypted", "gAAA")
HEARD: list[Event] = [
    Began("resp_p", "gpt", NOW),
    Opened(0, 0, Thinking(is_summary=True, id="rs_p")),
    Said(0, 0, "Let "),
    Said(0, 0, "me "),
    Said(0, 0, "\n\n"),
    Said(0, 0, "sée."),
    Sealed(0, 0, OWN),
    Closed(0, 0),
    Opened(0, 1, Text()),
    Said(0, 1, "I look", {"content": [TOKEN], "refusal": None}),
    Said(0, 1, " 🐝."),
    Closed(0, 1),
    Opened(0, 2, Call("call_1", "f")),
    Said(0, 2, '{"a"'),
    Said(0, 2, ":1}"),
    Closed(0, 2),
    Spent(Usage(9, 3, {"prompt": 9, "completion": 1, "reasoning": 2})),
    Stopped(0, Stop.TOOLS),
    Ended(),
]
WHOLE = gather(HEARD)


def test_a_whole_stream() -> None:
    assert heard(sse(*CANONICAL)) == HEARD


def test_a_stream_that_is_cut_at_any_place() -> None:
    data = sse(*CANONICAL)
    for at in range(len(data) + 1):
        assert heard(data[:at], data[at:]) == HEARD
    assert heard(*(data[at : at + 1] for at in range(len(data)))) == HEARD


@pytest.mark.parametrize(
    "is_left_out",
    [
        lambda kind: kind.endswith(".delta"),
        lambda kind: kind.endswith((".delta", "text.done", "arguments.done")),
        lambda kind: kind.endswith((".delta", "text.done", "arguments.done", "part.done")),
        lambda kind: kind.endswith((".added", ".delta", "text.done", "arguments.done", "part.done")),
        lambda kind: kind not in ("response.created", "response.completed"),
        lambda kind: kind != "response.completed",
        lambda kind: kind.endswith(("part.added", "part.done")),
        lambda kind: kind.endswith(("part.added", "part.done", "item.done")),
        lambda kind: kind.endswith(("text.done", "arguments.done", "part.done")),
    ],
)
def test_what_comes_several_times_may_come_only_once(is_left_out: Callable[[str], bool]) -> None:
    events = [each for each in CANONICAL if not is_left_out(each["type"])]
    assert gather(heard(sse(*events))) == WHOLE


def test_pieces_that_lack_their_end() -> None:
    events = [created(), event("output_text.delta", 1, content_index=0, delta="I lo"), done(*OUTPUT)]
    events.insert(2, item("done", 1))
    texts = [part.text for part in gather(heard(sse(*events))).choices[0].parts if isinstance(part, Text)]
    assert texts == ["I look 🐝."]


def test_parts_that_grow_at_once() -> None:
    other = CALL | {"id": "fc_q", "call_id": "call_2"}
    events = [
        created(),
        {"type": "response.output_item.added", "output_index": 0, "item": CALL | {"arguments": ""}},
        {"type": "response.output_item.added", "output_index": 1, "item": other | {"arguments": ""}},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{"},
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"a":1}'},
        {"type": "response.output_item.done", "output_index": 0, "item": CALL},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "}"},
        {"type": "response.output_item.done", "output_index": 1, "item": other | {"arguments": "{}"}},
        done(CALL, other),
    ]
    assert gather(heard(sse(*events))).choices == [
        Choice([Call("call_1", "f", '{"a":1}'), Call("call_2", "f", "{}")], Stop.TOOLS)
    ]


def test_raw_thoughts_keep_the_seal_that_comes_behind_them() -> None:
    thought = {"type": "reasoning_text", "text": "hm"}
    whole = REASONING | {"summary": [], "content": [thought]}
    events = [
        created(),
        {"type": "response.output_item.added", "output_index": 0, "item": whole | {"content": []}},
        event("reasoning_text.delta", 0, content_index=0, delta="hm"),
        event("reasoning_text.done", 0, content_index=0, text="hm"),
        event("content_part.done", 0, content_index=0, part=thought),
        {"type": "response.output_item.done", "output_index": 0, "item": whole},
        done(whole),
    ]
    found = heard(sse(*events))
    assert gather(found).choices[0].parts == [Thinking("hm", OWN, id="rs_p")]
    assert found.index(Sealed(0, 0, OWN)) < found.index(Closed(0, 0))


@pytest.mark.parametrize(
    ("output", "parts"),
    [
        ([REASONING | {"summary": []}], [Thinking(seal=OWN, id="rs_p")]),
        ([REASONING | {"summary": [], "encrypted_content": None}], []),
        (
            [REASONING | {"content": [{"type": "reasoning_text", "text": "a"}]}],
            [Thinking("a", id="rs_p"), Thinking("Let me \n\nsée.", OWN, is_summary=True, id="rs_p")],
        ),
        ([MESSAGE | {"content": []}], []),
        ([MESSAGE | {"content": [{"type": "refusal", "refusal": "No"}]}], [Refusal("No")]),
        ([MESSAGE | {"content": [TEXT | {"text": ""}, TEXT | {"text": "b"}]}], [Text("b")]),
        (
            [{"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aGl2ZQ=="}],
            [Media("image", "image/png", "aGl2ZQ==")],
        ),
        (
            [{"type": "web_search_call", "id": "ws_1"}],
            [Opaque("responses", "web_search_call", {"type": "web_search_call", "id": "ws_1"})],
        ),
        ([CALL | {"namespace": "n"}], [Opaque("responses", "function_call", CALL | {"namespace": "n"})]),
    ],
)
def test_items(output: list[dict[str, Any]], parts: list[Any]) -> None:
    """Told item by item, with their pieces before or without them, or in the end alone."""
    told = [
        {"type": f"response.output_item.{step}", "output_index": index, "item": each}
        for index, each in enumerate(output)
        for step in ("added", "done")
    ]
    for events in ([created(), *told, done(*output)], [done(*output)]):
        found = gather(heard(sse(*events)))
        for choice in found.choices:
            choice.logprobs = None
        assert (found.choices[0].parts if found.choices else []) == parts


@pytest.mark.parametrize(
    ("members", "stop"),
    [
        ({"kind": "completed"}, Stop.END),
        ({"kind": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, Stop.LENGTH),
        ({"kind": "incomplete", "incomplete_details": {"reason": "content_filter"}}, Stop.FILTERED),
    ],
)
def test_how_a_stream_ends(members: dict[str, Any], stop: Stop) -> None:
    assert heard(sse(created(), done(MESSAGE, **members)))[-2:] == [Stopped(0, stop), Ended()]


def test_parts_that_a_stream_leaves_open_are_closed() -> None:
    events = CANONICAL[:17]
    found = heard(sse(*events, done(*OUTPUT[:2], kind="incomplete")))
    assert found[-4:-2] == [Closed(0, 1), HEARD[-3]]


def test_usage_may_be_missing() -> None:
    assert not any(isinstance(each, Spent) for each in heard(sse(created(), done(MESSAGE, usage=None))))


@pytest.mark.parametrize(
    ("failing", "words"),
    [
        (
            {"type": "error", "code": "server_error", "message": "Ouch.", "param": None},
            {"code": "server_error", "message": "Ouch.", "param": None},
        ),
        ({"type": "error", "error": {"message": "Ouch."}}, {"message": "Ouch."}),
        (
            done(kind="failed", error={"code": "server_error", "message": "Ouch."}),
            {"code": "server_error", "message": "Ouch."},
        ),
    ],
)
def test_a_stream_that_fails(failing: dict[str, Any], words: Any) -> None:
    found = heard(sse(*CANONICAL[:17], failing, *CANONICAL[17:]))
    assert found[-1] == Failed(words)
    assert [type(each) for each in found].count(Failed) == 1


def test_what_follows_the_end_is_not_heard() -> None:
    reader = dialect.reader()
    assert heard(sse(*CANONICAL, *CANONICAL), reader=reader) == HEARD
    assert reader.feed(Frame("", b"[DONE]")) == []


def test_a_stream_that_breaks_off_has_no_end() -> None:
    assert not any(isinstance(each, Stopped | Ended) for each in heard(sse(*CANONICAL[:-1])))


def test_events_that_nobody_knows_say_nothing() -> None:
    unknown = [
        {"type": "response.bee.stung", "output_index": 7},
        {"type": "response.output_item.added", "output_index": 3, "item": None},
        event("function_call_arguments.delta", 1, delta="x"),
        {"type": "keepalive"},
        {},
    ]
    data = sse(*CANONICAL[:2]) + b"".join(b"data: " + msgspec.json.encode(each) + b"\n\n" for each in unknown)
    reader = dialect.reader()
    found = [
        told
        for frame in frames([data.replace(b"\n\ndata:", b"\n\nevent: x\ndata:")])
        for told in reader.feed(frame)
    ]
    assert found == HEARD[:1]


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b'{"type":"response.created"}',
        b'{"type":"response.completed","response":{"output":3}}',
        b'{"type":3}',
    ],
)
def test_what_cannot_be_read(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        dialect.reader().feed(Frame("", data))


def test_where_parts_stand() -> None:
    reader = dialect.reader()
    heard(sse(*CANONICAL[:-1]), reader=reader)
    assert reader.sequence == len(CANONICAL) - 2
    assert reader.places == [(0, "rs_p"), (1, "msg_p"), (2, "fc_p")]
    assert reader.done == {0, 1, 2}
