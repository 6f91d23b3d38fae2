"""Bedrock's models of embeddings, each with a body of its own: Titan takes one text, Cohere's takes several."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from hive_testing.simulator import embeddings, tokens
from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.calls import Call
from hive_testing.simulator.checking.shapes import BOOLEAN, INTEGER, STRING, Bounded, ListOf, OneOf, members
from hive_testing.simulator.converse.request import check_types
from hive_testing.simulator.dialect import decoded
from hive_testing.simulator.reply import InvalidRequest, Reply, encode

TITAN, COHERE = "titan-embed", "cohere.embed"
TITAN_BODY = members(
    required=["inputText"],
    inputText=Bounded(STRING, 1),
    dimensions=OneOf((256, 512, 1024)),
    normalize=BOOLEAN,
    embeddingTypes=ListOf(OneOf(("float", "binary"))),
)
COHERE_BODY = members(
    required=["texts", "input_type"],
    texts=Bounded(ListOf(STRING), 1, 96),
    input_type=OneOf(("search_document", "search_query", "classification", "clustering")),
    embedding_types=ListOf(OneOf(("float",))),
    output_dimension=OneOf((256, 512, 1024, 1536)),
    truncate=OneOf(("NONE", "START", "END", "LEFT", "RIGHT")),
    max_tokens=INTEGER,
)


class Texts(NamedTuple):
    model: str
    texts: list[str]
    dimensions: int


def read(call: Call, names: Mapping[str, str]) -> Texts:
    """Raises `InvalidRequest` for what Amazon refuses."""
    model, fields = unquote(names["model"]), decoded(call)
    if TITAN in model:
        check_types(TITAN_BODY, fields)
        return Texts(model, [fields["inputText"]], fields.get("dimensions") or 1024)
    if COHERE in model:
        check_types(COHERE_BODY, fields)
        return Texts(model, fields["texts"], fields.get("output_dimension") or 1536)
    raise InvalidRequest("The simulator invokes models of embeddings only.", "modelId")


def answer(request: Texts, behaviour: Behaviour, number: int) -> Reply:
    """The vectors, in the form of the model's maker."""
    vectors = [_vector(said, request.dimensions) for said in request.texts]
    counted = sum(tokens.count(said) for said in request.texts)
    stated = int((behaviour.usage or {}).get("prompt_tokens", counted))
    if TITAN in request.model:
        body: dict[str, Any] = {"embedding": vectors[0], "embeddingsByType": {"float": vectors[0]}}
        body |= {} if behaviour.no_usage else {"inputTextTokenCount": stated}
    else:
        by_type = {"response_type": "embeddings_by_type", "embeddings": {"float": vectors}}
        body = {"id": f"sim{number}", **by_type, "texts": request.texts}
    return Reply(stated, 0, 0, encode(body, behaviour.extra))


def _vector(said: str, dimensions: int) -> tuple[float, ...]:
    return struct.unpack(f"<{dimensions}f", embeddings.vector(said, dimensions))
