"""Usage in Amazon's counting, both ways: its input tokens are without those that the cache took or gave.

So the user guide has it; models of OpenAI's are said to count them in where they stream, which cannot be told apart.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hive_routing.usage import MOST_TOKENS, Usage


class CacheDetail(msgspec.Struct, frozen=True):
    ttl: str
    inputTokens: int


class TokenUsage(msgspec.Struct, frozen=True):
    """What a `usage` says; None where it does not say it."""

    inputTokens: int | None = None
    outputTokens: int | None = None
    cacheReadInputTokens: int | None = None
    cacheWriteInputTokens: int | None = None
    cacheDetails: list[CacheDetail] | None = None

    def usage(self) -> Usage | None:
        """None where there are no figures that can be."""
        if self.inputTokens is None and self.outputTokens is None:
            return None
        prompt = {"prompt": self.inputTokens, "cached_prompt": self.cacheReadInputTokens} | self._writes()
        stated = prompt | {"completion": self.outputTokens}
        units = {unit: count for unit, count in stated.items() if count is not None}
        if not all(0 <= count <= MOST_TOKENS for count in units.values()):
            return None
        completion = units.get("completion", 0)
        return Usage(sum(units.values()) - completion, completion, units)

    def _writes(self) -> dict[str, int | None]:
        """Those that no time is said for are for the shorter one, which is the default."""
        hour = sum(each.inputTokens for each in self.cacheDetails or () if each.ttl == "1h")
        total = self.cacheWriteInputTokens
        return {
            "cache_write_5m": None if total is None else max(0, total - hour),
            "cache_write_1h": hour if self.cacheDetails else None,
        }


def figures_of(usage: Usage | None) -> dict[str, Any]:
    """The `usage` that clients read; without any, all figures are 0."""
    units = {} if usage is None else usage.units
    prompt, completion = (0, 0) if usage is None else (usage.prompt_tokens, usage.completion_tokens)
    read, short, hour = (units.get(unit, 0) for unit in ("cached_prompt", "cache_write_5m", "cache_write_1h"))
    figures: dict[str, Any] = {
        "inputTokens": max(0, prompt - read - short - hour),
        "outputTokens": completion,
        "totalTokens": prompt + completion,
    }
    if "cached_prompt" in units:
        figures["cacheReadInputTokens"] = read
    if "cache_write_5m" in units or "cache_write_1h" in units:
        figures["cacheWriteInputTokens"] = short + hour
    if "cache_write_1h" in units:
        figures["cacheDetails"] = [
            {"ttl": "1h", "inputTokens": hour},
            {"ttl": "5m", "inputTokens": short},
        ]
    return figures
