"""Embeddings with the official Python SDK, which asks for base64 and decodes it unless told otherwise."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

import openai
import pytest

from hive_testing.gateway import Gateway
from hive_testing.simulator import SimulatorThread

PATH = "/v1/embeddings"
MODEL = "text-embedding-3-small"
TEXTS = ["ModelHive routes requests.", "Embeddings are useful."]


def floats(text: object) -> list[float]:
    """What a base64 embedding stands for: little-endian float32."""
    packed = base64.b64decode(str(text))
    return list(struct.unpack(f"<{len(packed) // 4}f", packed))


def test_the_sdks_default_is_base64_and_ends_as_numbers(
    client: openai.OpenAI, simulator: SimulatorThread
) -> None:
    answer = client.embeddings.create(model=MODEL, input=TEXTS[0])

    assert simulator.calls[0].json["encoding_format"] == "base64"
    assert answer.object == "list" and answer.model == MODEL
    assert len(answer.data[0].embedding) == 1536
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 7


def test_both_encodings_hold_the_same_numbers(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    plain = client.embeddings.create(model=MODEL, input=TEXTS[0], encoding_format="float")
    packed = client.embeddings.create(model=MODEL, input=TEXTS[0], encoding_format="base64")

    assert floats(packed.data[0].embedding) == pytest.approx(plain.data[0].embedding)


def test_a_batch_keeps_its_order(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    alone = [client.embeddings.create(model=MODEL, input=text).data[0].embedding for text in TEXTS]
    answer = client.embeddings.create(model=MODEL, input=TEXTS)

    assert [each.index for each in answer.data] == [0, 1]
    assert [each.embedding for each in answer.data] == alone


def test_fewer_dimensions(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    (vector,) = client.embeddings.create(model=MODEL, input="a", dimensions=256).data

    assert len(vector.embedding) == 256
    assert math.hypot(*vector.embedding) == pytest.approx(1)


@pytest.mark.parametrize(("given", "texts"), [([1, 2, 3], 1), ([[1, 2], [3]], 2)])
def test_token_numbers_reach_the_provider(
    client: openai.OpenAI, simulator: SimulatorThread, given: Any, texts: int
) -> None:
    answer = client.embeddings.create(model=MODEL, input=given)

    assert simulator.calls[0].json["input"] == given
    assert len(answer.data) == texts


async def test_the_asynchronous_client(async_client: openai.AsyncOpenAI, simulator: SimulatorThread) -> None:
    answer = await async_client.embeddings.create(model=MODEL, input=TEXTS)
    assert [len(each.embedding) for each in answer.data] == [1536, 1536]


@pytest.mark.parametrize(
    "fields", [{"user": "u"}, {"input_type": "query", "truncate": "END"}, {"task_type": "x"}]
)
def test_further_fields_arrive_unchanged(
    gateway: Gateway, simulator: SimulatorThread, fields: dict[str, Any]
) -> None:
    wanted = {"model": MODEL, "input": ["a"], **fields}

    assert gateway.public.ask("POST", PATH, wanted).status == 200
    assert simulator.calls[0].json == wanted


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [""]}, "input"),
        ({"input": ["a", 1]}, "input"),
        ({"input": [[1], "a"]}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": 7}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": "many"}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"user": 1}, "user"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_refused(
    gateway: Gateway, simulator: SimulatorThread, fields: dict[str, Any], param: str
) -> None:
    answer = gateway.public.ask("POST", PATH, {"model": MODEL, "input": "a"} | fields)

    assert (answer.status, answer.error["param"]) == (400, param)
    assert simulator.calls == []


def test_the_provider_refuses_dimensions(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=MODEL, input="a", dimensions=100_000)

    assert caught.value.param == "dimensions"


def test_a_chat_model_makes_no_embeddings(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    model = "local/smollm2-135m"
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)):
        client.embeddings.create(model=model, input="a")
