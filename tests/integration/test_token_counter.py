"""POST /v1/utils/token_counter: counts without asking a provider."""

from __future__ import annotations

from typing import Any

import pytest

from hive_testing.gateway import Gateway
from hive_testing.simulator import SimulatorThread

PATH = "/v1/utils/token_counter"
SENTENCE = "The quick brown fox jumps over the lazy dog"  # nine tokens in OpenAI's encodings
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}


def total(gateway: Gateway, **fields: Any) -> int:
    answer = gateway.public.ask("POST", PATH, {"model": "gpt-4o", **fields})
    assert answer.status == 200, answer
    return int(answer.json["total_tokens"])


@pytest.mark.parametrize("path", [PATH, PATH.removeprefix("/v1")])
def test_a_prompt(gateway: Gateway, simulator: SimulatorThread, path: str) -> None:
    answer = gateway.public.ask("POST", path, {"model": "gpt-4o", "prompt": SENTENCE})

    assert answer.status == 200
    assert answer.json | {"tokenizer_type": ""} == {
        "total_tokens": 9,
        "request_model": "gpt-4o",
        "model_used": "gpt-4o",
        "tokenizer_type": "",
        "original_response": None,
        "error": False,
        "error_message": None,
        "status_code": None,
    }
    assert answer.json["tokenizer_type"]
    assert simulator.calls == []


def test_messages_cost_three_each_and_three_for_the_reply(gateway: Gateway) -> None:
    one = {"role": "user", "content": SENTENCE}
    single = total(gateway, messages=[one])

    assert single == 9 + 1 + 3 + 3
    assert total(gateway, messages=[one, one]) == single + 9 + 1 + 3
    assert total(gateway, messages=[{**one, "name": "bob"}]) == single + 1 + 1
    assert (
        total(gateway, messages=[{"role": "user", "content": [{"type": "text", "text": SENTENCE}]}]) == single
    )


def test_contents_of_google(gateway: Gateway) -> None:
    assert total(gateway, contents=[{"role": "user", "parts": [{"text": SENTENCE}]}]) >= 9


def test_tools_and_system_are_counted_too(gateway: Gateway) -> None:
    alone = total(gateway, messages=[{"role": "user", "content": "hi"}])

    assert total(gateway, messages=[{"role": "user", "content": "hi"}], tools=[TOOL]) > alone
    assert total(gateway, messages=[{"role": "user", "content": "hi"}], system=SENTENCE) >= alone + 9


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 400),
        ({"model": None, "prompt": "a"}, 400),
        ({"model": "no-such-model", "prompt": "a"}, 404),
    ],
)
def test_what_is_refused(gateway: Gateway, fields: dict[str, Any], status: int) -> None:
    answer = gateway.public.ask("POST", PATH, {"model": "gpt-4o"} | fields)

    assert (answer.status, answer.error["code"]) == (status, status)


def test_it_needs_a_key(gateway: Gateway) -> None:
    wanted = {"model": "gpt-4o", "prompt": "a"}

    assert gateway.public.ask("POST", PATH, wanted, {"authorization": "Bearer wrong"}).status == 401
