"""Text completions with the official Python SDK."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from hive_testing.gateway import Gateway
from hive_testing.simulator import SimulatorThread

PATH = "/v1/completions"
MODEL = "gpt-3.5-turbo-instruct"


def test_a_text(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    answer = client.completions.create(model=MODEL, prompt="the sky is")

    assert answer.object == "text_completion" and answer.id.startswith("cmpl-")
    assert answer.choices[0].text == "Echo: the sky is"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage and answer.usage.completion_tokens == 4


def test_several_prompts_and_samples(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    answer = client.completions.create(model=MODEL, prompt=["a", "b"], n=2)

    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert [choice.text for choice in answer.choices] == ["Echo: a", "Echo: a", "Echo: b", "Echo: b"]


def test_the_prompt_is_echoed(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    answer = client.completions.create(model=MODEL, prompt="sky", echo=True, max_tokens=0)

    assert answer.choices[0].text == "sky"


def test_log_probabilities(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    found = client.completions.create(model=MODEL, prompt="sky", logprobs=2).choices[0].logprobs

    assert found and found.tokens and found.token_logprobs and found.text_offset and found.top_logprobs
    sizes = {len(found.tokens), len(found.token_logprobs), len(found.text_offset), len(found.top_logprobs)}
    assert sizes == {3}


@pytest.mark.parametrize("prompt", [[1, 2, 3], [[1, 2], [3]]])
def test_token_numbers_reach_the_provider(
    client: openai.OpenAI, simulator: SimulatorThread, prompt: Any
) -> None:
    answer = client.completions.create(model=MODEL, prompt=prompt)

    assert simulator.calls[0].json == {"model": MODEL, "prompt": prompt}
    assert answer.choices[0].text.startswith("Echo: <1><2>")


def test_a_stream(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    chunks = list(client.completions.create(model=MODEL, prompt="the sky is", stream=True))

    assert "".join(chunk.choices[0].text for chunk in chunks) == "Echo: the sky is"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert {chunk.object for chunk in chunks} == {"text_completion"}


def test_a_stream_with_usage(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    chunks = list(
        client.completions.create(
            model=MODEL, prompt=["a", "b"], stream=True, stream_options={"include_usage": True}
        )
    )
    said = ["".join(c.text for chunk in chunks for c in chunk.choices if c.index == i) for i in (0, 1)]

    assert said == ["Echo: a", "Echo: b"]
    assert chunks[-1].choices == [] and chunks[-1].usage and chunks[-1].usage.completion_tokens == 4


FIELDS: dict[str, Any] = {
    "max_tokens": 3,
    "temperature": 0.5,
    "top_p": 0.1,
    "n": 2,
    "best_of": 3,
    "logprobs": 5,
    "echo": True,
    "stop": "x",
    "suffix": "end",
    "presence_penalty": 0.5,
    "frequency_penalty": -0.5,
    "logit_bias": {"1": -1},
    "seed": 1,
    "user": "u",
    "x_of_a_provider": {"guided_regex": "[a-z]+"},
}


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_arrives_unchanged(gateway: Gateway, simulator: SimulatorThread, name: str) -> None:
    wanted = {"model": MODEL, "prompt": "a", name: FIELDS[name]}

    assert gateway.public.ask("POST", PATH, wanted).status == 200
    assert simulator.calls[0].json == wanted


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 3, "best_of": 2}, "best_of"),
        ({"logprobs": 6}, "logprobs"),
        ({"stream": True, "best_of": 2}, "best_of"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", 1]}, "prompt"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
    ],
    ids=str,
)
def test_what_is_refused(
    gateway: Gateway, simulator: SimulatorThread, fields: dict[str, Any], param: str
) -> None:
    answer = gateway.public.ask("POST", PATH, {"model": MODEL, "prompt": "a"} | fields)

    assert (answer.status, answer.error["param"]) == (400, param)
    assert simulator.calls == []
