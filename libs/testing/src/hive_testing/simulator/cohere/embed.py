"""Cohere's embeddings, in as many forms as are asked for."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from hive_testing.simulator import embeddings, tokens
from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.calls import Call
from hive_testing.simulator.checking import sdk
from hive_testing.simulator.checking.shapes import Members
from hive_testing.simulator.cohere.dialect import check_types
from hive_testing.simulator.dialect import decoded
from hive_testing.simulator.reply import InvalidRequest, Reply, encode

MAX_TEXTS = 96
DIMENSIONS = (256, 512, 1024, 1536)


class Texts(NamedTuple):
    """texts: what is to be embedded, an image by its URL."""

    model: str
    texts: list[str]
    fields: dict[str, Any]


def read(call: Call, names: Mapping[str, str]) -> Texts:
    """Raises `InvalidRequest` for what Cohere refuses."""
    fields = decoded(call)
    check_types(_request(), fields)
    given = [name for name in ("texts", "images", "inputs") if fields.get(name)]
    if len(given) != 1:
        raise InvalidRequest(
            "invalid request: exactly one of texts, images and inputs must be given", "texts"
        )
    texts = [each if isinstance(each, str) else _said(each) for each in fields[given[0]]]
    if len(texts) > MAX_TEXTS:
        raise InvalidRequest(f"invalid request: at most {MAX_TEXTS} {given[0]} are allowed", given[0])
    if fields.get("output_dimension", DIMENSIONS[-1]) not in DIMENSIONS:
        allowed = ", ".join(map(str, DIMENSIONS))
        raise InvalidRequest(
            f"invalid request: output_dimension must be one of {allowed}", "output_dimension"
        )
    return Texts(fields["model"], texts, fields)


def answer(request: Texts, behaviour: Behaviour, number: int) -> Reply:
    """A vector for every text in every form."""
    dimensions = request.fields.get("output_dimension") or DIMENSIONS[-1]
    vectors = [embeddings.vector(said, dimensions) for said in request.texts]
    forms = request.fields.get("embedding_types") or ["float"]
    counted = sum(tokens.count(said) for said in request.texts)
    stated = int((behaviour.usage or {}).get("prompt_tokens", counted))
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": stated}}
    body: dict[str, Any] = {
        "id": f"sim{number}",
        "response_type": "embeddings_by_type",
        "embeddings": {form: [_shown(each, form, dimensions) for each in vectors] for form in forms},
        "texts": request.fields.get("texts") or [],
    }
    if not behaviour.no_usage:
        body["meta"] = meta
    return Reply(stated, 0, 0, encode(body, behaviour.extra))


@cache
def _request() -> Members:
    from cohere.v2.client import V2Client

    return sdk.keywords(V2Client.embed)


def _said(given: dict[str, Any]) -> str:
    parts = given.get("content") or []
    return " ".join(part.get("text") or part.get("image_url", {}).get("url", "") for part in parts)


def _shown(packed: bytes, form: str, dimensions: int) -> Any:
    """The vector as floats, as small integers, or as one bit for each number."""
    if form == "base64":
        return base64.b64encode(packed).decode()
    numbers = struct.unpack(f"<{dimensions}f", packed)
    if form == "float":
        return numbers
    offset = 0 if form in ("int8", "binary") else 128
    if form in ("int8", "uint8"):
        return [max(-128, min(127, round(each * 127))) + offset for each in numbers]
    bits = "".join("1" if each > 0 else "0" for each in numbers)
    return [int(bits[start : start + 8], 2) - (128 - offset) for start in range(0, dimensions, 8)]
