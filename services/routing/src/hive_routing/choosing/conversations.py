"""What a conversation begins with, as a key: all its turns have the same, in whatever dialect they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b

import msgspec
from msgspec import Raw

KEY_BYTES = 16
MOST_BYTES = 65_536
"""Of one text that counts: what two long prompts share so far, a provider's cache shares too."""
MOST_TURNS = 16
_NAMED = ("prompt_cache_key", "conversation")
"""Members by which a client itself says what belongs together."""
_LEADING = ("system", "instructions", "systemInstruction", "system_instruction")
_TURNS = ("messages", "contents", "input", "prompt")


class _Turn(msgspec.Struct):
    role: str | None = None


_decode_turns = msgspec.json.Decoder(list[Raw]).decode
_decode_turn = msgspec.json.Decoder(_Turn).decode


def conversation_key(tenant_id: str, fields: Mapping[str, Raw]) -> bytes:
    """Of the tenant, the system's words and the first turns up to the first one of a user.

    fields: the members of a request's body. What a client itself names as belonging together counts in their place.
    """
    digest = blake2b(tenant_id.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES)
    named = [(name, fields[name]) for name in _NAMED if bytes(fields.get(name, b"null")) != b"null"]
    for name, raw in named or _beginning(fields):
        digest.update(f"\0{name}\0".encode())
        digest.update(memoryview(raw)[:MOST_BYTES])
    return digest.digest()


def _beginning(fields: Mapping[str, Raw]) -> Iterator[tuple[str, Raw]]:
    for name in _LEADING:
        if name in fields:
            yield name, fields[name]
    for name in _TURNS:
        if name in fields:
            yield from ((name, turn) for turn in _first_turns(fields[name]))


def _first_turns(raw: Raw) -> Iterator[Raw]:
    try:
        turns = _decode_turns(raw)
    except (msgspec.DecodeError, RecursionError):  # one text is all of it
        yield raw
        return
    for turn in turns[:MOST_TURNS]:
        yield turn
        try:
            if _decode_turn(turn).role == "user":
                return
        except (msgspec.DecodeError, RecursionError):  # a text in a list is a turn of the user
            return
