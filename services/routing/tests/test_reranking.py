"""Rerank: what is ranked of a document, what a provider is asked, and how its answer reaches clients."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from hive_routing.reranking import provider_fields, searches, shaped, text_of

DOCUMENTS = ["a", {"text": "b", "page": 3}, {"title": "c", "tags": ["x"]}]


@pytest.mark.parametrize(
    ("document", "rank_fields", "text"),
    [
        ("a", None, "a"),
        ("a", ["title"], "a"),
        ({"text": "b", "page": 3}, None, "b"),
        ({"text": "b", "page": 3}, ["page"], "page: 3"),
        ({"title": "c", "tags": ["x"]}, None, 'title: c\ntags: ["x"]'),
        ({"title": "c"}, ["title", "missing"], "title: c"),
    ],
)
def test_what_is_ranked(document: Any, rank_fields: list[str] | None, text: str) -> None:
    assert text_of(document, rank_fields) == text


@pytest.mark.parametrize(("documents", "units"), [(1, 1), (100, 1), (101, 2), (1000, 10)])
def test_a_search_is_a_query_over_a_hundred_documents(documents: int, units: int) -> None:
    assert searches(documents) == units


def test_what_a_provider_is_asked() -> None:
    body = {
        "query": "q",
        "documents": DOCUMENTS,
        "return_documents": True,
        "rank_fields": ["page"],
        "top_n": 2,
    }
    fields = {name: Raw(msgspec.json.encode(value)) for name, value in body.items()}
    passed = {name: msgspec.json.decode(raw) for name, raw in provider_fields(fields, body).items()}
    assert passed == {"query": "q", "documents": ["a", "page: 3", ""], "top_n": 2}


@given(scores=st.lists(st.floats(0, 1), min_size=1, max_size=20), top_n=st.none() | st.integers(1, 30))
def test_answers_are_sorted_and_cut(scores: list[float], top_n: int | None) -> None:
    ranked = [{"index": place, "relevance_score": score} for place, score in enumerate(scores)]
    values = {
        "documents": [str(place) for place in range(len(scores))],
        "top_n": top_n,
        "return_documents": True,
    }
    body, usage = shaped(msgspec.json.encode({"results": ranked}), values, "m")
    results = msgspec.json.decode(body)["results"]
    assert [each["relevance_score"] for each in results] == sorted(scores, reverse=True)[:top_n]
    assert all(each["document"] == {"text": str(each["index"])} for each in results)
    assert usage.units == {"search": 1, "prompt": 0}


def test_what_a_provider_bills_counts() -> None:
    answer = {"results": [], "id": "rr", "meta": {"billed_units": {"search_units": 3, "total_tokens": 20}}}
    body, usage = shaped(msgspec.json.encode(answer), {"documents": ["a"]}, "m")
    assert usage.units == {"search": 3, "prompt": 20}
    assert msgspec.json.decode(body)["meta"]["billed_units"] == {"search_units": 3, "total_tokens": 20}


@pytest.mark.parametrize("answer", [{}, {"results": [{"index": 1, "relevance_score": 1}]}, {"results": 1}])
def test_what_is_no_ranking_of_these_documents(answer: Any) -> None:
    with pytest.raises(msgspec.DecodeError):
        shaped(msgspec.json.encode(answer), {"documents": ["a"]}, "m")
