"""Chat refuses what OpenAI refuses where the simulator is told to be strict, and only there."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest

from hive_testing.simulator import Simulator, SimulatorThread

HELLO: Any = {"role": "user", "content": "hello"}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
CALLING = {"role": "assistant", "tool_calls": [CALL]}
ANSWER = {"role": "tool", "tool_call_id": "c1", "content": "42"}
LOOK: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def strict(**fields: Any) -> dict[str, Any]:
    return {**LOOK, "function": {**LOOK["function"], "strict": True, **fields}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"foo": 1}, "foo"),
        ({"messages": [{**HELLO, "foo": 1}]}, "messages[0].foo"),
        ({"messages": [{"role": "human", "content": "x"}]}, "messages[0].role"),
        ({"messages": [HELLO, ANSWER]}, "messages.[1].role"),
        ({"messages": [HELLO, CALLING]}, "messages.role"),
        ({"messages": [HELLO, CALLING, HELLO]}, "messages.[2].role"),
        ({"messages": [HELLO, {"role": "assistant", "content": None}]}, "messages.[1].content"),
        ({"messages": [HELLO, {"role": "assistant", "tool_calls": []}]}, "messages[1].tool_calls"),
        (
            {"messages": [HELLO, {**CALLING, "tool_calls": [{**CALL, "id": "c" * 41}]}]},
            "messages[1].tool_calls[0].id",
        ),
        ({"temperature": 3}, "temperature"),
        ({"stop": list("abcde")}, "stop"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "max_tokens"),
        ({"tools": [strict(name="a b")]}, "tools[0].function.name"),
        ({"tools": [strict()]}, "tools[0].function.parameters"),
        ({"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "see"}}}, "tool_choice"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, "messages"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}},
                }
            },
            "response_format",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,!"}}],
                    }
                ]
            },
            "messages[0].content[0].image_url.url",
        ),
    ],
)
def test_refused(raw: httpx2.Client, provider: SimulatorThread, fields: dict[str, Any], param: str) -> None:
    provider.be_strict()
    answer = raw.post("/v1/chat/completions", json={"model": "m", "messages": [HELLO], **fields})

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


def test_what_openai_takes_is_taken(gpt: openai.OpenAI, provider: SimulatorThread) -> None:
    provider.be_strict()
    messages: Any = [HELLO, {**CALLING, "reasoning_content": "let me see"}, ANSWER]
    tools: Any = [LOOK]
    answer = gpt.chat.completions.create(model="m", messages=messages, tools=tools, temperature=0.5, stop="x")

    assert answer.choices[0].message.content == "Echo: 42"
    assert gpt.embeddings.create(model="m", input="hello", dimensions=8).data


def test_ways_to_be_strict(raw: httpx2.Client, provider: SimulatorThread) -> None:
    def status() -> int:
        unknown = {"model": "m", "messages": [HELLO], "foo": 1}
        return raw.post("/v1/chat/completions", json=unknown).status_code

    assert status() == 200
    raw.post("/_sim/script", json={"strict": True})
    assert status() == 400
    raw.post("/_sim/script", json={"strict": False})
    provider.script(strict=True, model="m", once=True)
    assert [status(), status()] == [400, 200]
    provider.be_strict()
    provider.reset()
    assert status() == 200


async def test_a_simulator_that_is_always_strict() -> None:
    async with Simulator(strict=True) as simulator, httpx2.AsyncClient(trust_env=False) as client:
        simulator.reset()
        url = f"{simulator.url}/chat/completions"
        answer = await client.post(url, json={"model": "m", "messages": [HELLO], "foo": 1})

    assert answer.status_code == 400


@pytest.mark.parametrize("stream", [False, True])
def test_words_before_calls_and_refusals(gpt: openai.OpenAI, provider: SimulatorThread, stream: bool) -> None:
    provider.script(content="I look.", tool_calls=[{"name": "look"}], once=True)
    provider.script(refusal="I will not.", once=True)

    def deltas() -> list[dict[str, Any]]:
        answer: Any = gpt.chat.completions.create(model="m", messages=[HELLO], stream=stream)
        choices = [chunk.choices[0].delta for chunk in answer] if stream else [answer.choices[0].message]
        return [choice.to_dict() for choice in choices]

    calling, refusing = deltas(), deltas()
    assert "".join(each.get("content") or "" for each in calling) == "I look."
    assert any(each.get("tool_calls") for each in calling)
    assert "".join(each.get("refusal") or "" for each in refusing) == "I will not."


def test_cached_tokens(gpt: openai.OpenAI, provider: SimulatorThread) -> None:
    provider.script(cached_tokens=7, cache_write_tokens=5)
    usage = gpt.chat.completions.create(model="m", messages=[HELLO]).usage

    assert usage and usage.prompt_tokens_details
    assert (usage.prompt_tokens, usage.total_tokens) == (17, 20)
    details = usage.prompt_tokens_details
    assert (details.cached_tokens, details.cache_write_tokens) == (7, 5)
