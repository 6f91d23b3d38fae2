"""POST /v1/embeddings: unit vectors made of a hash of each text."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from functools import lru_cache
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.completions import read_texts
from hive_testing.simulator.reply import InvalidRequest, Reply, encode

NATIVE_DIMENSIONS = 1536
LARGE_DIMENSIONS = 3072  # of a model with "large" in its name
MAX_INPUTS = 2048


class EmbeddingRequest(msgspec.Struct):
    """The fields that change the answer; the others are recorded with the call and ignored."""

    model: str
    input: str | list[Any]
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None


class Embedding(msgspec.Struct):
    index: int
    embedding: str | list[float]
    object: str = "embedding"


class EmbeddingUsage(msgspec.Struct):
    prompt_tokens: int
    total_tokens: int


class Embeddings(msgspec.Struct):
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage | UnsetType = UNSET
    object: str = "list"


def answer(request: EmbeddingRequest, behaviour: Behaviour, number: int) -> Reply:
    """The answer; raises `InvalidRequest`."""
    texts = read_texts(request.input, "input")
    if len(texts) > MAX_INPUTS or any(not said for said, _ in texts):
        raise InvalidRequest(f"input must hold 1 to {MAX_INPUTS} texts, none of them empty", "input")
    dimensions = _dimensions(request)
    data = [
        Embedding(index, _shown(vector(said, dimensions), request.encoding_format))
        for index, (said, _) in enumerate(texts)
    ]
    count = _stated(sum(count for _, count in texts), behaviour)
    usage = UNSET if behaviour.no_usage else EmbeddingUsage(count, count)
    return Reply(count, 0, expected=0, body=encode(Embeddings(data, request.model, usage), behaviour.extra))


@lru_cache(maxsize=1024)
def vector(said: str, dimensions: int) -> bytes:
    """Little-endian float32 of length 1; a shorter vector is the longer one cut and scaled to length 1."""
    digest = hashlib.shake_256(said.encode()).digest(2 * dimensions)
    raw = struct.unpack(f"<{dimensions}h", digest)
    length = math.sqrt(sum(each * each for each in raw)) or 1.0
    return struct.pack(f"<{dimensions}f", *(each / length for each in raw))


def _dimensions(request: EmbeddingRequest) -> int:
    native = LARGE_DIMENSIONS if "large" in request.model else NATIVE_DIMENSIONS
    wanted = native if request.dimensions is None else request.dimensions
    if not 1 <= wanted <= native:
        raise InvalidRequest(f"dimensions must be 1 to {native}, not {wanted}", "dimensions")
    return wanted


def _shown(packed: bytes, encoding: str | None) -> str | list[float]:
    if encoding == "base64":
        return base64.b64encode(packed).decode()
    return list(struct.unpack(f"<{len(packed) // 4}f", packed))


def _stated(counted: int, behaviour: Behaviour) -> int:
    return int((behaviour.usage or {}).get("prompt_tokens", counted))


DECODER = msgspec.json.Decoder(EmbeddingRequest)
