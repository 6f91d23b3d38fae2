"""Usage as Google counts it, both ways: thoughts stand beside the answer, what tools gave beside the prompt."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hive_routing.dialects.gemini.fields import Object
from hive_routing.dialects.usages import usage_of
from hive_routing.usage import Usage


class _Modality(msgspec.Struct, rename="camel"):
    modality: str | None = None
    token_count: int | None = None


class Figures(msgspec.Struct, rename="camel"):
    """`usageMetadata`."""

    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    prompt_tokens_details: list[_Modality] | None = None
    cache_tokens_details: list[_Modality] | None = None
    candidates_tokens_details: list[_Modality] | None = None


def read_usage(figures: Figures) -> Usage | None:
    """None where it states nothing, or what cannot be. What is cached counts as cached, in whatever modality."""
    heard = _audio(figures.prompt_tokens_details)
    if heard is not None:
        heard = max(0, heard - (_audio(figures.cache_tokens_details) or 0))
    return usage_of(
        _sum(figures.prompt_token_count, figures.tool_use_prompt_token_count),
        _sum(figures.candidates_token_count, figures.thoughts_token_count),
        {"cached_prompt": figures.cached_content_token_count, "audio_in": heard},
        {
            "reasoning": figures.thoughts_token_count,
            "audio_out": _audio(figures.candidates_tokens_details),
        },
    )


def write_usage(usage: Usage) -> Object:
    """`usageMetadata` for a client."""
    units = usage.units
    reasoning = units.get("reasoning")
    said = usage.completion_tokens - (reasoning or 0)
    written = {
        "promptTokenCount": usage.prompt_tokens,
        "cachedContentTokenCount": units.get("cached_prompt"),
        "candidatesTokenCount": said,
        "thoughtsTokenCount": reasoning,
        "totalTokenCount": usage.prompt_tokens + usage.completion_tokens,
        "promptTokensDetails": _details(usage.prompt_tokens, units.get("audio_in")),
        "candidatesTokensDetails": _details(said, units.get("audio_out")),
    }
    return {name: each for name, each in written.items() if each is not None}


def _sum(*counts: int | None) -> int | None:
    stated = [count for count in counts if count is not None]
    return sum(stated) if stated else None


def _audio(details: Sequence[_Modality] | None) -> int | None:
    counts = [each.token_count or 0 for each in details or () if (each.modality or "").upper() == "AUDIO"]
    return sum(counts) if counts else None


def _details(whole: int, audio: int | None) -> list[Object] | None:
    if audio is None:
        return None
    return [
        {"modality": "TEXT", "tokenCount": whole - audio},
        {"modality": "AUDIO", "tokenCount": audio},
    ]
