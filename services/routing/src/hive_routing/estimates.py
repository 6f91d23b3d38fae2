"""Our own count of what went in and came out: before a provider states its figures, and where it never does."""

from __future__ import annotations

from typing import Any

import msgspec

from hive_routing.request import Request
from hive_routing.tokens import Countable, TokenCounter
from hive_routing.usage import Usage


async def estimate(request: Request, output: Countable, model: str, counter: TokenCounter) -> Usage:
    """Usage by our own count."""
    prompt = await counter.count(prompt_of(request), model)
    return Usage.counted(prompt, await counter.count(output, model))


def prompt_of(request: Request) -> Countable:
    """What a model is asked, for counting."""
    counted = Countable()
    for name in ("tools", "functions", "response_format"):
        if name in request.fields:
            counted.add_json(_value(request, name))
    if "messages" in request.fields:
        counted.add_messages(_value(request, "messages"))
    for name in ("prompt", "suffix", "input"):
        if name in request.fields:
            counted.add_tokens(_value(request, name))
    return counted


def _value(request: Request, name: str) -> Any:
    try:
        return msgspec.json.decode(request.fields[name])
    except (msgspec.DecodeError, RecursionError):
        return None
