"""Prompts that do not fit: how providers say so, and which models are asked then."""

from __future__ import annotations

from typing import Any

import pytest

from hive_routing.choosing.windows import says_too_long
from hive_runtime.errors import HiveError, Kind

TOO_LONG = HiveError(Kind.INVALID, "Too long.", "messages", reason="context_length_exceeded")
WRONG = HiveError(Kind.INVALID, "`temperature` is wrong.", "temperature")
SILENT = HiveError(Kind.TIMEOUT, "silent")


@pytest.mark.parametrize(
    "words",
    [
        "prompt is too long: 212345 tokens > 200000 maximum",
        "Input is too long for requested model.",
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        "This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
        "too many tokens: total number of tokens cannot exceed 128000",
        "the request exceeds the available context size. try increasing the context size",
        "input length and `max_tokens` exceed context limit: 199000 + 4096 > 200000, exceeds the context window",
    ],
)
def test_providers_word_it_in_many_ways(words: str) -> None:
    assert says_too_long(HiveError(Kind.INVALID, words))
    assert not says_too_long(HiveError(Kind.UPSTREAM_FAILED, words))


@pytest.mark.parametrize(
    "error",
    [
        WRONG,
        HiveError(
            Kind.INVALID, "max_tokens is too large: 9000. This model supports at most 4096 completion tokens"
        ),
        HiveError(Kind.INVALID, "`stop` has too many entries"),
        HiveError(Kind.TOO_LARGE, "Request exceeds the maximum size"),
    ],
)
def test_what_is_wrong_in_another_way_is_not_too_long(error: HiveError) -> None:
    assert not says_too_long(error)


async def test_a_model_for_long_prompts_is_asked_where_the_provider_says_so(
    world: Any, make_model: Any
) -> None:
    world.does = {"a": TOO_LONG}
    longer = [make_model("long", "c"), make_model("longer", "d")]
    assert await world.ask(make_model("m", "a", "b"), make_model("n", "e"), longer=longer) in ("b", "c")
    world.does = {"a": TOO_LONG, "b": TOO_LONG, "c": TOO_LONG}
    assert await world.ask(make_model("m", "a", "b"), make_model("n", "e"), longer=longer) == "d"
    assert len(world.asked) == 3
    assert world.breaker.allows("p/a")


async def test_without_such_a_model_the_error_is_the_answer(world: Any, make_model: Any) -> None:
    world.does = {"a": TOO_LONG}
    assert await world.fails(make_model("m", "a"), make_model("n", "b")) is TOO_LONG
    assert world.asked == ["a"]


async def test_where_it_is_too_long_for_all_of_them_that_is_said(world: Any, make_model: Any) -> None:
    world.does = dict.fromkeys("abc", TOO_LONG)
    longer = [make_model("long", "b"), make_model("longer", "c")]
    error = await world.fails(make_model("m", "a"), longer=longer)
    assert error is TOO_LONG
    assert world.asked == ["a", "b", "c"]


async def test_other_mistakes_of_callers_end_it_at_once(world: Any, make_model: Any) -> None:
    world.does = {"a": WRONG}
    assert await world.fails(make_model("m", "a"), longer=[make_model("long", "b")]) is WRONG


async def test_a_failure_of_the_longer_one_tells_more(world: Any, make_model: Any) -> None:
    world.does = {"a": TOO_LONG, "b": SILENT}
    assert await world.fails(make_model("m", "a"), longer=[make_model("long", "b")]) is SILENT


@pytest.mark.parametrize(
    ("tokens", "asked"), [(1_000, "a"), (1_001, "b"), (10_001, "c"), (100_001, "a"), (0, "a")]
)
async def test_our_own_count_spares_a_call(world: Any, make_model: Any, tokens: int, asked: str) -> None:
    """Where it is too long for all of them, the provider of the first one may know better."""
    small = make_model("m", "a", context_window=1_000)
    longer = [make_model("l", "b", context_window=10_000), make_model("x", "c", context_window=100_000)]
    assert await world.ask(small, longer=longer, prompt_tokens=tokens) == asked
    assert world.asked == [asked]


async def test_fallbacks_that_are_too_small_are_passed_over(world: Any, make_model: Any) -> None:
    world.does = {"a": SILENT}
    models = [make_model("m", "a"), make_model("n", "b", context_window=100), make_model("o", "c")]
    assert await world.ask(*models, prompt_tokens=500) == "c"
    assert world.asked == ["a", "c"]
