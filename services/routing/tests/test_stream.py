"""A stream ends in exactly one way, keeps the bytes of its events, and holds back what is no content."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive_routing.ending import DONE, last_events
from hive_routing.forwarding import CHARS_PER_TOKEN
from hive_routing.stream import MAX_COUNTED_CHARS, StreamRelay
from hive_routing.usage import Usage

ROLE = {"role": "assistant", "content": ""}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
STATED = Usage(3, 2, {"prompt": 3, "completion": 2})


def event(
    delta: dict[str, Any] | None = None, finish: str | None = None, index: int = 0, **top: Any
) -> bytes:
    choice = {"index": index, "delta": delta or {}, "finish_reason": finish}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "m"}
    return b"data: " + msgspec.json.encode(chunk | {"choices": [choice]} | top) + b"\n\n"


def end(relay: StreamRelay, usage: Usage | None = None, told: dict[str, Any] | None = None) -> bytes:
    return last_events(relay.closing(usage), told or {})


def run(
    data: bytes, size: int = 10**9, choices: int = 1, usage_asked: bool = False, ends: bool = True
) -> tuple[bytes, StreamRelay]:
    """What is forwarded of `data`, and the relay afterwards."""
    relay = StreamRelay("sim", choices, usage_asked)
    forwarded = b""
    for start in range(0, len(data), size):
        forwarded += relay.feed(data[start : start + size])
        if relay.done or relay.failure:
            return forwarded, relay
    if ends:
        forwarded += relay.feed_end()
    return forwarded, relay


GOOD = event(ROLE) + event({"content": "Grüße 🐝"}) + event({"content": "!"}) + event(finish="stop")
USAGE_CHUNK = event(choices=[], usage=USAGE)
TOOL = event({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]})


@pytest.mark.parametrize("asked", [False, True])
def test_the_usage_chunk_goes_on_to_those_who_asked(asked: bool) -> None:
    forwarded, relay = run(GOOD + USAGE_CHUNK + DONE, usage_asked=asked)
    assert forwarded == GOOD
    assert relay.done and not relay.failure
    assert relay.stated == STATED
    assert end(relay) == (USAGE_CHUNK if asked else b"") + DONE


def test_what_the_gateway_has_to_say_stands_in_the_usage_chunk() -> None:
    _, relay = run(GOOD + USAGE_CHUNK + DONE, usage_asked=True)
    chunk, done, _ = end(relay, told={"cost": "0.01"}).split(b"\n\n")
    told = msgspec.json.decode(chunk.removeprefix(b"data: "))
    assert told == msgspec.json.decode(USAGE_CHUNK.removeprefix(b"data: ")) | {"hive": {"cost": "0.01"}}
    assert done == b"data: [DONE]"


@pytest.mark.parametrize("text", [False, True])
def test_a_stream_that_is_cut_finishes_every_choice_and_says_why(text: bool) -> None:
    relay = StreamRelay("sim", 2, False)
    for index in (0, 1):
        if text:
            choice = {"index": index, "text": "x", "finish_reason": None}
            relay.feed(b"data: " + msgspec.json.encode({"id": "cmpl-1", "choices": [choice]}) + b"\n\n")
        else:
            relay.feed(event({"content": "x"}, index=index))
    relay.feed(event(finish="stop", index=1) if not text else b"")
    events = relay.cut().split(b"\n\n")[:-1]
    chunks = [msgspec.json.decode(each.removeprefix(b"data: ")) for each in events]
    assert [each["choices"][0]["index"] for each in chunks] == ([0, 1] if text else [0])
    assert all(each["choices"][0]["finish_reason"] == "length" for each in chunks)
    assert all(each["hive"] == {"reason": "budget"} for each in chunks)
    assert all(("text" if text else "delta") in each["choices"][0] for each in chunks)
    assert relay.done and end(relay) == DONE


def test_usage_beside_the_last_choices_is_nobodys_who_did_not_ask() -> None:
    first, last = event({"content": "x"}), event(finish="stop")
    forwarded, relay = run(first + event(finish="stop", usage=USAGE) + DONE)
    assert forwarded == first + last
    assert relay.stated == STATED and end(relay) == DONE


def test_a_stream_that_breaks_after_its_answer_is_an_answer() -> None:
    _, relay = run(GOOD, ends=False)
    relay.break_off()
    assert relay.done and not relay.failure
    _, relay = run(GOOD[: -len(event(finish="stop"))], ends=False)
    relay.break_off()
    assert not relay.done


def test_usage_that_came_with_the_last_chunk_becomes_a_chunk_of_its_own() -> None:
    last = event(finish="stop", usage=USAGE)
    forwarded, relay = run(event({"content": "x"}) + last + DONE, usage_asked=True)
    assert forwarded.endswith(event(finish="stop", usage=None))
    chunk, done = end(relay).split(b"\n\n")[:2]
    assert msgspec.json.decode(chunk[6:]) == {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "m",
        "choices": [],
        "usage": USAGE,
    }
    assert done + b"\n\n" == DONE


def test_our_own_count_stands_in_for_missing_usage() -> None:
    _, relay = run(GOOD + DONE, usage_asked=True)
    assert relay.stated is None
    assert relay.output().texts == ["Grüße 🐝!"]
    closing = end(relay, Usage.counted(1, 2))
    assert msgspec.json.decode(closing.split(b"\n\n")[0][6:])["usage"] == Usage.counted(1, 2).as_json()
    assert closing.endswith(DONE)


@pytest.mark.parametrize(
    ("data", "choices"),
    [
        pytest.param(GOOD + DONE, 1, id="usual"),
        pytest.param(GOOD, 1, id="no DONE"),
        pytest.param(GOOD + b"data: [DONE]", 1, id="DONE without line end"),
        pytest.param(GOOD.rstrip(b"\n"), 1, id="last event without blank line"),
        pytest.param(event(finish="stop") + DONE, 1, id="empty answer"),
        pytest.param(TOOL + event(finish="tool_calls") + DONE, 1, id="tool call"),
        pytest.param(event({"content": "a"}, "stop", 0) + event({"content": "b"}, "stop", 1), 2, id="n=2"),
        pytest.param(GOOD + USAGE_CHUNK + event(ROLE), 1, id="something after the usage"),
    ],
)
def test_a_whole_answer_is_done(data: bytes, choices: int) -> None:
    _, relay = run(data, choices=choices)
    assert relay.done
    assert relay.failure is None


@pytest.mark.parametrize(
    ("data", "choices", "word"),
    [
        pytest.param(b"", 1, "before the answer was finished", id="nothing"),
        pytest.param(DONE, 1, "before the answer was finished", id="DONE alone"),
        pytest.param(event({"content": "a"}) + DONE, 1, "before the answer was finished", id="no finish"),
        pytest.param(event({"content": "a"}), 1, "before the answer was finished", id="cut"),
        pytest.param(GOOD + DONE, 2, "before the answer was finished", id="one of two choices"),
        pytest.param(
            event({"content": "a"}, "stop") + event({"content": "b"}, index=1) + DONE,
            1,
            "before the answer was finished",
            id="a second choice left open",
        ),
        pytest.param(GOOD[:-40], 1, "malformed", id="cut in an event"),
        pytest.param(event({"content": "a"}) + b'data: {"choices": [\n\n', 1, "malformed", id="half JSON"),
        pytest.param(event({"content": "a"}) + b"data: 5\n\n", 1, "malformed", id="no object"),
        pytest.param(b'data: {"error": {"message": "too hot"}}\n\n', 1, "too hot", id="error first"),
        pytest.param(
            event({"content": "a"}) + b'event: error\ndata: {"error":"x"}\n\n', 1, ": x", id="error"
        ),
        pytest.param(b'data: {"object":"error","message":"bad"}\n\n', 1, "bad", id="error object"),
        pytest.param(b": ping\n\n" * 200_000, 1, "without any content", id="endless keep-alives"),
    ],
)
def test_everything_else_fails(data: bytes, choices: int, word: str) -> None:
    _, relay = run(data, choices=choices)
    assert not relay.done
    assert relay.failure is not None
    assert word in relay.failure.message


def test_what_came_before_an_error_in_the_same_read_is_forwarded() -> None:
    good = event(ROLE) + event({"content": "a"})
    forwarded, relay = run(good + b'data: {"error": {"message": "x"}}\n\n' + event({"content": "never"}))
    assert forwarded == good
    assert relay.failure


@pytest.mark.parametrize(
    "content",
    [
        event({"content": "a"}),
        event({"reasoning_content": "hm"}),
        event({"refusal": "no"}),
        event({"role": "assistant", "tool_calls": [{"index": 0}]}),
        event({"audio": {"id": "a"}}),
        event({"thinking_of_tomorrow": "x"}),
        event({"content": [{"type": "text"}]}),
        event(finish="stop"),
    ],
)
def test_nothing_is_released_before_content(content: bytes) -> None:
    relay = StreamRelay("sim", 1, False)
    preamble = [b": ping\n\n", event(ROLE), event({"content": None, "refusal": None}), b"\n\n"]
    for each in preamble:
        assert relay.feed(each) == b""
    assert relay.feed(content) == b"".join(preamble) + content
    assert relay.is_content


def test_later_keep_alives_are_told_from_content() -> None:
    relay = StreamRelay("sim", 1, False)
    relay.feed(event({"content": "a"}))
    assert relay.feed(b": ping\n\n") == b": ping\n\n"
    assert not relay.is_content


def test_chunks_without_choices_reach_only_those_who_asked_for_usage() -> None:
    filtered = event(choices=[], prompt_filter_results=[])
    assert run(filtered + GOOD + DONE)[0] == GOOD
    assert run(filtered + GOOD + DONE, usage_asked=True)[0] == filtered + GOOD


def test_ids_and_bare_names_are_taken_out() -> None:
    data = event({"content": "a"})
    forwarded, relay = run(b"event: ping\n\n" + b"id: 3\n" + data + event(finish="stop") + DONE)
    assert forwarded == data + event(finish="stop")
    assert relay.done


STREAMS = [
    GOOD + USAGE_CHUNK + DONE,
    b": ping\n\n" + GOOD.replace(b"\n", b"\r\n") + USAGE_CHUNK.replace(b"\n", b"\r\n") + DONE,
    GOOD.replace(b"\n", b"\r") + b"data: [DONE]\r\r",
    GOOD + b'data: {"error": {"message": "x"}}\n\n',
    event({"content": "a"}) + b"data: {\n\n",
]


@pytest.mark.parametrize("data", STREAMS)
@pytest.mark.parametrize("asked", [False, True])
def test_chunking_at_every_byte_changes_nothing(data: bytes, asked: bool) -> None:
    whole, expected = run(data, usage_asked=asked)
    forwarded, relay = run(data, size=1, usage_asked=asked)
    assert forwarded == whole
    assert (relay.done, relay.stated) == (expected.done, expected.stated)
    assert repr(relay.failure) == repr(expected.failure)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(STREAMS), st.integers(1, 400))
def test_no_chunking_changes_anything(data: bytes, size: int) -> None:
    assert run(data, size=size)[0] == run(data)[0]


def test_a_long_stream_is_counted_without_being_kept() -> None:
    relay = StreamRelay("sim", 1, False)
    relay.feed(event(ROLE))
    for _ in range(1000):
        relay.feed(event({"content": "four" * 256}) + event({"content": "four"}))
    counted = relay.output()
    kept = sum(map(len, counted.texts))
    assert kept <= MAX_COUNTED_CHARS
    assert counted.extra * CHARS_PER_TOKEN + kept == pytest.approx(1000 * 257 * 4, abs=CHARS_PER_TOKEN)


SAYS = event({"content": "one "})
AFTER_USUAL = {
    "usual": SAYS,
    "empty": event({"content": ""}),
    "null calls": event({"content": "x", "tool_calls": None}),
    "calls": TOOL,
    "calls beside": event({"content": "x", "tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
    "nothing": event({"content": None}),
    "another choice": event({"content": "x"}, index=1),
    "two choices": event(choices=[{"index": 0, "delta": {"content": "a"}}, {"index": 0, "delta": {}}]),
    "usage": event({"content": "x"}, usage=USAGE),
    "no usage": event({"content": "x"}, usage=None),
    "only usage": USAGE_CHUNK,
    "text": event(choices=[{"index": 0, "text": "abc"}]),
    "finish": event({"content": "x"}, "stop"),
    "error": event({"content": "x"}, error={"message": "no"}),
    "error object": event({"content": "x"}, object="error"),
    "bare": b'data:{"object":"chat.completion.chunk","choices":[{"delta":{"content":"x"}}]}\n\n',
    "not text": event({"content": ["x"]}),
    "spaces": SAYS.replace(b"\n\n", b" \t\n\n"),
    "return": SAYS.replace(b"\n\n", b"\r\n\r\n"),
    "return inside": SAYS.replace(b',"created"', b',\r"created"'),
    "line inside": SAYS.replace(b',"created"', b',\n"created"'),
    "id": b"id: 1\n" + SAYS,
    "comment": b": alive\n\n",
    "half": SAYS[:40],
    "more": SAYS + SAYS[:40],
    "two": SAYS + SAYS,
    "malformed": SAYS.replace(b"}}", b"}", 1),
    "done": DONE,
}


@pytest.mark.parametrize("between", AFTER_USUAL.values(), ids=AFTER_USUAL)
@pytest.mark.parametrize("asked", [False, True])
def test_the_quick_look_at_a_usual_chunk_sees_what_the_long_one_sees(between: bytes, asked: bool) -> None:
    """Read by read, as it is usual, and with an event's last byte apart, which is never taken for a usual chunk."""

    def told(apart: int) -> tuple[Any, ...]:
        relay = StreamRelay("sim", 1, asked)
        forwarded = b""
        for data in (event(ROLE), SAYS, SAYS, between, SAYS, between, SAYS, event(finish="stop"), DONE):
            for part in (data[: len(data) - apart], data[len(data) - apart :]) if apart else (data,):
                if not relay.done and relay.failure is None:
                    forwarded += relay.feed(part)
        if not relay.done and relay.failure is None:
            forwarded += relay.feed_end()
        failure = relay.failure and relay.failure.message
        output = relay.output()
        said = relay.delivered, relay.finish_reasons, relay.stated, relay.done, relay.is_answered
        return forwarded, failure, output.texts, output.extra, said

    assert told(apart=0) == told(apart=1)


def test_calls_that_are_null_count_as_none_wherever_they_stand() -> None:
    """So some providers say it in every chunk: these are usual ones too, and none of it is output."""
    relay, null = StreamRelay("sim", 1, False), event({"content": "12345678", "tool_calls": None})
    says = event({"content": "12345678"})
    delivered = []
    for data in (event(ROLE), null, null, says, null, null, event({"content": None, "tool_calls": None})):
        relay.feed(data)
        delivered.append(relay.delivered)
    assert delivered == [1, 2, 4, 6, 8, 10, 10]


def test_what_goes_on_is_content_and_no_end() -> None:
    relay = StreamRelay("sim", 1, False)
    seen = []
    for data in (event(ROLE), SAYS, SAYS, b": alive\n\n", SAYS, event({"content": "x"}, "stop"), DONE):
        relay.feed(data)
        seen.append(relay.goes_on)
    assert seen == [False, True, True, False, True, False, False]
