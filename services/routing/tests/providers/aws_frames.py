"""Amazon's framing of event streams, written by hand: what a server of theirs sends."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import msgspec

Value = str | bytes | bool | int


def frame(headers: Mapping[str, Value], payload: bytes = b"") -> bytes:
    """A message. Values of headers become texts, bytes, booleans and 64-bit integers."""
    head = b"".join([_header(name, value) for name, value in headers.items()])
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    prelude += struct.pack(">I", crc32(prelude))
    message = prelude + head + payload
    return message + struct.pack(">I", crc32(message))


def event(name: str, value: Any) -> bytes:
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, msgspec.json.encode(value))


def exception(name: str, message: str) -> bytes:
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, msgspec.json.encode({"message": message}))


def _header(name: str, value: Value) -> bytes:
    key = bytes([len(name)]) + name.encode()
    match value:
        case bool():
            return key + (b"\x00" if value else b"\x01")
        case int():
            return key + b"\x05" + struct.pack(">q", value)
        case bytes():
            return key + b"\x06" + struct.pack(">H", len(value)) + value
        case str():
            return key + b"\x07" + struct.pack(">H", len(value.encode())) + value.encode()
