"""How much a model thinks: `thinkingConfig`, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from hive_routing.dialects.form import Effort, Reasoning
from hive_routing.dialects.gemini.fields import Object, members, typed
from hive_routing.dialects.gemini.models import is_old

_LEVELS: Mapping[Effort, str] = {
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "XHIGH",
    "max": "XHIGH",
}
_EFFORTS: Mapping[str, Effort] = {
    "MINIMAL": "minimal",
    "LOW": "low",
    "MEDIUM": "medium",
    "HIGH": "high",
    "XHIGH": "xhigh",
}
_MOST = 24576
"""Tokens that every model can think; the larger ones can `_MOST_OF_PRO`."""
_MOST_OF_PRO = 32768
_BUDGETS: Mapping[Effort, int] = {
    "minimal": 512,
    "low": 1024,
    "medium": 4096,
    "high": 16384,
    "xhigh": _MOST,
    "max": _MOST,
}
_AS_IT_SEES_FIT = -1


class _Thinking(msgspec.Struct, rename="camel"):
    include_thoughts: bool | None = None
    thinking_budget: Annotated[int, Meta(ge=_AS_IT_SEES_FIT)] | None = None
    thinking_level: str | None = None


def read_thinking(value: object, path: str) -> Reasoning | None:
    """None where it says more than the form can. Raises Misfit."""
    config = members(value, path)
    if config.keys() - set(_Thinking.__struct_encode_fields__):
        return None
    read = typed(config, _Thinking, path)
    budget = read.thinking_budget
    return Reasoning(
        effort=_EFFORTS.get((read.thinking_level or "").upper()),
        budget=budget if budget is not None and budget > 0 else None,
        is_off=budget == 0,
        adaptive=budget == _AS_IT_SEES_FIT,
        visible=read.include_thoughts,
    )


def write_thinking(reasoning: Reasoning, model: str) -> Object:
    """The `thinkingConfig` for this model; empty where nothing is said."""
    written: Object = {}
    visible = True if reasoning.summary is not None and reasoning.visible is None else reasoning.visible
    if visible is not None:
        written["includeThoughts"] = visible
    effort = reasoning.effort
    if reasoning.is_off or effort == "none":
        written["thinkingBudget"] = 0
    elif reasoning.budget is not None:
        most = _MOST_OF_PRO if "pro" in model else _MOST  # to think less keeps to the budget, too
        written["thinkingBudget"] = min(reasoning.budget, most)
    elif effort is not None and is_old(model):
        written["thinkingBudget"] = _BUDGETS[effort]
    elif effort is not None:
        written["thinkingLevel"] = _LEVELS[effort]
    elif reasoning.adaptive:
        written["thinkingBudget"] = _AS_IT_SEES_FIT
    return written
