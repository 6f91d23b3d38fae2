"""Cohere's rerank: a document is the better the more words of the query it has."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from hive_testing.simulator import tokens
from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.calls import Call
from hive_testing.simulator.checking import sdk
from hive_testing.simulator.checking.shapes import Members
from hive_testing.simulator.cohere.dialect import check_types
from hive_testing.simulator.dialect import decoded
from hive_testing.simulator.reply import InvalidRequest, Reply, encode, own_usage

DEFAULT_MODEL = "rerank-v3.5"
MAX_DOCUMENTS = 10_000
UNIT_DOCUMENTS = 100  # a search unit is one query with up to so many documents


class Ranked(NamedTuple):
    """A request of either version. texts: of the documents."""

    model: str
    version: str
    texts: list[str]
    fields: dict[str, Any]


def read_v1(call: Call, names: Mapping[str, str]) -> Ranked:
    """Raises `InvalidRequest` for what Cohere refuses."""
    fields = decoded(call)
    check_types(_v1(), fields)
    _check(fields)
    texts = [_text(each, fields.get("rank_fields") or ["text"]) for each in fields["documents"]]
    return Ranked(fields.get("model") or DEFAULT_MODEL, "1", texts, fields)


def read_v2(call: Call, names: Mapping[str, str]) -> Ranked:
    """The same for the second version, whose documents are texts."""
    fields = decoded(call)
    check_types(_v2(), fields)
    _check(fields)
    return Ranked(fields["model"], "2", fields["documents"], fields)


def answer(request: Ranked, behaviour: Behaviour, number: int) -> Reply:
    """The documents in order, best first."""
    query = request.fields["query"]
    scored = [(score(query, said), place) for place, said in enumerate(request.texts)]
    best = sorted(scored, key=lambda each: (-each[0], each[1]))[: request.fields.get("top_n")]
    results = [_result(request, place, value) for value, place in best]
    units = -(-len(request.texts) // UNIT_DOCUMENTS)
    counted = sum(tokens.count(query) + tokens.count(said) for said in request.texts)
    meta = {
        "api_version": {"version": request.version},
        "billed_units": {"search_units": units, **own_usage(behaviour)},
    }
    body: dict[str, Any] = {"id": f"sim{number}", "results": results}
    if not behaviour.no_usage:
        body["meta"] = meta
    stated = int(meta["billed_units"]["search_units"])
    return Reply(counted, 0, 0, encode(body, behaviour.extra), search_units=stated)


def score(query: str, said: str) -> float:
    """The share of the query's words that the text has, from 0 to 1."""
    wanted = set(query.lower().split())
    return round(len(wanted & set(said.lower().split())) / max(len(wanted), 1), 6)


@cache
def _v1() -> Members:
    from cohere.base_client import BaseCohere

    return sdk.keywords(BaseCohere.rerank)


@cache
def _v2() -> Members:
    from cohere.v2.client import V2Client

    return sdk.keywords(V2Client.rerank)


def _check(fields: dict[str, Any]) -> None:
    if not fields["query"]:
        raise InvalidRequest("invalid request: query must not be empty", "query")
    if not 0 < len(fields["documents"]) <= MAX_DOCUMENTS:
        wrong = f"invalid request: list of documents must have 1 to {MAX_DOCUMENTS} elements"
        raise InvalidRequest(wrong, "documents")
    if (fields.get("top_n") or 1) < 1 or fields.get("top_n") == 0:
        raise InvalidRequest("invalid request: top_n must be greater than 0", "top_n")


def _text(document: Any, fields: list[str]) -> str:
    if isinstance(document, str):
        return document
    missing = [name for name in fields if name not in document]
    if missing:
        raise InvalidRequest(f"invalid request: documents lack the rank field {missing[0]!r}", "documents")
    return " ".join(str(document[name]) for name in fields)


def _result(request: Ranked, place: int, value: float) -> dict[str, Any]:
    result: dict[str, Any] = {"index": place, "relevance_score": value}
    if request.fields.get("return_documents"):
        document = request.fields["documents"][place]
        result["document"] = {"text": document} if isinstance(document, str) else document
    return result
