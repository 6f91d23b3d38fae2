"""What one answered call used: the provider's figures, or else our own count of what went in and came out."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from hive_runtime.money import PROMPT_UNITS

MOST_TOKENS = 1_000_000_000
"""A figure above is a provider's mistake, and counts as none."""


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    reasoning_tokens: int | None = None


class _CacheWrites(msgspec.Struct):
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


_Tokens = Annotated[int, Meta(ge=0, le=MOST_TOKENS)]


class Figures(msgspec.Struct):
    """OpenAI's form, with what compatible providers put beside it. Figures that cannot be are not decoded."""

    prompt_tokens: _Tokens | None = None
    completion_tokens: _Tokens | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: _CacheWrites | None = None


_decode_figures = msgspec.json.Decoder(Figures).decode


class Usage(msgspec.Struct, frozen=True):
    """prompt_tokens, completion_tokens: all of them, as clients read it; 0 where not known.

    units: the same by unit of price (`hive_runtime.money.UNITS`), each token under one; a unit that is absent is
    not known, zero is none. estimated: the provider gave no figures.
    """

    prompt_tokens: int
    completion_tokens: int
    units: dict[str, int]
    estimated: bool = False

    @classmethod
    def stated(cls, raw: Raw | bytes) -> Usage | None:
        """The figures of a `usage` object; None where it holds none that can be."""
        try:
            figures = _decode_figures(raw)
        except msgspec.DecodeError:
            return None
        return cls.of(figures)

    @classmethod
    def of(cls, figures: Figures) -> Usage | None:
        """None where they say nothing."""
        prompt, completion = figures.prompt_tokens, figures.completion_tokens
        if prompt is None and completion is None:
            return None
        units: dict[str, int] = {}
        if prompt is not None:
            units["prompt"] = prompt
            _part_prompt(units, figures)
        if completion is not None:
            units["completion"] = completion
            if (details := figures.completion_tokens_details) is not None:
                if details.reasoning_tokens is not None:
                    _part(units, "completion", "reasoning", details.reasoning_tokens)
                if details.audio_tokens is not None:
                    _part(units, "completion", "audio_out", details.audio_tokens)
        return cls(prompt or 0, completion or 0, units)

    @classmethod
    def counted(cls, prompt: int, completion: int) -> Usage:
        """By our own count."""
        return cls(prompt, completion, {"prompt": prompt, "completion": completion}, estimated=True)

    def with_prompt_of(self, stated: Usage) -> Usage:
        """This output behind the prompt that the provider stated before it broke off."""
        prompt = {unit: count for unit, count in stated.units.items() if unit in PROMPT_UNITS}
        rest = {unit: count for unit, count in self.units.items() if unit not in PROMPT_UNITS}
        return Usage(stated.prompt_tokens, self.completion_tokens, prompt | rest, estimated=True)

    def as_json(self) -> dict[str, int]:
        """The object that clients read."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }


def _part_prompt(units: dict[str, int], figures: Figures) -> None:
    details = figures.prompt_tokens_details
    if (
        details is None
        and figures.prompt_cache_hit_tokens is None
        and figures.cache_read_input_tokens is None
        and figures.cache_creation_input_tokens is None
        and figures.cache_creation is None
    ):
        return  # nothing is told apart
    cached = written = written_1h = audio = None
    if details is not None:
        cached, written, audio = details.cached_tokens, details.cache_write_tokens, details.audio_tokens
    if cached is None:
        cached = figures.prompt_cache_hit_tokens
    if cached is None:
        cached = figures.cache_read_input_tokens
    if written is None:
        written = figures.cache_creation_input_tokens
    if figures.cache_creation is not None:
        written = figures.cache_creation.ephemeral_5m_input_tokens
        written_1h = figures.cache_creation.ephemeral_1h_input_tokens
    if cached is not None:
        _part(units, "prompt", "cached_prompt", cached)
    if written is not None:
        _part(units, "prompt", "cache_write_5m", written)
    if written_1h is not None:
        _part(units, "prompt", "cache_write_1h", written_1h)
    if audio is not None:
        _part(units, "prompt", "audio_in", audio)


def _part(units: dict[str, int], whole: str, unit: str, count: int) -> None:
    """Count so many of `whole` under a unit of their own; what is beyond the whole is cut."""
    if count >= 0:
        units[unit] = count = min(count, units[whole])
        units[whole] -= count
