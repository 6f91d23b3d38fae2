"""How much a model thinks, both ways: `outputConfig.effort`, and what each maker's models want besides.

What was said in another dialect is written for the model that is asked. Where less can be told apart than was said,
the nearest is written: none of these is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from hive_routing.dialects.converse.families import Family
from hive_routing.dialects.converse.parts import NAME, Block
from hive_routing.dialects.form import Call, Effort, Prompt, Reasoning, Thinking, Turn
from hive_routing.dialects.port import refuse
from hive_routing.dialects.seals import own

_LEAST_BUDGET = 1024
_BUDGETS: Mapping[Effort, int] = {
    "minimal": _LEAST_BUDGET,
    "low": 1024,
    "medium": 4096,
    "high": 16384,
    "xhigh": 32768,
    "max": 65536,
}
_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})
_THREE: Mapping[Effort, Effort] = {"minimal": "low", "xhigh": "high", "max": "high"}
"""Where there are three levels only."""


class _Thinking(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None


class Thought(NamedTuple):
    """effort: of `outputConfig`. fields: additional ones, of the model."""

    effort: str | None = None
    fields: Mapping[str, Any] = {}


def read_thinking(thinking: Any) -> Reasoning | None:
    """Of the additional field of this name; None for what the form has no place for."""
    try:
        read = msgspec.convert(thinking, _Thinking)
    except msgspec.ValidationError:
        return None
    if (read.type == "enabled") != (read.budget_tokens is not None):
        return None
    visible = None if read.display is None else read.display == "summarized"
    return Reasoning(
        None, read.budget_tokens, read.type == "disabled", read.type == "adaptive", None, visible
    )


def is_effort(effort: Any) -> bool:
    return effort in _EFFORTS


def write_thinking(prompt: Prompt, family: Family) -> Thought:
    """Raises Untranslatable."""
    reasoning = prompt.reasoning
    if prompt.dialect == NAME:
        return Thought(reasoning.effort, _as_said(reasoning))
    if reasoning.is_off or reasoning.effort == "none":
        return Thought(None, _off(family))
    if reasoning.budget is None and reasoning.effort is None and not reasoning.adaptive:
        return Thought()
    effort = reasoning.effort or _effort(reasoning.budget)
    match family.thought:
        case "budget":
            thought = _within_budget(prompt)
        case "fit":
            thought = Thought(_known(effort), {"thinking": {"type": "adaptive"} | _display(reasoning)})
        case "nova":
            level = _of_three(effort) or "medium"
            thought = Thought(None, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": level}})
        case "field":
            said = _of_three(effort) if "gpt-oss" in prompt.model else _known(effort)
            thought = Thought(None, {"reasoning_effort": said} if said else {})
        case "effort":
            thought = Thought(_known(effort))
    if "thinking" in thought.fields:
        _check_temperature(prompt.sampling.temperature)
    return thought


def _as_said(reasoning: Reasoning) -> Block:
    if reasoning.is_off:
        return {"thinking": {"type": "disabled"}}
    if reasoning.budget is not None:
        said: Block = {"type": "enabled", "budget_tokens": reasoning.budget}
    elif reasoning.adaptive:
        said = {"type": "adaptive"}
    else:
        return {}
    return {"thinking": said | _display(reasoning)}


def _display(reasoning: Reasoning) -> Block:
    if reasoning.visible is None and reasoning.summary is None:
        return {}
    return {"display": "omitted" if reasoning.visible is False else "summarized"}


def _off(family: Family) -> Block:
    match family.thought:
        case "budget" | "fit":
            return {"thinking": {"type": "disabled"}}
        case "nova":
            return {"reasoningConfig": {"type": "disabled"}}
        case "field":
            return {"reasoning_effort": "none"}
    return {}


def _known(effort: Effort | None) -> str | None:
    return "low" if effort == "minimal" else effort


def _of_three(effort: Effort | None) -> str | None:
    return None if effort is None else _THREE.get(effort, effort)


def _effort(budget: int | None) -> Effort | None:
    if budget is None:
        return None
    return "low" if budget <= 1024 else "medium" if budget <= 4096 else "high"


def _within_budget(prompt: Prompt) -> Thought:
    """A budget is what thinking may take at the most, so it can be less where the whole output is bounded."""
    if _lacks_thought(prompt.turns):
        return Thought()
    reasoning, bound = prompt.reasoning, prompt.max_output
    budget = reasoning.budget if reasoning.budget is not None else _BUDGETS[reasoning.effort or "medium"]
    budget = max(budget, _LEAST_BUDGET)
    if bound is not None:
        budget = max(_LEAST_BUDGET, min(budget, bound * 3 // 4))
        if budget >= bound:
            what = f"A bound of {bound} output tokens with reasoning, which takes at least {_LEAST_BUDGET},"
            refuse("max_tokens", what, NAME)
    return Thought(None, {"thinking": {"type": "enabled", "budget_tokens": budget}})


def _lacks_thought(turns: list[Turn]) -> bool:
    """Whether the model is in the middle of using tools, and what it thought before did not come back.

    Models with budgets refuse to go on thinking then; they answer without.
    """
    asked = next((turn for turn in reversed(turns) if turn.role == "assistant"), None)
    if asked is None or not any(isinstance(part, Call) for part in asked.parts):
        return False
    first = asked.parts[0]
    return not isinstance(first, Thinking) or own(first.seal, NAME) is None


def _check_temperature(temperature: float | None) -> None:
    if temperature is not None and temperature != 1:
        refuse("temperature", f"`temperature` {temperature:g} together with reasoning", NAME)
