"""Messages cut out of a byte stream of type `application/vnd.amazon.eventstream`, however the bytes arrive."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

MAX_HEADERS_BYTES = 128 * 1024
MAX_MESSAGE_BYTES = 24 * 1024 * 1024

_PRELUDE = struct.Struct(">III")
_CHECKSUM = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
_LEAST_BYTES = _PRELUDE.size + _CHECKSUM.size
_TEXT = 7
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value, by its type; values of types 6 and 7 say their length themselves."""


class BrokenStream(ValueError):
    """The bytes are no event stream, or were changed on their way."""


class Message(NamedTuple):
    """headers: those that are texts, by name."""

    headers: dict[str, str]
    payload: bytes


class MessageDecoder:
    """Collects bytes and gives whole messages, each with both of its checksums compared."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._size = 0
        """Of the message at the front; 0 while it is not known."""

    @property
    def is_between_messages(self) -> bool:
        return not self._buffer

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete now. Raises BrokenStream; nothing can be read after that."""
        buffer = self._buffer
        buffer += data
        messages = []
        start = 0
        with memoryview(buffer) as view:
            while len(view) - start >= (self._size or _PRELUDE.size):
                if not self._size:
                    self._size = _read_size(view[start : start + _PRELUDE.size])
                    continue
                messages.append(_read_message(view[start : start + self._size]))
                start += self._size
                self._size = 0
        del buffer[:start]
        return messages


def _read_size(prelude: memoryview) -> int:
    size, headers_size, checksum = _PRELUDE.unpack(prelude)
    if crc32(prelude[:-4]) != checksum:
        raise BrokenStream("the checksum of a prelude does not match")
    if headers_size > MAX_HEADERS_BYTES or size > MAX_MESSAGE_BYTES:
        raise BrokenStream(f"a message of {size} bytes, {headers_size} of them headers, is too large")
    if size < _LEAST_BYTES + headers_size:
        raise BrokenStream(f"a message of {size} bytes cannot have {headers_size} bytes of headers")
    return int(size)


def _read_message(data: memoryview) -> Message:
    (checksum,) = _CHECKSUM.unpack(data[-4:])
    if crc32(data[:-4]) != checksum:
        raise BrokenStream("the checksum of a message does not match")
    headers_end = _PRELUDE.size + int.from_bytes(data[4:8], "big")
    try:
        headers = dict(_read_headers(bytes(data[_PRELUDE.size : headers_end])))
    except (struct.error, IndexError, UnicodeDecodeError):
        raise BrokenStream("the headers of a message cannot be read") from None
    return Message(headers, bytes(data[headers_end:-4]))


def _read_headers(data: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        name, kind = data[at + 1 : name_end].decode(), data[name_end]
        at = name_end + 1
        size = _SIZES.get(kind)
        if size is None:
            if kind not in (6, _TEXT):
                raise BrokenStream(f"a header is of the unknown type {kind}")
            (size,) = _LENGTH.unpack_from(data, at)
            at += _LENGTH.size
        if at + size > len(data):
            raise BrokenStream("a header is longer than all of them")
        if kind == _TEXT:
            yield name, data[at : at + size].decode()
        at += size
