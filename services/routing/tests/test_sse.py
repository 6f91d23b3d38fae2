"""Events come out whole, whatever ends their lines and wherever the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive_routing.providers.sse import EventSplitter, EventTooLarge, is_comment, read_event

LINES = [b'data: {"a": "\xc3\xa9\xf0\x9f\x90\x9d"}', b": ping", b"data: [DONE]", b"event: error", b"id: 7"]


def stream(end: bytes) -> bytes:
    return b"".join(line + end + end for line in LINES)


def fed(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    splitter = EventSplitter()
    events = [event for piece in pieces for event in splitter.feed(piece)]
    return events, splitter.rest()


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_events_keep_their_bytes_however_they_arrive(end: bytes, size: int) -> None:
    whole = stream(end)
    events, rest = fed([whole[start : start + size] for start in range(0, len(whole), size)])
    assert events == [line + end + end for line in LINES]
    assert rest == b""


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"data: x", b"\n", b"\r", b"\r\n", b"\xc3", b"\xa9", b":"])), st.data())
def test_no_byte_is_lost_or_moved(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=8).map(sorted))
    events, rest = fed([whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)])
    assert b"".join(events) + rest == whole
    for event in events:
        body = event.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        assert body.endswith(b"\n\n")
        assert b"\n\n" not in body[:-2].lstrip(b"\n")


def test_an_event_may_not_grow_without_end() -> None:
    splitter = EventSplitter(max_bytes=100)
    splitter.feed(b"data: " + b"x" * 90)
    with pytest.raises(EventTooLarge):
        splitter.feed(b"x" * 10)


@pytest.mark.parametrize(
    ("event", "data", "has_id"),
    [
        (b"data: 1\n\n", b"1", False),
        (b"data:1\r\n\r\n", b"1", False),
        (b"data: 1\ndata: 2\n\n", b"1\n2", False),
        (b"id: 4\ndata: 1\n\n", b"1", True),
        (b"event: x\ndata: 1\rid\r\r", b"1", True),
        (b"\ndata: 1\n\n", b"1", False),
        (b"\xef\xbb\xbfdata: 1\n\n", b"1", False),
        (b": ping\n\n", None, False),
        (b"event: x\n\n", None, False),
        (b"database: 1\n\n", None, False),
    ],
)
def test_an_event_is_read_as_the_standard_says(event: bytes, data: bytes | None, has_id: bool) -> None:
    assert read_event(event) == (data, has_id)


def test_only_comments_are_comments() -> None:
    assert is_comment(b": ping\r\n: pong\r\n\r\n")
    assert is_comment(b"\n\n")
    assert not is_comment(b": ping\nevent: x\n\n")
