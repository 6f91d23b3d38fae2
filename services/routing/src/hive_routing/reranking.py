"""Rerank: requests and answers of Cohere's two versions and of Jina's; providers get Cohere's second one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.usage import Usage

DOCUMENTS_PER_SEARCH = 100
"""What one search unit pays for, beside its query."""
MOST_DOCUMENTS = 1000

_OURS = frozenset({"documents", "rank_fields", "return_documents", "max_chunks_per_doc"})


class _Billed(msgspec.Struct):
    search_units: float | None = None
    total_tokens: int | None = None
    input_tokens: int | None = None


class _Meta(msgspec.Struct):
    billed_units: _Billed | None = None


class _Tokens(msgspec.Struct):
    total_tokens: int | None = None


class _Ranked(msgspec.Struct):
    index: int
    relevance_score: float


class _Answer(msgspec.Struct):
    results: list[_Ranked]
    id: str = ""
    meta: _Meta | None = None
    usage: _Tokens | None = None


def text_of(document: Any, rank_fields: list[str] | None) -> str:
    """What of a document is ranked: itself, its `text`, the fields that were named, or all of it."""
    if isinstance(document, str):
        return document
    if rank_fields:
        chosen = {name: document[name] for name in rank_fields if name in document}
        return "\n".join(f"{name}: {_words(value)}" for name, value in chosen.items())
    if isinstance(document.get("text"), str):
        return str(document["text"])
    return "\n".join(f"{name}: {_words(value)}" for name, value in document.items())


def _words(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def searches(documents: int) -> int:
    """Search units of one query over so many documents."""
    return -(-documents // DOCUMENTS_PER_SEARCH)


def provider_fields(fields: Mapping[str, Raw], values: Mapping[str, Any]) -> dict[str, Raw]:
    """The body for a provider, but for its model: documents are texts there."""
    rank_fields = values.get("rank_fields")
    texts = [text_of(each, rank_fields) for each in values["documents"]]
    passed = {name: raw for name, raw in fields.items() if name not in _OURS}
    return passed | {"documents": Raw(msgspec.json.encode(texts))}


def shaped(body: bytes, values: Mapping[str, Any], model: str) -> tuple[bytes, Usage]:
    """An answer for clients of every version, and what it used. Raises msgspec.DecodeError where it is none."""
    answer = msgspec.json.decode(body, type=_Answer)
    documents = values["documents"]
    if any(not 0 <= each.index < len(documents) for each in answer.results):
        raise msgspec.ValidationError("an index is none of a document")
    billed = answer.meta.billed_units if answer.meta and answer.meta.billed_units else _Billed()
    units = int(billed.search_units or searches(len(documents)))
    tokens = billed.total_tokens or billed.input_tokens or (answer.usage and answer.usage.total_tokens) or 0
    results = sorted(answer.results, key=lambda each: each.relevance_score, reverse=True)
    shown = [_result(each, values) for each in results[: values.get("top_n") or len(results)]]
    said = {
        "id": answer.id,
        "model": model,
        "results": shown,
        "meta": {
            "api_version": {"version": "1"},
            "billed_units": {"search_units": units, "total_tokens": tokens},
            "tokens": {"input_tokens": tokens, "output_tokens": 0},
        },
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return msgspec.json.encode(said), Usage(tokens, 0, {"search": units, "prompt": tokens})


def _result(ranked: _Ranked, values: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"index": ranked.index, "relevance_score": ranked.relevance_score}
    if values.get("return_documents"):
        document = values["documents"][ranked.index]
        shown["document"] = {"text": document} if isinstance(document, str) else document
    return shown
