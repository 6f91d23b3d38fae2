"""A stream of a named dialect is forwarded as it is, ends in one way, and can be cut anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive_routing.dialects.form import Answer, Event, Prompt, Spent, Stop, gather
from hive_routing.dialects.port import Dialect, Frame
from hive_routing.dialects.registry import BY_NAME
from hive_routing.providers.sse import EventSplitter, read_named
from hive_routing.watching import WatchedStream
from services.routing.tests.dialects.can_gemini import CAN as GEMINI
from services.routing.tests.dialects.can_messages import CAN as MESSAGES
from services.routing.tests.dialects.can_responses import CAN as RESPONSES
from services.routing.tests.dialects.conversations import cut, streams

CANS = {"messages": MESSAGES, "responses": RESPONSES, "gemini": GEMINI}
NAMES = sorted(CANS)


def written(dialect: Dialect, events: Sequence[Event]) -> bytes:
    writer = dialect.writer(Prompt(dialect.name))
    spent = [event.usage for event in events if isinstance(event, Spent)]
    return b"".join(map(writer.write, events)) + writer.finish(spent[-1] if spent else None)


def read(dialect: Dialect, data: bytes) -> Answer:
    reader, events = dialect.reader(), []
    for raw in EventSplitter().feed(data):
        name, said = read_named(raw)
        if said is not None:
            events += reader.feed(Frame(name, said))
    return gather([*events, *reader.end()])


def watch(dialect: Dialect, pieces: Sequence[bytes], *, ends: bool = True) -> tuple[bytes, WatchedStream]:
    stream = WatchedStream("sim", dialect, Prompt(dialect.name))
    forwarded = b"".join(stream.feed(each) for each in pieces)
    return forwarded + (stream.feed_end() if ends else b""), stream


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_whole_stream_is_forwarded_as_it_came(name: str, data: st.DataObject) -> None:
    dialect = BY_NAME[name]
    events = data.draw(streams(CANS[name]))
    said = written(dialect, events)
    forwarded, stream = watch(dialect, cut(said, Random(data.draw(st.integers(0, 99)))))
    assert stream.failure is None and stream.done
    assert forwarded + stream.last == said
    assert stream.stated == read(dialect, said).usage
    assert stream.output().texts or not any(choice.parts for choice in read(dialect, said).choices)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_stream_that_breaks_off_is_never_taken_for_a_complete_one(name: str, data: st.DataObject) -> None:
    dialect = BY_NAME[name]
    frames = EventSplitter().feed(written(dialect, data.draw(streams(CANS[name]))))
    kept = frames[: data.draw(st.integers(0, len(frames) - 1))]
    forwarded, stream = watch(dialect, kept)
    assert not stream.done and stream.failure is not None
    assert b"".join(kept).startswith(forwarded)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_stream_that_is_cut_ends_as_one_that_became_too_long(name: str, data: st.DataObject) -> None:
    dialect = BY_NAME[name]
    frames = EventSplitter().feed(written(dialect, data.draw(streams(CANS[name]))))
    forwarded, stream = watch(dialect, frames[: data.draw(st.integers(1, len(frames)))], ends=False)
    if not forwarded or stream.is_answered:
        return
    before = stream.output()
    whole = forwarded + stream.cut() + stream.last
    assert stream.done and stream.failure is None
    assert b'"hive":{"reason":"budget"}' in stream.last
    answer = read(dialect, whole)
    assert Stop.LENGTH in [choice.stop for choice in answer.choices]
    assert stream.output().texts == before.texts


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", [b"data: {\n\n", b"data: []\n\n", b"event: x\ndata: \xff\n\n"])
def test_what_cannot_be_read_ends_the_stream(name: str, data: bytes) -> None:
    _, stream = watch(BY_NAME[name], [data], ends=False)
    assert stream.failure is not None and not stream.done


@pytest.mark.parametrize("name", NAMES)
def test_an_error_in_a_stream_is_the_providers(name: str) -> None:
    error = {"error": {"type": "overloaded_error", "message": "Too much.", "code": 529}}
    said = b"event: error\ndata: " + msgspec.json.encode({"type": "error"} | error) + b"\n\n"
    _, stream = watch(BY_NAME[name], [said], ends=False)
    assert stream.failure is not None and "Too much." in stream.failure.message


def test_what_a_provider_says_at_the_beginning_is_known_before_the_end() -> None:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    usage = {"input_tokens": 1, "cache_read_input_tokens": 100_000, "output_tokens": 1}
    started = {"type": "message_start", "message": message | {"usage": usage}}
    _, stream = watch(
        BY_NAME["messages"],
        [b"event: message_start\ndata: " + msgspec.json.encode(started) + b"\n\n"],
        ends=False,
    )
    assert stream.stated is None
    assert stream.begun is not None and stream.begun.units["cached_prompt"] == 100_000
