"""Tokens of one answered call: the provider's figures, or else our own count of what went in and came out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.request import Request
from hive_routing.tokens import Countable, TokenCounter


class _Figures(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


_decode_figures = msgspec.json.Decoder(_Figures).decode


@dataclass(frozen=True, slots=True)
class Usage:
    """estimated: the provider gave no figures."""

    prompt_tokens: int
    completion_tokens: int
    estimated: bool = False

    @classmethod
    def stated(cls, raw: Raw | bytes) -> Usage | None:
        """The figures of a `usage` object; None where it holds none."""
        try:
            figures = _decode_figures(raw)
        except msgspec.DecodeError:
            return None
        if figures.prompt_tokens is None and figures.completion_tokens is None:
            return None
        return cls(figures.prompt_tokens or 0, figures.completion_tokens or 0)

    def as_json(self) -> dict[str, int]:
        """The object that clients read."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }


async def estimate(request: Request, output: Countable, model: str, counter: TokenCounter) -> Usage:
    """Usage by our own count."""
    prompt = await counter.count(_prompt(request), model)
    return Usage(prompt, await counter.count(output, model), estimated=True)


def _prompt(request: Request) -> Countable:
    counted = Countable()
    counted.add_json(_value(request, "tools"))
    if "messages" in request.fields:
        counted.add_messages(_value(request, "messages"))
    counted.add_tokens(_value(request, "prompt"))
    counted.add_tokens(_value(request, "input"))
    return counted


def _value(request: Request, name: str) -> Any:
    raw = request.fields.get(name)
    try:
        return None if raw is None else msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
