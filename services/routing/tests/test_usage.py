"""Usage by unit: each token counted once, absent and zero told apart, impossible figures not believed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive_routing.usage import MOST_TOKENS, Usage
from hive_runtime.money import PROMPT_UNITS


def stated(**fields: Any) -> Usage | None:
    return Usage.stated(msgspec.json.encode(fields))


@pytest.mark.parametrize(
    ("figures", "units"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 4}, {"prompt": 10, "completion": 4}),
        ({"prompt_tokens": 10}, {"prompt": 10}),
        ({"completion_tokens": 4}, {"completion": 4}),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 6},
                "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 5},
            },
            {
                "prompt": 30,
                "cached_prompt": 64,
                "audio_in": 6,
                "completion": 15,
                "reasoning": 30,
                "audio_out": 5,
            },
        ),
        (
            {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 0}},
            {"prompt": 10, "cached_prompt": 0},
        ),
        ({"prompt_tokens": 10, "prompt_cache_hit_tokens": 4}, {"prompt": 6, "cached_prompt": 4}),
        (
            {"prompt_tokens": 10, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2},
            {"prompt": 5, "cached_prompt": 3, "cache_write_5m": 2},
        ),
        (
            {
                "prompt_tokens": 10,
                "cache_creation_input_tokens": 5,
                "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3},
            },
            {"prompt": 5, "cache_write_5m": 2, "cache_write_1h": 3},
        ),
        ({"prompt_tokens": 10, "prompt_tokens_details": None}, {"prompt": 10}),
        # A part beyond the whole is cut: the whole is what is charged.
        (
            {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 64}},
            {"prompt": 0, "cached_prompt": 10},
        ),
    ],
)
def test_figures_by_unit(figures: dict[str, Any], units: dict[str, int]) -> None:
    usage = stated(**figures)
    assert usage is not None and not usage.estimated
    assert usage.units == units


@pytest.mark.parametrize(
    "figures",
    [
        {},
        {"prompt_tokens": None},
        {"prompt_tokens": -1, "completion_tokens": 3},
        {"prompt_tokens": 5, "completion_tokens": MOST_TOKENS + 1},
        {"prompt_tokens": "many"},
        {"prompt_tokens": 10**30},
    ],
)
def test_figures_that_cannot_be_are_none(figures: dict[str, Any]) -> None:
    assert stated(**figures) is None


tokens = st.integers(0, MOST_TOKENS)
part = st.none() | st.integers(-5, 2 * MOST_TOKENS)


@given(tokens, tokens, part, part, part, part)
def test_every_token_is_counted_once(
    prompt: int, completion: int, cached: int | None, sound: int | None, thought: int | None, said: int | None
) -> None:
    usage = stated(
        prompt_tokens=prompt,
        completion_tokens=completion,
        prompt_tokens_details={"cached_tokens": cached, "audio_tokens": sound},
        completion_tokens_details={"reasoning_tokens": thought, "audio_tokens": said},
    )
    assert usage is not None
    assert all(count >= 0 for count in usage.units.values())
    assert sum(count for unit, count in usage.units.items() if unit in PROMPT_UNITS) == prompt
    assert sum(count for unit, count in usage.units.items() if unit not in PROMPT_UNITS) == completion


def test_what_was_stated_of_the_prompt_counts_for_a_stream_that_broke() -> None:
    begun = Usage(100_001, 1, {"prompt": 1, "cached_prompt": 100_000, "completion": 1})
    usage = Usage.counted(90_000, 12).with_prompt_of(begun)
    assert usage == Usage(
        100_001, 12, {"prompt": 1, "cached_prompt": 100_000, "completion": 12}, estimated=True
    )
