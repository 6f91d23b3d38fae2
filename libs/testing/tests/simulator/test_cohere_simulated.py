"""Cohere's SDK takes the simulator for Cohere, and what Cohere refuses is refused."""

from __future__ import annotations

from typing import Any

import cohere
import httpx2
import pytest

from hive_testing.simulator import SimulatorThread

MODEL = "rerank-v3.5"
DOCUMENTS = ["cats sleep", "Rome is in Italy", "all of Italy"]


def test_first_version(ranker_v1: cohere.Client, provider: SimulatorThread) -> None:
    ranked = ranker_v1.rerank(
        model=MODEL, query="rome italy", documents=DOCUMENTS, return_documents=True, top_n=2
    )

    assert [(each.index, each.relevance_score) for each in ranked.results] == [(1, 1.0), (2, 0.5)]
    first = ranked.results[0].document
    assert first and first.text == "Rome is in Italy"
    (line,) = provider.bill
    assert (line.search_units, line.completion_tokens, line.finished) == (1, 0, True)


def test_documents_with_fields(ranker_v1: cohere.Client) -> None:
    documents: list[Any] = [{"title": "cats", "body": "rome"}, {"title": "rome", "body": "cats"}]
    ranked = ranker_v1.rerank(query="rome", documents=documents, rank_fields=["title"])

    assert [each.index for each in ranked.results] == [1, 0]


def test_second_version(ranker_v2: cohere.ClientV2, provider: SimulatorThread) -> None:
    documents = [f"document {place}" for place in range(101)]
    ranked = ranker_v2.rerank(model=MODEL, query="document 7", documents=documents, top_n=1)

    assert [each.index for each in ranked.results] == [7]
    assert ranked.meta and ranked.meta.billed_units and ranked.meta.billed_units.search_units == 2
    assert provider.bill[0].search_units == 2


@pytest.mark.parametrize("form", ["float", "int8", "uint8", "binary", "ubinary", "base64"])
def test_embeddings(ranker_v2: cohere.ClientV2, provider: SimulatorThread, form: Any) -> None:
    embedded = ranker_v2.embed(
        model="embed-v4.0",
        input_type="search_document",
        texts=["one", "two"],
        embedding_types=[form],
        output_dimension=256,
    )

    vectors = getattr(embedded.embeddings, "float_" if form == "float" else form)
    sizes = {"binary": 32, "ubinary": 32, "base64": 1368}
    assert [len(each) for each in vectors] == [sizes.get(form, 256)] * 2
    assert provider.bill[0].prompt_tokens == 2


@pytest.mark.parametrize(
    ("path", "fields", "words"),
    [
        ("/v1/rerank", {"query": ""}, "query must not be empty"),
        ("/v1/rerank", {"documents": []}, "list of documents must have 1 to"),
        ("/v1/rerank", {"top_n": 0}, "top_n must be greater than 0"),
        ("/v1/rerank", {"max_tokens_per_doc": 1}, "unknown field: parameter 'max_tokens_per_doc'"),
        ("/v2/rerank", {"return_documents": True}, "unknown field: parameter 'return_documents'"),
        ("/v2/rerank", {"documents": [{"text": "x"}]}, "parameter documents.0"),
        ("/v2/rerank", {"top_n": "1"}, "parameter top_n"),
    ],
)
def test_refused(raw: httpx2.Client, path: str, fields: dict[str, Any], words: str) -> None:
    answer = raw.post(path, json={"model": MODEL, "query": "x", "documents": ["x"], **fields})

    assert answer.status_code == 400, answer.text
    assert words in answer.json()["message"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "input_type is required"),
        ({"input_type": "doc"}, "input_type must be one of search_document"),
        ({"input_type": "search_query", "images": ["data:image/png;base64,aGk="]}, "exactly one of texts"),
        ({"input_type": "search_query", "output_dimension": 7}, "output_dimension must be one of"),
    ],
)
def test_refused_embeddings(raw: httpx2.Client, fields: dict[str, Any], words: str) -> None:
    answer = raw.post("/v2/embed", json={"model": "embed-v4.0", "texts": ["x"], **fields})

    assert answer.status_code == 400, answer.text
    assert words in answer.json()["message"]
