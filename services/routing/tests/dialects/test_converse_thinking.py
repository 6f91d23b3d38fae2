"""How much a model thinks, as other dialects say it, in the words that the model behind Converse knows."""

from __future__ import annotations

from typing import Any

import pytest

from hive_routing.dialects.form import Call, Reasoning, Result, Sampling, Text, Thinking, Tool, Turn
from services.routing.tests.dialects.converse_wire import CLAUDE, SIGNATURE, checked, other, refused, said

NOVA = "us.amazon.nova-2-lite-v1:0"
LOOK_UP = Tool("look_up")
ASKED = Turn("assistant", [Call("call_1", "look_up", "{}")])
FOUND = Turn("tool", [Result("call_1", [Text("sunny")], "look_up")])


@pytest.mark.parametrize(
    ("model", "reasoning", "sent"),
    [
        (CLAUDE, Reasoning("low"), {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        (CLAUDE, Reasoning("high"), {"thinking": {"type": "enabled", "budget_tokens": 16384}}),
        (CLAUDE, Reasoning(budget=100), {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        (CLAUDE, Reasoning("none"), {"thinking": {"type": "disabled"}}),
        (CLAUDE, Reasoning(is_off=True), {"thinking": {"type": "disabled"}}),
        (CLAUDE, Reasoning(summary="auto"), {}),
        (
            "global.anthropic.claude-opus-4-7-v1",
            Reasoning("minimal", summary="auto"),
            {"thinking": {"type": "adaptive", "display": "summarized"}, "effort": "low"},
        ),
        (
            "anthropic.claude-sonnet-5",
            Reasoning(budget=5000, visible=False),
            {"thinking": {"type": "adaptive", "display": "omitted"}, "effort": "high"},
        ),
        ("anthropic.claude-opus-4-6-v1", Reasoning(adaptive=True), {"thinking": {"type": "adaptive"}}),
        (NOVA, Reasoning("xhigh"), {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}),
        (
            NOVA,
            Reasoning(adaptive=True),
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}},
        ),
        (NOVA, Reasoning("none"), {"reasoningConfig": {"type": "disabled"}}),
        ("openai.gpt-oss-120b-1:0", Reasoning("minimal"), {"reasoning_effort": "low"}),
        ("openai.gpt-oss-120b-1:0", Reasoning("max"), {"reasoning_effort": "high"}),
        ("openai.gpt-5.6", Reasoning("xhigh"), {"reasoning_effort": "xhigh"}),
        ("openai.gpt-5.6", Reasoning("none"), {"reasoning_effort": "none"}),
        (
            "arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc",
            Reasoning("max"),
            {"effort": "max"},
        ),
        ("deepseek.v3-v1:0", Reasoning(is_off=True), {}),
    ],
)
def test_how_much_is_thought(model: str, reasoning: Reasoning, sent: dict[str, Any]) -> None:
    body = checked(other(model=model, reasoning=reasoning))
    effort = body.get("outputConfig", {})
    assert body.get("additionalModelRequestFields", {}) | effort == sent


@pytest.mark.parametrize(("bound", "budget"), [(30_000, 16_384), (4000, 3000), (1100, 1024)])
def test_a_budget_leaves_room_for_the_answer(bound: int, budget: int) -> None:
    body = checked(other(reasoning=Reasoning("high"), max_output=bound))
    assert body["additionalModelRequestFields"]["thinking"]["budget_tokens"] == budget


def test_thinking_that_cannot_be_is_refused() -> None:
    assert refused(other(reasoning=Reasoning("high"), max_output=1024)).param == "max_tokens"
    hot = other(reasoning=Reasoning("high"), sampling=Sampling(temperature=0.2))
    assert refused(hot).param == "temperature"


def test_who_lost_its_thoughts_in_the_middle_of_using_tools_goes_on_without() -> None:
    mine = Turn("assistant", [Thinking("hm", SIGNATURE), *ASKED.parts])
    for turns, thinks in (
        ([ASKED, FOUND], False),
        ([ASKED, FOUND, said("And?")], False),
        ([mine, FOUND], True),
        ([ASKED, FOUND, Turn("assistant", [Text("Sunny.")]), said("And?")], True),
    ):
        body = checked(other(said("Hi"), *turns, tools=[LOOK_UP], reasoning=Reasoning("low")))
        assert ("additionalModelRequestFields" in body) == thinks
