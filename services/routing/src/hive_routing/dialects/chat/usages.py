"""Usage as chat completions tell it: all tokens of the prompt and of the answer, and how many of them were which."""

from __future__ import annotations

from typing import Any

from hive_routing.usage import Usage


def write_usage(usage: Usage) -> dict[str, Any]:
    """What is not known is left out; zero is said."""
    units = usage.units
    written: dict[str, Any] = dict(usage.as_json())
    prompt = _known(usage, {"cached_tokens": "cached_prompt", "audio_tokens": "audio_in"})
    writes = [units[unit] for unit in ("cache_write_5m", "cache_write_1h") if unit in units]
    if writes:
        prompt["cache_write_tokens"] = sum(writes)
    if prompt:
        written["prompt_tokens_details"] = prompt
    completion = _known(usage, {"reasoning_tokens": "reasoning", "audio_tokens": "audio_out"})
    if completion:
        written["completion_tokens_details"] = completion
    if "cache_write_1h" in units:  # an hour costs more: Anthropic's members tell it apart
        each = {"ephemeral_5m_input_tokens": "cache_write_5m", "ephemeral_1h_input_tokens": "cache_write_1h"}
        written["cache_creation"] = _known(usage, each)
    return written


def _known(usage: Usage, members: dict[str, str]) -> dict[str, int]:
    return {name: usage.units[unit] for name, unit in members.items() if unit in usage.units}
