"""How much a model thinks, both ways: Anthropic's `thinking` and `output_config.effort`.

Models up to 4.5 think within a budget of tokens that has to be given; later ones think as they see fit, are steered
by effort and refuse budgets. So what was said in another dialect is written for the model that is asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from hive_routing.dialects.form import Call, Effort, Part, Prompt, Reasoning, Thinking, Turn
from hive_routing.dialects.messages.parts import NAME, Block
from hive_routing.dialects.port import refuse
from hive_routing.dialects.seals import own

DEFAULT_OUTPUT = 4096
"""Tokens of an answer at the most, where the caller names no bound: Anthropic wants one."""
LEAST_BUDGET = 1024
LEAST_TOP_P = 0.95
"""Of a model that thinks."""

_WITH_BUDGET = re.compile(r"claude-(?:instant|[23]|(?:opus|sonnet|haiku)-4(?![-.][6-9](?!\d)))")
_BUDGETS: Mapping[Effort, int] = {
    "minimal": LEAST_BUDGET,
    "low": 1024,
    "medium": 4096,
    "high": 16384,
    "xhigh": 32768,
    "max": 65536,
}
_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})


class _Thinking(msgspec.Struct):
    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None


class Thought(NamedTuple):
    """What a body says: `thinking` and `output_config.effort`, where it does; and the bound of the whole output."""

    thinking: Block | None
    effort: str | None
    max_tokens: int


def read_thinking(config: Block) -> Reasoning | None:
    """None for a way of thinking that the form does not know. Raises msgspec.ValidationError."""
    if config.get("type") not in ("enabled", "adaptive", "disabled"):
        return None
    read = msgspec.convert(config, _Thinking)
    if read.type == "enabled" and read.budget_tokens is None:
        raise msgspec.ValidationError("Object missing required field `budget_tokens`")
    return Reasoning(
        budget=read.budget_tokens if read.type == "enabled" else None,
        is_off=read.type == "disabled",
        adaptive=read.type == "adaptive",
        visible=None if read.display is None else read.display == "summarized",
    )


def is_effort(effort: Any) -> bool:
    return isinstance(effort, str) and effort in _EFFORTS


def write_thinking(prompt: Prompt) -> Thought:
    bound = DEFAULT_OUTPUT if prompt.max_output is None else prompt.max_output
    if prompt.dialect == NAME:
        return Thought(_as_said(prompt.reasoning), prompt.reasoning.effort, bound)
    reasoning = prompt.reasoning
    if reasoning.is_off or reasoning.effort == "none":
        return Thought({"type": "disabled"}, None, bound)
    if reasoning.budget is None and reasoning.effort is None and not reasoning.adaptive:
        return Thought(None, None, bound)
    thought = _within_budget(prompt) if _wants_budget(prompt.model) else _as_it_sees_fit(reasoning, bound)
    if thought.thinking is not None:
        _check_beside(prompt)
        _show(thought.thinking, reasoning)
    return thought


def _as_said(reasoning: Reasoning) -> Block | None:
    if reasoning.is_off:
        return {"type": "disabled"}
    said: Block
    if reasoning.budget is not None:
        said = {"type": "enabled", "budget_tokens": reasoning.budget}
    elif reasoning.adaptive:
        said = {"type": "adaptive"}
    else:
        return None
    _show(said, reasoning)
    return said


def _show(thinking: dict[str, Any], reasoning: Reasoning) -> None:
    if reasoning.visible is not None or reasoning.summary is not None:
        thinking["display"] = "omitted" if reasoning.visible is False else "summarized"


def _wants_budget(model: str) -> bool:
    """Also for models of others who speak this dialect: most of them know the older way alone."""
    return "claude" not in model or _WITH_BUDGET.search(model) is not None


def _as_it_sees_fit(reasoning: Reasoning, bound: int) -> Thought:
    effort = "low" if reasoning.effort == "minimal" else reasoning.effort
    if effort is None and reasoning.budget is not None:
        effort = "low" if reasoning.budget <= 1024 else "medium" if reasoning.budget <= 4096 else "high"
    return Thought({"type": "adaptive"}, effort, bound)


def _within_budget(prompt: Prompt) -> Thought:
    """A budget is what thinking may take at the most, so it can be less where the whole output is bounded."""
    bound = prompt.max_output
    if _lacks_thought(prompt.turns):
        return Thought(None, None, DEFAULT_OUTPUT if bound is None else bound)
    reasoning = prompt.reasoning
    budget = reasoning.budget if reasoning.budget is not None else _BUDGETS[reasoning.effort or "medium"]
    budget = max(budget, LEAST_BUDGET)
    if bound is None:
        return Thought({"type": "enabled", "budget_tokens": budget}, None, budget + DEFAULT_OUTPUT)
    budget = max(LEAST_BUDGET, min(budget, bound * 3 // 4))
    if budget >= bound:
        what = f"A bound of {bound} output tokens with reasoning, which takes at least {LEAST_BUDGET},"
        refuse("max_tokens", what, NAME)
    return Thought({"type": "enabled", "budget_tokens": budget}, None, bound)


def _lacks_thought(turns: list[Turn]) -> bool:
    """Whether the last that the model said calls tools, and what it thought before that did not come back.

    Models with budgets refuse to go on thinking then; they answer without.
    """
    parts: list[Part] = []
    for turn in reversed(turns):
        if turn.role == "assistant":
            parts = turn.parts + parts
        elif parts and turn.role != "system":
            break
    written = (part for part in parts if not isinstance(part, Thinking) or own(part.seal, NAME) is not None)
    first = next(written, None)
    return not isinstance(first, Thinking) and any(isinstance(part, Call) for part in parts)


def _check_beside(prompt: Prompt) -> None:
    """Raises Untranslatable for what a model that thinks does not take."""
    sampling = prompt.sampling
    temperature, top_p = sampling.temperature, sampling.top_p
    if temperature is not None and temperature != 1:
        refuse("temperature", f"`temperature` {temperature:g} together with reasoning", NAME)
    if top_p is not None and top_p < LEAST_TOP_P:
        refuse("top_p", f"`top_p` {top_p:g} together with reasoning", NAME)
    if sampling.top_k is not None:
        refuse("top_k", "`top_k` together with reasoning", NAME)
    if prompt.choice.mode in ("required", "named"):
        refuse("tool_choice", "A call of a tool that has to be, together with reasoning", NAME)
