"""Bedrock's embedding models behind OpenAI's form: Amazon's Titan takes one text a call, Cohere's takes many.

Cohere's want to know what their vectors are for: clients may say it as `input_type`, else it is `search_document`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.providers.bodies import embeddings
from hive_routing.providers.bodies.embeddings import Asked
from hive_runtime.errors import HiveError, Kind

_COHERE_BATCH = 96
_COHERE_MEMBERS = ("input_type", "truncate", "max_tokens")
_DEFAULT_INPUT = "search_document"


class _TitanAnswer(msgspec.Struct):
    embedding: Raw
    inputTextTokenCount: int


class _ByType(msgspec.Struct):
    float: list[Raw]


class _CohereAnswer(msgspec.Struct):
    embeddings: _ByType


_titan = msgspec.json.Decoder(_TitanAnswer).decode
_cohere = msgspec.json.Decoder(_CohereAnswer).decode


class Embedding:
    """One request for vectors: the bodies to be sent, and what their answers become."""

    def __init__(self, model: str, body: bytes) -> None:
        """Raises HiveError `invalid`, with the field, for what the model cannot be asked."""
        self._model = model
        self._is_cohere = "cohere.embed" in model
        if not self._is_cohere and "titan-embed" not in model:
            message = f"The model `{model}` makes no vectors that can be asked for here."
            raise HiveError(Kind.INVALID, message, "model")
        self._asked = embeddings.read(body, _COHERE_MEMBERS if self._is_cohere else ())
        bodies = _cohere_bodies(self._asked) if self._is_cohere else _titan_bodies(self._asked)
        self.bodies = [msgspec.json.encode(each) for each in bodies]

    def answer(self, answers: Sequence[tuple[bytes, Mapping[str, str]]]) -> bytes:
        """Of the body and the headers of each answer, in order. Raises msgspec.DecodeError for what is none."""
        vectors: list[Raw] = []
        tokens: list[int | None] = []
        for body, headers in answers:
            if self._is_cohere:
                vectors += _cohere(body).embeddings.float
                tokens.append(_count(headers))
            else:
                answer = _titan(body)
                vectors.append(answer.embedding)
                tokens.append(answer.inputTextTokenCount)
        known = [count for count in tokens if count is not None]
        total = sum(known) if len(known) == len(tokens) else None
        return embeddings.write(self._asked, self._model, vectors, total)


def _titan_bodies(asked: Asked) -> list[dict[str, Any]]:
    more = {} if asked.dimensions is None else {"dimensions": asked.dimensions}
    return [{"inputText": text, **more} for text in asked.texts]


def _cohere_bodies(asked: Asked) -> list[dict[str, Any]]:
    more: dict[str, Any] = {"input_type": _DEFAULT_INPUT, "embedding_types": ["float"], **asked.more}
    if asked.dimensions is not None:
        more["output_dimension"] = asked.dimensions
    starts = range(0, len(asked.texts), _COHERE_BATCH)
    return [{"texts": asked.texts[start : start + _COHERE_BATCH], **more} for start in starts]


def _count(headers: Mapping[str, str]) -> int | None:
    count = headers.get("x-amzn-bedrock-input-token-count", "")
    return int(count) if count.isdecimal() else None
