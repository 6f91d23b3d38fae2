"""OpenAI's form of embeddings, for providers that have another one: what was asked is read, what came is written."""

from __future__ import annotations

import base64
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw

from hive_runtime.errors import HiveError, Kind

_HARMLESS = ("model", "user", "encoding_format")
"""Members that need no place in another form."""


class _Fields(msgspec.Struct):
    input: str | list[str | int | list[int]]
    dimensions: int | None = None
    encoding_format: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """texts: what vectors are made of. more: members that the provider has a place for, beyond OpenAI's."""

    texts: list[str]
    dimensions: int | None
    as_base64: bool
    more: dict[str, Any]


class _Written(msgspec.Struct):
    index: int
    embedding: Raw | str
    object: str = "embedding"


class _Usage(msgspec.Struct):
    prompt_tokens: int
    total_tokens: int


class _List(msgspec.Struct, omit_defaults=True):
    data: list[_Written]
    model: str
    usage: _Usage | None = None


_fields = msgspec.json.Decoder(_Fields).decode
_object = msgspec.json.Decoder(dict[str, Raw]).decode
_floats = msgspec.json.Decoder(list[float]).decode
_HEAD = b'{"object":"list",'


def read(body: bytes, more: Collection[str] = ()) -> Asked:
    """What was asked. more: members that the provider knows beyond OpenAI's.

    Raises HiveError `invalid` for what the provider has no place for: token ids, and members that nobody knows.
    """
    fields = _fields(body)
    texts = [fields.input] if isinstance(fields.input, str) else fields.input
    if not all(isinstance(text, str) for text in texts):
        message = "`input` must be texts: the provider of this model takes no token ids."
        raise HiveError(Kind.INVALID, message, "input", reason="not_translatable")
    beyond: dict[str, Any] = {}
    for name, raw in _object(body).items():
        if name in _HARMLESS or name in ("input", "dimensions") or bytes(raw) == b"null":
            continue
        if name not in more:
            message = f"`{name}` cannot be passed on: the provider of this model has nothing of the kind."
            raise HiveError(Kind.INVALID, message, name, reason="not_translatable")
        beyond[name] = msgspec.json.decode(raw)
    as_base64 = fields.encoding_format == "base64"
    return Asked([str(text) for text in texts], fields.dimensions, as_base64, beyond)


def write(asked: Asked, model: str, vectors: Sequence[Raw], tokens: int | None) -> bytes:
    """The answer in OpenAI's form. vectors: JSON arrays of numbers, whose digits stay as they are.

    tokens: of the input; None where the provider did not say. Raises msgspec.DecodeError where it is no answer.
    """
    if len(vectors) != len(asked.texts):
        raise msgspec.DecodeError(f"{len(vectors)} vectors for {len(asked.texts)} texts")
    data = [
        _Written(index, _packed(vector) if asked.as_base64 else vector)
        for index, vector in enumerate(vectors)
    ]
    usage = None if tokens is None else _Usage(tokens, tokens)
    return _HEAD + msgspec.json.encode(_List(data, model, usage))[1:]


def _packed(vector: Raw) -> str:
    """As 32-bit floats, little end first."""
    floats = _floats(vector)
    return base64.b64encode(struct.pack(f"<{len(floats)}f", *floats)).decode()
