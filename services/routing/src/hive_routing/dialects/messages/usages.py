"""Usage in Anthropic's counting, both ways: its input tokens are without those that the cache took or gave."""

from __future__ import annotations

from typing import Any, Self

import msgspec
from msgspec import Raw

from hive_routing.dialects.usages import usage_of
from hive_routing.usage import Usage

SAYS_NOTHING = Raw(b"null")


class _Writes(msgspec.Struct):
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    thinking_tokens: int | None = None


class _ServerTools(msgspec.Struct):
    web_search_requests: int | None = None


class Figures(msgspec.Struct):
    """What a `usage` says; None where it does not say it."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: _Writes | None = None
    output_tokens_details: _OutputDetails | None = None
    server_tool_use: _ServerTools | None = None

    @classmethod
    def stated(cls, raw: Raw) -> Self:
        """Of a `usage`; one that cannot be read says nothing."""
        try:
            return msgspec.json.decode(raw, type=cls)
        except msgspec.DecodeError:
            return cls()

    def updated(self, later: Self) -> Self:
        """Figures in a stream are totals: what is said later replaces what was said before."""
        said = {name: value for name, value in msgspec.structs.asdict(later).items() if value is not None}
        return msgspec.structs.replace(self, **said)

    def usage(self) -> Usage | None:
        """None where there are no figures that can be."""
        cached = {"cached_prompt": self.cache_read_input_tokens} | self._writes()
        prompt = self.input_tokens
        if prompt is not None:
            prompt += sum(count for count in cached.values() if count is not None)
        thinking = None if self.output_tokens_details is None else self.output_tokens_details.thinking_tokens
        usage = usage_of(prompt, self.output_tokens, cached, {"reasoning": thinking})
        searches = None if self.server_tool_use is None else self.server_tool_use.web_search_requests
        if usage is not None and searches:
            usage.units["search"] = searches
        return usage

    def _writes(self) -> dict[str, int | None]:
        """Those that no time is said for are for the shorter one, which is the default."""
        total, divided = self.cache_creation_input_tokens, self.cache_creation or _Writes()
        hour = divided.ephemeral_1h_input_tokens
        short = divided.ephemeral_5m_input_tokens
        if total is not None:
            short = max(total - (hour or 0), short or 0)
        return {"cache_write_5m": short, "cache_write_1h": hour}


def figures_of(usage: Usage | None) -> dict[str, Any]:
    """The `usage` that clients read; without any, all figures are 0."""
    units = {} if usage is None else usage.units
    prompt, completion = (0, 0) if usage is None else (usage.prompt_tokens, usage.completion_tokens)
    read, short, hour = (units.get(unit, 0) for unit in ("cached_prompt", "cache_write_5m", "cache_write_1h"))
    figures: dict[str, Any] = {
        "input_tokens": max(0, prompt - read - short - hour),
        "cache_creation_input_tokens": short + hour,
        "cache_read_input_tokens": read,
        "output_tokens": completion,
    }
    if "cache_write_1h" in units:
        divided = {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": hour}
        figures["cache_creation"] = divided
    if "reasoning" in units:
        figures["output_tokens_details"] = {"thinking_tokens": units["reasoning"]}
    if "search" in units:
        searches = {"web_search_requests": units["search"], "web_fetch_requests": 0}
        figures["server_tool_use"] = searches
    return figures
