"""Amazon's binary framing of streams: a prelude, headers, a payload, and two checksums."""

from __future__ import annotations

import struct
import zlib

CONTENT_TYPE = "application/vnd.amazon.eventstream"
STRING = 7
FRAMING = 16  # bytes of a frame that are neither headers nor payload


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One message; its headers are all texts."""
    packed = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack(">II", FRAMING + len(packed) + len(payload), len(packed))
    message = prelude + _checksum(prelude) + packed + payload
    return message + _checksum(message)


def _header(name: str, value: str) -> bytes:
    raw_name, raw = name.encode(), value.encode()
    return struct.pack(">B", len(raw_name)) + raw_name + struct.pack(">BH", STRING, len(raw)) + raw


def _checksum(data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data))
