"""Embeddings of providers that have another form than OpenAI's, and rerankers of others than Cohere."""

from __future__ import annotations

import base64
import struct
from typing import Any

import msgspec
import pytest

from hive_runtime.errors import HiveError, Kind

ASK: dict[str, Any] = {"model": "m-1", "input": ["one", "two"], "user": "me", "encoding_format": None}
OPENAIS: dict[str, Any] = {
    "object": "list",
    "data": [
        {"index": 0, "embedding": [0.25, -1], "object": "embedding"},
        {"index": 1, "embedding": [1e-3, 2.5], "object": "embedding"},
    ],
    "model": "m-1",
    "usage": {"prompt_tokens": 7, "total_tokens": 7},
}
GEMINIS: dict[str, Any] = {
    "embeddings": [{"values": [0.25, -1]}, {"values": [1e-3, 2.5]}],
    "usageMetadata": {"promptTokenCount": 7},
}
COHERES: dict[str, Any] = {
    "id": "1",
    "embeddings": {"float": [[0.25, -1], [1e-3, 2.5]]},
    "texts": ["one", "two"],
    "meta": {"billed_units": {"input_tokens": 7.0}},
}
PREDICTED: dict[str, Any] = {
    "predictions": [
        {"embeddings": {"values": [0.25, -1], "statistics": {"token_count": 3.0, "truncated": False}}},
        {"embeddings": {"values": [1e-3, 2.5], "statistics": {"token_count": 4.0}}},
    ]
}


@pytest.mark.parametrize(
    ("kind", "more", "answer", "path", "sent"),
    [
        (
            "gemini",
            {"dimensions": 2, "task_type": "RETRIEVAL_QUERY"},
            GEMINIS,
            "/v1beta/models/m-1:batchEmbedContents",
            {
                "requests": [
                    {
                        "model": "models/m-1",
                        "content": {"parts": [{"text": text}]},
                        "outputDimensionality": 2,
                        "taskType": "RETRIEVAL_QUERY",
                    }
                    for text in ("one", "two")
                ]
            },
        ),
        (
            "cohere",
            {},
            COHERES,
            "/v2/embed",
            {
                "model": "m-1",
                "texts": ["one", "two"],
                "embedding_types": ["float"],
                "input_type": "search_document",
            },
        ),
        (
            "cohere",
            {"dimensions": 2, "input_type": "search_query"},
            COHERES,
            "/v2/embed",
            {
                "model": "m-1",
                "texts": ["one", "two"],
                "embedding_types": ["float"],
                "input_type": "search_query",
                "output_dimension": 2,
            },
        ),
        ("mistral", {"dimensions": 2}, OPENAIS, "/embeddings", None),
        ("voyage", {"dimensions": 2}, OPENAIS, "/embeddings", None),
    ],
)
async def test_they_are_asked_and_read_in_openais_form(
    speaking: Any, recorder: Any, kind: str, more: Any, answer: Any, path: str, sent: Any
) -> None:
    recorder.tell(answer)
    status, body = await speaking(kind).send("embeddings", ASK | more)
    assert (status, msgspec.json.decode(body)) == (200, OPENAIS)
    assert recorder.last.path == path
    if sent is None:
        assert recorder.last.json["output_dimension"] == 2
        assert "dimensions" not in recorder.last.json
    else:
        assert recorder.last.json == sent


@pytest.mark.parametrize(
    ("model", "texts", "answer", "does", "sent"),
    [
        (
            "text-embedding-005",
            ["one", "two"],
            PREDICTED,
            "predict",
            {
                "instances": [{"content": "one", "task_type": "A"}, {"content": "two", "task_type": "A"}],
                "parameters": {"outputDimensionality": 2},
            },
        ),
        (
            "gemini-embedding-2",
            ["one", "two"],
            GEMINIS,
            "batchEmbedContents",
            {
                "requests": [
                    {
                        "content": {"parts": [{"text": text}]},
                        "embedContentConfig": {"outputDimensionality": 2, "taskType": "A"},
                    }
                    for text in ("one", "two")
                ]
            },
        ),
        (
            "gemini-embedding-2",
            "one",
            {"embedding": {"values": [0.25, -1]}, "usageMetadata": {"promptTokenCount": 7}},
            "embedContent",
            {
                "content": {"parts": [{"text": "one"}]},
                "embedContentConfig": {"outputDimensionality": 2, "taskType": "A"},
            },
        ),
    ],
)
async def test_vertex_has_a_method_for_each_kind_of_model(
    speaking: Any, recorder: Any, model: str, texts: Any, answer: Any, does: str, sent: Any
) -> None:
    recorder.tell({"access_token": "t"}, path="/token")
    recorder.tell(answer)
    credential = msgspec.json.encode(
        {"type": "authorized_user", "token_uri": f"{recorder.url}/token"}
    ).decode()
    speaker = speaking("vertex", credential=credential, options={"project": "p"})
    ask = {"model": "m-1", "input": texts, "dimensions": 2, "task_type": "A"}
    _, body = await speaker.send("embeddings", ask, model=model)
    assert recorder.last.path.endswith(f"/publishers/google/models/{model}:{does}")
    assert recorder.last.json == sent
    read = msgspec.json.decode(body)
    assert read["usage"] == OPENAIS["usage"]
    count = len(read["data"])
    assert read["data"] == OPENAIS["data"][:count]
    assert count == (1 if texts == "one" else 2)


