"""How streams of OpenAI's older dialects end: the usage, if it was asked for, and `[DONE]`."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

DONE = b"data: [DONE]\n\n"

_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode


def last_events(closing: bytes, told: dict[str, Any]) -> bytes:
    """How a stream ends. closing: the usage chunk, as JSON. told: what the gateway has to say in it, as `hive`."""
    if not closing:
        return DONE
    chunk: dict[str, Any] = _decode_fields(closing)
    if told:
        chunk["hive"] = told
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n" + DONE
