"""Counts in bodies of Google's APIs that cannot be are named; calls and responses are matched in linear time."""

from __future__ import annotations

from typing import Any

import pytest

from hive_routing.dialects.gemini import dialect as gemini
from hive_routing.dialects.gemini.calls import CallIds
from hive_routing.dialects.interactions import dialect as interactions
from hive_runtime.errors import HiveError, Kind
from services.routing.tests.dialects.google_words import fields_of


@pytest.mark.parametrize(
    ("config", "param"),
    [
        ({"maxOutputTokens": -5}, "maxOutputTokens"),
        ({"max_output_tokens": 0}, "maxOutputTokens"),
        ({"maxOutputTokens": "-1"}, "maxOutputTokens"),
        ({"candidateCount": 0}, "candidateCount"),
        ({"candidateCount": 9}, "candidateCount"),
        ({"topK": 0}, "topK"),
        ({"logprobs": -1}, "logprobs"),
        ({"logprobs": 21}, "logprobs"),
        ({"thinkingConfig": {"thinkingBudget": -2}}, "thinkingConfig.thinkingBudget"),
    ],
)
def test_counts_of_generate_content(config: dict[str, Any], param: str) -> None:
    with pytest.raises(HiveError, match=param) as raised:
        gemini.read_prompt(fields_of({"contents": "a", "generationConfig": config}))
    assert raised.value.kind is Kind.INVALID
    assert raised.value.param == f"generationConfig.{param}"


@pytest.mark.parametrize("count", [0, -1, -(2**40), "-3"])
def test_counts_of_interactions(count: Any) -> None:
    body = {"input": "a", "generation_config": {"max_output_tokens": count}}
    with pytest.raises(HiveError) as raised:
        interactions.read_prompt(fields_of(body))
    assert raised.value.kind is Kind.INVALID
    assert raised.value.param == "generation_config.max_output_tokens"


def test_the_least_and_the_most() -> None:
    config = {"maxOutputTokens": 1, "candidateCount": 8, "topK": 1, "logprobs": 20}
    budget = {"thinkingConfig": {"thinkingBudget": -1}}
    prompt = gemini.read_prompt(fields_of({"contents": "a", "generationConfig": config | budget}))
    assert (prompt.max_output, prompt.choices, prompt.sampling.top_k) == (1, 8, 1)
    assert prompt.reasoning.adaptive


def test_a_response_belongs_to_the_first_call_that_waits() -> None:
    ids = CallIds()
    assert [ids.of_call(id, name) for id, name in [(None, "a"), ("x", "a"), ("x", "b")]] == [
        "call_1",
        "x",
        "x",
    ]
    assert ids.of_response("call_1", "b") == "call_1"
    assert ids.of_response(None, "a") == "x"
    assert ids.of_response("x", "") == "x"
    assert ids.of_response(None, "b") == "call_2"
    assert ids.of_response("y", "a") == "y"


def test_calls_that_nobody_answers_are_not_looked_at_again() -> None:
    """Each of the names is hashed, and none is compared with those of other calls."""
    compared = 0

    class Name(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other) is True

        __hash__ = str.__hash__

    ids = CallIds()
    count = 2000
    for _ in range(count):
        ids.of_call(None, Name("a"))
    for place in range(count):
        ids.of_response(None, Name(f"b{place}"))
        ids.of_response(f"id{place}", "a")
    assert compared < 10 * count
