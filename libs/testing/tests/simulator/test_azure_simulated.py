"""OpenAI's SDK takes the simulator for Azure; moderations are OpenAI's own."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest

from hive_testing.simulator import SimulatorThread

HELLO: Any = {"role": "user", "content": "hello"}
CHAT = "/openai/deployments/mine/chat/completions"


def test_a_deployment_answers(provider: SimulatorThread) -> None:
    provider.require_key("key")
    with openai.AzureOpenAI(
        azure_endpoint=provider.control_url, api_key="key", api_version="2024-10-21", max_retries=0
    ) as client:
        plain = client.chat.completions.create(model="mine", messages=[HELLO])
        stream = list(client.chat.completions.create(model="mine", messages=[HELLO], stream=True))
        vectors = client.embeddings.create(model="mine", input="hello")

    assert plain.choices[0].message.content == "Echo: hello"
    first, *others = stream
    assert first.choices == [] and first.to_dict()["prompt_filter_results"]
    said = "".join(choice.delta.content or "" for chunk in others for choice in chunk.choices)
    assert said == "Echo: hello" and len(vectors.data) == 1
    assert {line.model for line in provider.bill} == {"mine"}


def test_the_newer_paths_answer(provider: SimulatorThread) -> None:
    provider.require_key("key")
    base = f"{provider.control_url}/openai/v1/"
    with openai.OpenAI(base_url=base, api_key="key", max_retries=0) as client:
        chat = client.chat.completions.create(model="mine", messages=[HELLO])
        response = client.responses.create(model="mine", input="hello")

    assert chat.choices[0].message.content == response.output_text == "Echo: hello"


def test_without_a_version_there_is_nothing(raw: httpx2.Client) -> None:
    answer = raw.post(CHAT, json={"messages": [HELLO]})

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "404"


def test_moderations(gpt: openai.OpenAI, provider: SimulatorThread) -> None:
    several = gpt.moderations.create(input=["I will kill you", "good morning"])
    picture: Any = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    seen = gpt.moderations.create(input=[{"type": "text", "text": "look"}, picture])

    assert [each.flagged for each in several.results] == [True, False]
    assert several.results[0].categories.violence and not several.results[0].categories.self_harm_intent
    (result,) = seen.results
    assert result.category_applied_input_types.violence == ["text", "image"]
    assert result.category_applied_input_types.hate == ["text"]
    assert provider.bill == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"type": "audio"}]}, "input[0].type"),
        ({"foo": 1}, "input"),
    ],
)
def test_refused_moderations(raw: httpx2.Client, fields: dict[str, Any], param: str) -> None:
    answer = raw.post("/v1/moderations", json=fields)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
