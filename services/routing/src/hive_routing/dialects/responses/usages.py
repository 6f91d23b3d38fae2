"""Usage as responses state it: `input_tokens` and `output_tokens` are all of them, details name parts of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hive_routing.usage import Usage


def read_usage(value: Any) -> Usage | None:
    """None where it holds no figures that can be."""
    if not isinstance(value, dict):
        return None
    figures = {
        "prompt_tokens": value.get("input_tokens"),
        "prompt_tokens_details": value.get("input_tokens_details"),
        "completion_tokens": value.get("output_tokens"),
        "completion_tokens_details": value.get("output_tokens_details"),
    }
    return Usage.stated(msgspec.json.encode(figures))


def write_usage(usage: Usage) -> dict[str, Any]:
    units: Mapping[str, int] = usage.units
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": units.get("cached_prompt", 0),
            "cache_write_tokens": units.get("cache_write_5m", 0) + units.get("cache_write_1h", 0),
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": units.get("reasoning", 0)},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
