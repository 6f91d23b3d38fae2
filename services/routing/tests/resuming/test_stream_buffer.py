"""The buffer of a stream: the same bytes behind every event, whatever pieces they came in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hive_routing.resuming.buffer import Buffer, Room

EVENTS = st.sampled_from(
    [
        (b"data: a\n\n", True),
        (b"data: {}\r\n\r\n", True),
        (b"event: message\ndata: 1\ndata: 2\n\n", True),
        (b"data: [DONE]\n\n", True),
        (b": keep-alive\n\n", False),
        (b"event: ping\n\n", False),
    ]
)


def room(limit: int = 1 << 20) -> Room:
    return Room(limit, lambda: False)


def rest_of(buffer: Buffer) -> bytes:
    parts = []
    while data := buffer.take()[0]:
        parts.append(data)
    return b"".join(parts)


@given(st.lists(EVENTS, max_size=12), st.data())
def test_what_follows_each_event_is_the_rest_of_the_stream(
    events: list[tuple[bytes, bool]], data: st.DataObject
) -> None:
    whole = b"".join(event for event, _ in events) + b"data: cut"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    buffer = Buffer(room())
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        buffer.add(whole[start:end], True)
    buffer.end()
    assert buffer.events == sum(counts for _, counts in events)
    assert rest_of(buffer) == whole and buffer.ahead == 0

    position = count = 0
    for event, counts in events:
        position += len(event)
        count += counts
        if counts:
            assert buffer.go_to(count)
            assert buffer.ahead == len(whole) - position
            assert rest_of(buffer) == whole[position:]
    assert buffer.go_to(count + 5)
    assert rest_of(buffer) == b""


def test_the_oldest_events_go_once_the_reader_has_had_them() -> None:
    buffer = Buffer(room(), most_bytes=10_000)
    event = b"data: " + b"x" * 92 + b"\n\n"
    for _ in range(100):
        buffer.add(event, True)
    assert buffer.ahead == 100 * len(event)
    assert buffer.go_to(0), "nothing goes that the reader has not had"
    rest_of(buffer)
    buffer.add(event, True)
    assert not buffer.go_to(0) and not buffer.go_to(60)
    assert buffer.go_to(70)
    assert rest_of(buffer) == event * 31


def test_all_buffers_share_one_room() -> None:
    ended: list[Buffer] = []

    def evict() -> bool:
        if not ended:
            return False
        ended.pop().close()
        return True

    shared = Room(5_000, evict)
    ended += [Buffer(shared), Buffer(shared)]
    for buffer in list(ended):
        buffer.add(b"data: " + b"x" * 1000 + b"\n\n", True)
    live = Buffer(shared)
    for _ in range(3):
        live.add(b"data: " + b"y" * 1000 + b"\n\n", True)
    assert len(ended) == 1, "one that has ended made room"
    rest_of(live)
    for _ in range(3):
        live.add(b"data: " + b"y" * 1000 + b"\n\n", True)
        rest_of(live)
    assert not ended and not live.go_to(0)
    assert live.go_to(live.events)
    live.close()
    live.close()
    assert shared.used == 0


def test_comments_are_no_content() -> None:
    buffer = Buffer(room())
    buffer.add(b": wait\n\n", False)
    assert buffer.take() == (b": wait\n\n", False)
    buffer.add(b": wait\n\ndata: 1\n\n", False)
    buffer.add(b"data: 2\n\n", True)
    assert buffer.take() == (b": wait\n\ndata: 1\n\ndata: 2\n\n", True)
    assert buffer.take() == (b"", False)
