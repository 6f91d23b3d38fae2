"""Text completions and embeddings: the same pipeline, their own fields."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from hive_runtime.errors import Kind

COMPLETION_FIELDS: list[tuple[str, Any]] = [
    ("prompt", ["a", "b"]),
    ("prompt", [1, 2, 3]),
    ("prompt", [[1], [2, 3]]),
    ("max_tokens", 0),
    ("temperature", 2),
    ("top_p", 0),
    ("n", 2),
    ("best_of", 1),
    ("stream", False),
    ("logprobs", 2),
    ("echo", True),
    ("stop", ["x"]),
    ("suffix", "end"),
    ("presence_penalty", 1),
    ("frequency_penalty", -1),
    ("logit_bias", {"1": 1}),
    ("seed", 5),
    ("user", "u"),
    ("unknown", [None]),
]

EMBEDDING_FIELDS: list[tuple[str, Any]] = [
    ("input", ["a", "b"]),
    ("input", [1, 2, 3]),
    ("input", [[1, 2], [3]]),
    ("dimensions", 8),
    ("encoding_format", "float"),
    ("encoding_format", "base64"),
    ("user", "u"),
    ("input_type", "query"),
    ("truncate", "END"),
]


@pytest.fixture
async def text(gateway: Any) -> Any:
    async def ask(**fields: Any) -> Any:
        return await gateway.request(
            "POST", "/v1/completions", {"model": "gpt-4o", "prompt": "The sky is"} | fields
        )

    return ask


@pytest.fixture
async def embed(gateway: Any) -> Any:
    await gateway.add_model("embed", at=("sim:embed-real",), mode="embedding")

    async def ask(**fields: Any) -> Any:
        return await gateway.request("POST", "/v1/embeddings", {"model": "embed", "input": "hello"} | fields)

    return ask


@pytest.mark.parametrize(("name", "value"), COMPLETION_FIELDS)
async def test_every_completion_field_reaches_the_provider(
    gateway: Any, text: Any, name: str, value: Any
) -> None:
    answer = await text(**{name: value})
    assert answer.status == 200, answer.error
    assert gateway.sim.calls[-1].json == {"model": "gpt-4o-real", "prompt": "The sky is"} | {name: value}
    assert answer.json["object"] == "text_completion"


async def test_completions_of_two_prompts_have_an_index_each(text: Any) -> None:
    answer = await text(prompt=["a", "b"], n=2)
    assert [choice["index"] for choice in answer.json["choices"]] == [0, 1, 2, 3]


@pytest.mark.parametrize("asked", [False, True])
async def test_a_completion_streams(text: Any, asked: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if asked else {}
    answer = await text(prompt=["a", "b"], n=2, stream=True, **options)
    assert answer.error is None
    ends = [choice for chunk in answer.chunks for choice in chunk["choices"] if choice["finish_reason"]]
    assert sorted(choice["index"] for choice in ends) == [0, 1, 2, 3]
    assert answer.data[-1] == "[DONE]"
    assert [chunk for chunk in answer.chunks if not chunk["choices"]] == (
        [answer.chunks[-1]] if asked else []
    )


async def test_a_completion_without_usage_is_counted(gateway: Any, text: Any) -> None:
    gateway.sim.script(no_usage=True, content="one two three")
    for answer in (await text(), await text(stream=True)):
        assert answer.usage.estimated
        assert answer.usage.prompt_tokens == 3
        assert answer.usage.completion_tokens == 3


async def test_an_embedding_model_completes_nothing(gateway: Any) -> None:
    await gateway.add_model("embed", at=("sim:embed-real",), mode="embedding")
    answer = await gateway.request("POST", "/v1/completions", {"model": "embed", "prompt": "x"})
    assert answer.error.param == "model"


@pytest.mark.parametrize(("name", "value"), EMBEDDING_FIELDS)
async def test_every_embedding_field_reaches_the_provider(
    gateway: Any, embed: Any, name: str, value: Any
) -> None:
    answer = await embed(**{name: value})
    assert answer.status == 200, answer.error
    assert gateway.sim.calls[-1].json == {"model": "embed-real", "input": "hello"} | {name: value}


async def test_base64_and_floats_are_the_same_vector(embed: Any) -> None:
    floats = (await embed(encoding_format="float")).json["data"][0]["embedding"]
    packed = (await embed(encoding_format="base64")).json["data"][0]["embedding"]
    unpacked = struct.unpack(f"<{len(floats)}f", base64.b64decode(packed))
    assert unpacked == pytest.approx(floats)


async def test_embeddings_are_counted(gateway: Any, embed: Any) -> None:
    answer = await embed(input=["one", "two"])
    assert answer.usage.prompt_tokens == answer.json["usage"]["prompt_tokens"]
    assert answer.usage.completion_tokens == 0
    gateway.sim.script(body='{"object":"list","data":[]}')
    for given in ("one two", ["one", " two"], [1, 2], [[1], [2]]):
        answer = await embed(input=given)
        assert (answer.usage.prompt_tokens, answer.usage.estimated) == (2, True)


async def test_a_chat_model_embeds_nothing(gateway: Any) -> None:
    answer = await gateway.request("POST", "/v1/embeddings", {"model": "gpt-4o", "input": "x"})
    assert (answer.error.kind, answer.error.param) == (Kind.INVALID, "model")


async def test_a_model_of_unknown_mode_may_do_anything(gateway: Any) -> None:
    await gateway.add_model("odd", at=("sim:odd",), mode="")
    assert (await gateway.request("POST", "/v1/embeddings", {"model": "odd", "input": "x"})).status == 200
    assert (await gateway.chat(model="odd")).status == 200
