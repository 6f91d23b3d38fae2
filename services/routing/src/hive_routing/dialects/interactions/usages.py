"""Usage as interactions count it, both ways: thoughts stand beside the output, what tools gave beside the input."""

from __future__ import annotations

import msgspec

from hive_routing.dialects.gemini.fields import Object
from hive_routing.dialects.usages import usage_of
from hive_routing.usage import Usage


class _Modality(msgspec.Struct):
    modality: str | None = None
    tokens: int | None = None


class Figures(msgspec.Struct):
    """`usage`."""

    total_input_tokens: int | None = None
    total_output_tokens: int | None = None
    total_thought_tokens: int | None = None
    total_cached_tokens: int | None = None
    total_tool_use_tokens: int | None = None
    input_tokens_by_modality: list[_Modality] | None = None
    cached_tokens_by_modality: list[_Modality] | None = None
    output_tokens_by_modality: list[_Modality] | None = None


def read_usage(figures: Figures) -> Usage | None:
    """None where it states nothing, or what cannot be."""
    heard = _audio(figures.input_tokens_by_modality)
    if heard is not None:
        heard = max(0, heard - (_audio(figures.cached_tokens_by_modality) or 0))
    return usage_of(
        _sum(figures.total_input_tokens, figures.total_tool_use_tokens),
        _sum(figures.total_output_tokens, figures.total_thought_tokens),
        {"cached_prompt": figures.total_cached_tokens, "audio_in": heard},
        {"reasoning": figures.total_thought_tokens, "audio_out": _audio(figures.output_tokens_by_modality)},
    )


def write_usage(usage: Usage) -> Object:
    """For a client; the totals are always told, as Google does."""
    units = usage.units
    reasoning = units.get("reasoning", 0)
    said = usage.completion_tokens - reasoning
    written = {
        "total_input_tokens": usage.prompt_tokens,
        "total_output_tokens": said,
        "total_thought_tokens": reasoning,
        "total_cached_tokens": units.get("cached_prompt", 0),
        "total_tool_use_tokens": 0,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "input_tokens_by_modality": _by_modality(usage.prompt_tokens, units.get("audio_in")),
        "output_tokens_by_modality": _by_modality(said, units.get("audio_out")),
    }
    return {name: each for name, each in written.items() if each is not None}


def _sum(*counts: int | None) -> int | None:
    stated = [count for count in counts if count is not None]
    return sum(stated) if stated else None


def _audio(figures: list[_Modality] | None) -> int | None:
    counts = [each.tokens or 0 for each in figures or () if (each.modality or "").lower() == "audio"]
    return sum(counts) if counts else None


def _by_modality(whole: int, audio: int | None) -> list[Object] | None:
    if audio is None:
        return None
    return [{"modality": "text", "tokens": whole - audio}, {"modality": "audio", "tokens": audio}]
