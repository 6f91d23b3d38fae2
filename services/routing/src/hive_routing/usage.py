"""What one answered call used: the provider's figures, or else our own count of what went in and came out."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from msgspec import Raw

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


class _Figures(msgspec.Struct):
    """OpenAI's form, with what compatible providers put beside it."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: _CacheWrites | None = None


_decode_figures = msgspec.json.Decoder(_Figures).decode
_NO_DETAILS = _Details()


@dataclass(frozen=True, slots=True)
class Usage:
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
        prompt, completion = figures.prompt_tokens, figures.completion_tokens
        if prompt is None and completion is None:
            return None
        if not (_can_be(prompt) and _can_be(completion)):
            return None
        units: dict[str, int] = {}
        if prompt is not None:
            _divide(units, "prompt", prompt, _parts_of_prompt(figures))
        if completion is not None:
            details = figures.completion_tokens_details or _NO_DETAILS
            parts = {"reasoning": details.reasoning_tokens, "audio_out": details.audio_tokens}
            _divide(units, "completion", completion, parts)
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


def _parts_of_prompt(figures: _Figures) -> dict[str, int | None]:
    details = figures.prompt_tokens_details or _NO_DETAILS
    cached = details.cached_tokens
    if cached is None:
        cached = figures.prompt_cache_hit_tokens
    if cached is None:
        cached = figures.cache_read_input_tokens
    written, written_1h = details.cache_write_tokens, None
    if written is None:
        written = figures.cache_creation_input_tokens
    if figures.cache_creation is not None:
        written = figures.cache_creation.ephemeral_5m_input_tokens
        written_1h = figures.cache_creation.ephemeral_1h_input_tokens
    return {
        "cached_prompt": cached,
        "cache_write_5m": written,
        "cache_write_1h": written_1h,
        "audio_in": details.audio_tokens,
    }


def _divide(units: dict[str, int], whole: str, count: int, parts: dict[str, int | None]) -> None:
    """Count each part under its own unit and the rest under `whole`; parts beyond the whole are cut."""
    rest = count
    for unit, part in parts.items():
        if part is not None and part >= 0:
            units[unit] = min(part, rest)
            rest -= units[unit]
    units[whole] = rest


def _can_be(count: int | None) -> bool:
    return count is None or 0 <= count <= MOST_TOKENS
