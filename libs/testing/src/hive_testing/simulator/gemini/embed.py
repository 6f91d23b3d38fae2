"""Google's embeddings: of one text, or of several at once."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from hive_testing.simulator import embeddings, tokens
from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.calls import Call
from hive_testing.simulator.dialect import decoded
from hive_testing.simulator.gemini import types
from hive_testing.simulator.gemini.parts import of_kind, plain
from hive_testing.simulator.reply import InvalidRequest, Reply, encode

NATIVE_DIMENSIONS = 3072
MAX_REQUESTS = 100
MAX_INSTANCES = 250


class Texts(NamedTuple):
    """What is to be embedded: each text and how many numbers it shall become."""

    model: str
    wanted: list[tuple[str, int]]


def read(call: Call, names: Mapping[str, str]) -> Texts:
    """Raises `InvalidRequest` for what Google refuses."""
    fields = decoded(call)
    types.check_embed(fields)
    return Texts(unquote(names["model"]), [_wanted(plain(fields), "")])


def read_batch(call: Call, names: Mapping[str, str]) -> Texts:
    """The same for several."""
    model = unquote(names["model"])
    requests = decoded(call).get("requests")
    if not isinstance(requests, list) or not 0 < len(requests) <= MAX_REQUESTS:
        raise InvalidRequest(
            f"* BatchEmbedContentsRequest.requests: 1 to {MAX_REQUESTS} are allowed", "requests"
        )
    wanted = []
    for place, each in enumerate(requests):
        types.check_embed(each)
        if each.get("model") != f"models/{model}":
            raise InvalidRequest(
                f"* BatchEmbedContentsRequest.requests[{place}].model: model must match the one specified in the "
                "parent field.",
                f"requests[{place}].model",
            )
        wanted.append(_wanted(plain(each), f"requests[{place}]."))
    return Texts(model, wanted)


def read_instances(call: Call, names: Mapping[str, str]) -> Texts:
    """The same for Vertex AI, where texts are instances."""
    fields = plain(decoded(call))
    types.check_instances(fields)
    instances = fields["instances"]
    if not 0 < len(instances) <= MAX_INSTANCES:
        raise InvalidRequest(
            f"{len(instances)} instance(s) is not allowed, 1 to {MAX_INSTANCES} are.", "instances"
        )
    more = fields.get("parameters") or {}
    wanted = [
        _wanted({"content": {"parts": [{"text": each["content"]}]}, **more}, f"instances[{place}].")
        for place, each in enumerate(instances)
    ]
    return Texts(unquote(names["model"]), wanted)


def answer(request: Texts, behaviour: Behaviour, number: int) -> Reply:
    """One vector."""
    return _reply(request, {"embedding": _vectors(request)[0]}, behaviour)


def answer_batch(request: Texts, behaviour: Behaviour, number: int) -> Reply:
    """A vector for every text."""
    return _reply(request, {"embeddings": _vectors(request)}, behaviour)


def answer_instances(request: Texts, behaviour: Behaviour, number: int) -> Reply:
    """A prediction for every text."""
    predictions = [
        {"embeddings": {**vector, "statistics": {"truncated": False, "token_count": tokens.count(said)}}}
        for vector, (said, _) in zip(_vectors(request), request.wanted, strict=True)
    ]
    return _reply(request, {"predictions": predictions}, behaviour)


def _reply(request: Texts, body: dict[str, Any], behaviour: Behaviour) -> Reply:
    counted = sum(tokens.count(said) for said, _ in request.wanted)
    stated = int((behaviour.usage or {}).get("prompt_tokens", counted))
    return Reply(stated, 0, expected=0, body=encode(body, behaviour.extra))


def _wanted(fields: dict[str, Any], path: str) -> tuple[str, int]:
    said = " ".join(of_kind(fields["content"].get("parts") or [], "text"))
    if not said:
        raise InvalidRequest(f"* EmbedContentRequest.{path}content: empty Part", f"{path}content")
    dimensions = fields.get("outputDimensionality") or NATIVE_DIMENSIONS
    if not 1 <= dimensions <= NATIVE_DIMENSIONS:
        wrong = f"outputDimensionality must be 1 to {NATIVE_DIMENSIONS}, not {dimensions}"
        raise InvalidRequest(wrong, f"{path}outputDimensionality")
    return said, dimensions


def _vectors(request: Texts) -> list[dict[str, Any]]:
    packed = [(embeddings.vector(said, dimensions), dimensions) for said, dimensions in request.wanted]
    return [{"values": struct.unpack(f"<{dimensions}f", vector)} for vector, dimensions in packed]
