"""The models that run inside the gateway, with the official Python SDK: no account, no network."""

from __future__ import annotations

import json
import math
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from hive_testing.gateway import Gateway

pytestmark = pytest.mark.embedded

MODEL = "local/smollm2-135m"
EMBEDDING = "local/minilm-l6-v2"
BEE: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is a bee?"}]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather for a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class City(BaseModel):
    name: str
    is_capital: bool


@pytest.fixture(scope="module")
def patient(gateway: Gateway) -> Any:
    """The first call loads the model."""
    with gateway.client(timeout=90) as client:
        yield client


def test_an_answer(patient: openai.OpenAI) -> None:
    answer = patient.chat.completions.create(model=MODEL, messages=BEE, max_tokens=24, seed=7)

    assert answer.object == "chat.completion" and answer.id.startswith("chatcmpl-")
    assert (answer.choices[0].message.content or "").strip()
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage and 1 <= answer.usage.completion_tokens <= 24
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_same_answer_as_a_stream(patient: openai.OpenAI) -> None:
    wanted: dict[str, Any] = {"model": MODEL, "messages": BEE, "max_tokens": 16, "temperature": 0, "seed": 7}
    whole = patient.chat.completions.create(**wanted)
    chunks = list(
        patient.chat.completions.create(**wanted, stream=True, stream_options={"include_usage": True})
    )
    said = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)

    assert said == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].choices == [] and chunks[-1].usage and whole.usage
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert len(chunks) > 4


def test_several_choices(patient: openai.OpenAI) -> None:
    answer = patient.chat.completions.create(model=MODEL, messages=BEE, n=2, max_tokens=4)
    assert [choice.index for choice in answer.choices] == [0, 1]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_forced_call(patient: openai.OpenAI, choice: Any) -> None:
    answer = patient.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "What's the weather in Rome?"}],
        tools=[WEATHER],
        tool_choice=choice,
        max_tokens=64,
    ).choices[0]

    assert answer.finish_reason == "tool_calls" and answer.message.content is None
    (call,) = answer.message.tool_calls or []
    assert call.type == "function" and call.function.name == "get_weather" and call.id
    assert json.loads(call.function.arguments).keys() == {"city"}


def test_a_forced_call_in_a_stream(patient: openai.OpenAI) -> None:
    with patient.chat.completions.stream(
        model=MODEL,
        messages=[{"role": "user", "content": "What's the weather in Rome?"}],
        tools=[WEATHER],
        tool_choice="required",
        max_tokens=64,
    ) as stream:
        (done,) = [each for each in stream if each.type == "tool_calls.function.arguments.done"]
    assert done.name == "get_weather" and json.loads(done.arguments).keys() == {"city"}


def test_an_answer_that_keeps_a_schema(patient: openai.OpenAI) -> None:
    answer = patient.chat.completions.parse(
        model=MODEL,
        messages=[{"role": "user", "content": "Describe Rome."}],
        response_format=City,
        max_tokens=80,
        temperature=0,
    )
    assert isinstance(answer.choices[0].message.parsed, City)


def test_json_mode(patient: openai.OpenAI) -> None:
    answer = patient.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Respond in JSON: the name of a colour."}],
        response_format={"type": "json_object"},
        max_tokens=60,
        temperature=0,
    )
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)
    else:
        assert (answer.choices[0].message.content or "").lstrip().startswith("{")


def test_a_text_completion(patient: openai.OpenAI) -> None:
    answer = patient.completions.create(model=MODEL, prompt="The sky is", max_tokens=4, echo=True)

    assert answer.choices[0].text.startswith("The sky is")


def test_leaving_ends_the_work(gateway: Gateway, patient: openai.OpenAI) -> None:
    """The next caller does not wait for what nobody wants any more."""
    stream = patient.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Count to 3000."}], max_tokens=3000, stream=True
    )
    next(iter(stream))
    stream.close()
    answer = patient.chat.completions.create(model=MODEL, messages=BEE, max_tokens=2, timeout=15)

    assert answer.choices[0].message.content


# What it cannot do


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://example.com/photo.jpg"}},
        {"type": "image_url", "image_url": {"url": "data:application/pdf;base64,JVBERg=="}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
    ],
    ids=lambda part: str(part)[10:40],
)
def test_it_cannot_see_or_hear(patient: openai.OpenAI, part: Any) -> None:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": [{"type": "text", "text": "Describe this."}, part]}
    ]
    with pytest.raises(openai.BadRequestError) as caught:
        patient.chat.completions.create(model=MODEL, messages=messages)

    assert caught.value.param == "messages[0].content[1]"
    assert "cannot" in caught.value.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools[0].type"),
        ({"messages": [{"role": "tool", "content": "1", "tool_call_id": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "wizard", "content": "hi"}]}, "messages[0].role"),
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_it_refuses_is_named(gateway: Gateway, fields: dict[str, Any], param: str, stream: bool) -> None:
    body = {"model": MODEL, "messages": BEE, "max_tokens": 2, "stream": stream} | fields
    answer = gateway.public.ask("POST", "/v1/chat/completions", body)

    assert (answer.status, answer.error["param"]) == (400, param), answer


# Embeddings


def test_related_texts_are_near_each_other(patient: openai.OpenAI) -> None:
    texts = ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "The stock market fell today."]
    vectors = [each.embedding for each in patient.embeddings.create(model=EMBEDDING, input=texts).data]

    def alike(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert [len(vector) for vector in vectors] == [384] * 3
    assert all(math.hypot(*vector) == pytest.approx(1, abs=1e-3) for vector in vectors)
    assert alike(vectors[0], vectors[1]) > 0.5 > 0.3 > alike(vectors[0], vectors[2])


def test_both_encodings_and_fewer_dimensions(patient: openai.OpenAI) -> None:
    packed = patient.embeddings.create(model=EMBEDDING, input="a bee").data[0].embedding
    plain = (
        patient.embeddings.create(model=EMBEDDING, input="a bee", encoding_format="float").data[0].embedding
    )
    short = patient.embeddings.create(model=EMBEDDING, input="a bee", dimensions=64).data[0].embedding

    assert packed == pytest.approx(plain)
    assert len(short) == 64 and math.hypot(*short) == pytest.approx(1, abs=1e-3)


def test_each_model_for_its_own_purpose(patient: openai.OpenAI) -> None:
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)):
        patient.chat.completions.create(model=EMBEDDING, messages=BEE)
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)):
        patient.embeddings.create(model=MODEL, input="a bee")
