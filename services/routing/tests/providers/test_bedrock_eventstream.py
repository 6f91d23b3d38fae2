"""The decoder of Amazon's event streams against Amazon's own one, however the bytes are cut, and against damage."""

from __future__ import annotations

import struct
from random import Random
from typing import Any
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer  # type: ignore[import-untyped]

from hive_routing.providers.aws.eventstream import (
    MAX_HEADERS_BYTES,
    MAX_MESSAGE_BYTES,
    BrokenStream,
    Message,
    MessageDecoder,
)
from services.routing.tests.providers.aws_frames import event, exception, frame

EVERY_TYPE: dict[str, Any] = {"yes": True, "no": False, "count": -5, "raw": b"\x00\xff", "text": "é🐝"}
FRAMES = [
    event("messageStart", {"role": "assistant"}),
    event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "zümm 🐝" * 40}, "p": "abcd"}),
    frame({":event-type": "empty", ":message-type": "event"}),
    frame({}, b"payload alone"),
    frame(EVERY_TYPE, b"{}"),
    exception("throttlingException", "slow down"),
]
STREAM = b"".join(FRAMES)


def decoded(pieces: list[bytes]) -> list[Message]:
    decoder = MessageDecoder()
    messages = [message for piece in pieces for message in decoder.feed(piece)]
    assert decoder.is_between_messages
    return messages


def by_amazon(data: bytes) -> list[tuple[dict[str, str], bytes]]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [
        ({name: value for name, value in each.headers.items() if isinstance(value, str)}, bytes(each.payload))
        for each in buffer
    ]


def test_it_reads_what_amazons_own_decoder_reads() -> None:
    assert [tuple(message) for message in decoded([STREAM])] == by_amazon(STREAM)
    assert decoded([STREAM])[4].headers == {"text": "é🐝"}


def test_a_stream_may_be_cut_at_any_place() -> None:
    whole = decoded([STREAM])
    for at in range(len(STREAM) + 1):
        assert decoded([STREAM[:at], STREAM[at:]]) == whole
    assert decoded([STREAM[at : at + 1] for at in range(len(STREAM))]) == whole


def test_random_cuts_change_nothing() -> None:
    whole, random = decoded([STREAM]), Random(7)
    for _ in range(50):
        cuts = sorted(random.choices(range(len(STREAM)), k=random.randint(1, 20)))
        places = zip([0, *cuts], [*cuts, len(STREAM)], strict=True)
        assert decoded([STREAM[start:end] for start, end in places]) == whole


def test_no_changed_byte_goes_unnoticed() -> None:
    data = FRAMES[1]
    for at in range(len(data)):
        damaged = data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]
        decoder = MessageDecoder()
        with pytest.raises(BrokenStream, match=r"checksum|too large|cannot have"):
            decoder.feed(damaged + bytes(8))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", "checksum of a prelude"),
        (frame({"x": "y" * 10})[:-1] + b"\x00", "checksum of a message"),
        (frame({}, bytes(MAX_MESSAGE_BYTES)), "too large"),
    ],
)
def test_what_is_no_stream_is_told_so(data: bytes, words: str) -> None:
    with pytest.raises(BrokenStream, match=words):
        MessageDecoder().feed(data)


def test_lengths_are_looked_at_before_anything_is_kept() -> None:
    for size, headers in ((MAX_MESSAGE_BYTES + 1, 0), (1000, MAX_HEADERS_BYTES + 1), (16, 1), (4, 0)):
        prelude = struct.pack(">II", size, headers)
        decoder = MessageDecoder()
        with pytest.raises(BrokenStream, match=r"too large|cannot have"):
            decoder.feed(prelude + struct.pack(">I", crc32(prelude)))


@pytest.mark.parametrize(
    "head",
    [
        b"\x01x\x07\x00\xffshort",
        b"\x01x\x0a",
        b"\x09x",
        b"\x01x",
        b"\x01\xff\x07\x00\x00",
    ],
)
def test_headers_that_cannot_be_read(head: bytes) -> None:
    prelude = struct.pack(">II", 16 + len(head), len(head))
    message = prelude + struct.pack(">I", crc32(prelude)) + head
    with pytest.raises(BrokenStream, match="header"):
        MessageDecoder().feed(message + struct.pack(">I", crc32(message)))


def test_a_part_of_a_message_is_waited_for() -> None:
    decoder = MessageDecoder()
    assert decoder.is_between_messages
    assert decoder.feed(FRAMES[0][:-1]) == []
    assert not decoder.is_between_messages
    assert [message.payload for message in decoder.feed(FRAMES[0][-1:])] == [b'{"role":"assistant"}']