async def test_base64_is_of_32_bit_floats(speaking: Any, recorder: Any) -> None:
    recorder.tell({"embeddings": GEMINIS["embeddings"]})
    _, body = await speaking("gemini").send("embeddings", ASK | {"encoding_format": "base64"})
    read = msgspec.json.decode(body)
    assert struct.unpack("<2f", base64.b64decode(read["data"][0]["embedding"])) == (0.25, -1.0)
    assert "usage" not in read


@pytest.mark.parametrize("kind", ["gemini", "cohere"])
@pytest.mark.parametrize(
    ("change", "param"),
    [({"input": [1, 2]}, "input"), ({"input": [[1], [2]]}, "input"), ({"odd": True}, "odd")],
)
async def test_what_has_no_place_is_refused(
    speaking: Any, recorder: Any, kind: str, change: Any, param: str
) -> None:
    with pytest.raises(HiveError) as raised:
        await speaking(kind).send("embeddings", ASK | change)
    assert (raised.value.kind, raised.value.param) == (Kind.INVALID, param)
    assert recorder.asked == []


@pytest.mark.parametrize("answer", [b"[]", b"{", {"embeddings": [{"values": [1]}]}, {"embeddings": [{}, {}]}])
async def test_an_answer_that_is_none_is_the_providers_fault(
    speaking: Any, recorder: Any, answer: Any
) -> None:
    recorder.tell(answer)
    with pytest.raises(HiveError) as raised:
        await speaking("gemini").send("embeddings", ASK)
    assert raised.value.kind is Kind.UPSTREAM_FAILED


async def test_an_error_stays_as_it_is(speaking: Any, recorder: Any) -> None:
    recorder.tell({"error": {"message": "No."}}, status=429)
    assert await speaking("gemini").send("embeddings", ASK) == (429, b'{"error":{"message":"No."}}')


RERANK: dict[str, Any] = {"model": "m-1", "query": "q", "documents": ["a", "b"], "top_n": 1}
IN_COHERES: dict[str, Any] = {"id": "r-1", "results": [{"index": 1, "relevance_score": 0.93}]}


@pytest.mark.parametrize(
    ("kind", "answer", "sent", "read"),
    [
        (
            "jina",
            {"model": "m", "object": "list", "usage": {"total_tokens": 20},
             "results": [{"index": 1, "relevance_score": 0.93, "document": {"text": "b"}}]},
            RERANK,
            {"results": [{"index": 1, "relevance_score": 0.93, "document": {"text": "b"}}],
             "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 20},
                      "tokens": {"input_tokens": 20}}},
        ),
        (
            "voyage",
            {"object": "list", "data": [{"index": 1, "relevance_score": 0.93, "document": "b"}], "model": "m",
             "usage": {"total_tokens": 20}},
            {"model": "m-1", "query": "q", "documents": ["a", "b"], "top_k": 1},
            {"results": [{"index": 1, "relevance_score": 0.93, "document": {"text": "b"}}],
             "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 20},
                      "tokens": {"input_tokens": 20}}},
        ),
        ("vllm", IN_COHERES, RERANK, IN_COHERES | {"meta": {"api_version": {"version": "2"}}}),
        ("together", IN_COHERES | {"meta": {"billed_units": {"search_units": 1}}}, RERANK,
         IN_COHERES | {"meta": {"billed_units": {"search_units": 1}}}),
    ],
)  # fmt: skip
async def test_rerankers_are_asked_and_read_in_coheres_form(
    speaking: Any, recorder: Any, kind: str, answer: Any, sent: Any, read: Any
) -> None:
    recorder.tell(answer)
    _, body = await speaking(kind, "/v1").send("rerank", RERANK | {"priority": 1})
    assert (recorder.last.path, recorder.last.json) == ("/v1/rerank", sent)
    assert msgspec.json.decode(body) == read


async def test_a_bound_that_a_reranker_does_not_have_is_refused(speaking: Any, recorder: Any) -> None:
    with pytest.raises(HiveError) as raised:
        await speaking("jina").send("rerank", RERANK | {"max_tokens_per_doc": 5})
    assert (raised.value.kind, raised.value.param) == (Kind.INVALID, "max_tokens_per_doc")
    await speaking("cohere").send("rerank", RERANK | {"max_tokens_per_doc": 5})
    assert recorder.last.json["max_tokens_per_doc"] == 5


async def test_what_no_reranker_says_is_the_providers_fault(speaking: Any, recorder: Any) -> None:
    recorder.tell({"results": None})
    with pytest.raises(HiveError) as raised:
        await speaking("jina").send("rerank", RERANK)
    assert raised.value.kind is Kind.UPSTREAM_FAILED
