"""Rerankers of others, asked and read as if they were Cohere's: the form between the gateway and its adapters."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from hive_runtime.errors import HiveError, Kind

_NAMES: dict[str, dict[str, str]] = {"jina": {}, "voyage": {"top_n": "top_k"}}
"""What members are called."""
_NOTHING = (b"", b"null")


class _Result(msgspec.Struct):
    index: int
    relevance_score: Raw
    document: Any = None


class _Spent(msgspec.Struct):
    total_tokens: int | None = None
    prompt_tokens: int | None = None


class _Answer(msgspec.Struct):
    id: str | None = None
    results: list[_Result] | None = None
    data: list[_Result] | None = None
    usage: _Spent | None = None
    meta: Raw = Raw()


_object = msgspec.json.Decoder(dict[str, Raw]).decode
_answer = msgspec.json.Decoder(_Answer).decode


def asked(body: bytes, form: str) -> bytes:
    """Cohere's body in another form: `jina` or `voyage`. Raises HiveError `invalid` for what has no place there."""
    names = _NAMES[form]
    fields = {names.get(name, name): value for name, value in _object(body).items() if name != "priority"}
    if bytes(fields.pop("max_tokens_per_doc", b"null")) != b"null":
        message = (
            "`max_tokens_per_doc` cannot be passed on: the provider of this model has nothing of the kind."
        )
        raise HiveError(Kind.INVALID, message, "max_tokens_per_doc", reason="not_translatable")
    return msgspec.json.encode(fields)


def in_coheres_form(body: bytes) -> bytes:
    """The answer of a reranker, as Cohere would give it. Raises msgspec.DecodeError where it is none."""
    found = _answer(body)
    results = found.results if found.results is not None else found.data
    if results is None:
        raise msgspec.DecodeError("neither `results` nor `data`")
    written: dict[str, Any] = {"id": found.id} if found.id else {}
    written["results"] = [_result(each) for each in results]
    written["meta"] = found.meta if bytes(found.meta) not in _NOTHING else _meta(found.usage)
    return msgspec.json.encode(written)


def _result(result: _Result) -> dict[str, Any]:
    written: dict[str, Any] = {"index": result.index, "relevance_score": result.relevance_score}
    document = result.document
    if document is not None:
        written["document"] = {"text": document} if isinstance(document, str) else document
    return written


def _meta(usage: _Spent | None) -> dict[str, Any]:
    meta: dict[str, Any] = {"api_version": {"version": "2"}}
    tokens = usage and (usage.total_tokens if usage.total_tokens is not None else usage.prompt_tokens)
    if tokens is not None:
        meta["billed_units"] = {"input_tokens": tokens}
        meta["tokens"] = {"input_tokens": tokens}
    return meta
