"""Rerank with Cohere's SDK in both of its versions, and with plain HTTP; by a provider, and by the local model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cohere
import httpx
import httpx2
import pytest

from hive_testing.gateway import Served
from hive_testing.simulator import SimulatorThread

QUERY = "Where is Rome?"
DOCUMENTS = ["Cats sleep.", "Rome is in Italy.", "Bees make honey."]


@pytest.fixture(scope="module")
def reranker(gateway: Served, provider: SimulatorThread) -> str:
    """A model of a provider that speaks Cohere's API, at two dollars for a thousand searches."""
    here = {"kind": "cohere", "base_url": provider.control_url, "api_key": "sk-sim"}
    gateway.admin("POST", "/providers", {"name": "ranking", **here})
    model = {
        "id": "ranker",
        "deployments": [{"provider": "ranking", "model": "rerank-v3.5"}],
        "mode": "rerank",
        "price": {"search": "2.00", "per": 1000},
    }
    gateway.admin("POST", "/models", model)
    gateway.wait_for_model("ranker")
    return "ranker"


@pytest.fixture
def http(gateway: Served) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=gateway.url, headers={"authorization": f"Bearer {gateway.key}"}) as client:
        yield client


def test_coheres_sdk(gateway: Served, reranker: str) -> None:
    with httpx.Client() as connections:
        client = cohere.Client(api_key=gateway.key, base_url=gateway.url, httpx_client=connections)
        answer = client.rerank(
            model=reranker, query=QUERY, documents=DOCUMENTS, top_n=2, return_documents=True
        )

    assert len(answer.results) == 2
    first, second = answer.results
    assert first.relevance_score >= second.relevance_score
    assert first.document is not None and first.document.text == DOCUMENTS[first.index]
    assert answer.meta is not None and answer.meta.billed_units is not None
    assert answer.meta.billed_units.search_units == 1


def test_coheres_second_version(gateway: Served, reranker: str) -> None:
    with httpx.Client() as connections:
        client = cohere.ClientV2(api_key=gateway.key, base_url=gateway.url, httpx_client=connections)
        answer = client.rerank(model=reranker, query=QUERY, documents=DOCUMENTS)
    assert sorted(each.index for each in answer.results) == [0, 1, 2]
    assert getattr(answer.results[0], "document", None) is None


def test_documents_may_be_objects(http: httpx2.Client, simulator: SimulatorThread, reranker: str) -> None:
    documents = [{"title": "Rome", "text": "A city."}, {"title": "Cats", "body": "Asleep."}]
    body: dict[str, Any] = {"model": reranker, "query": QUERY, "documents": documents}
    plain = http.post("/v1/rerank", json=body | {"return_documents": True}).json()
    assert [each["document"] for each in plain["results"]] == [
        documents[e["index"]] for e in plain["results"]
    ]
    http.post("/v1/rerank", json=body | {"rank_fields": ["title"]})
    assert simulator.calls[0].json["documents"] == ["A city.", "title: Cats\nbody: Asleep."]
    assert simulator.calls[1].json["documents"] == ["title: Rome", "title: Cats"]


def test_a_search_has_its_price(http: httpx2.Client, reranker: str) -> None:
    body = {"model": reranker, "query": QUERY, "documents": [str(number) for number in range(250)]}
    answer = http.post("/v1/rerank", json=body)
    assert answer.headers["x-hive-cost"] == "0.006"  # three units of a hundred documents


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"query": None}, "query"),
        ({"query": ""}, "query"),
        ({"documents": []}, "documents"),
        ({"documents": None}, "documents"),
        ({"top_n": 0}, "top_n"),
        ({"documents": ["x"] * 1001}, "documents"),
    ],
)
def test_what_cannot_be_ranked_is_refused(
    http: httpx2.Client, reranker: str, change: dict[str, Any], param: str
) -> None:
    body = {"model": reranker, "query": QUERY, "documents": DOCUMENTS} | change
    answer = http.post("/v1/rerank", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_a_chat_model_is_no_reranker(http: httpx2.Client) -> None:
    answer = http.post("/v1/rerank", json={"model": "gpt-4o", "query": QUERY, "documents": DOCUMENTS})
    assert answer.status_code == 400
