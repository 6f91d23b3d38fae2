"""How much a model thinks, written for the model that is asked."""

from __future__ import annotations

import pytest

from hive_routing.dialects.form import Call, Part, Reasoning, Result, Sampling, Text, Thinking, Turn
from services.routing.tests.dialects.messages_wire import FOREIGN, SIGNATURE, checked, other, said


class TestThinking:
    @pytest.mark.parametrize(
        "model",
        [
            "claude-3-7-sonnet-latest",
            "claude-sonnet-4-20250514",
            "claude-sonnet-4@20250514",
            "anthropic.claude-opus-4-1-20250805-v1:0",
            "claude-opus-4-5",
            "anthropic/claude-haiku-4.5",
            "kimi-k2",
        ],
    )
    @pytest.mark.parametrize(
        ("reasoning", "bound", "budget", "max_tokens"),
        [
            (Reasoning("minimal"), None, 1024, 5120),
            (Reasoning("low"), None, 1024, 5120),
            (Reasoning("medium"), None, 4096, 8192),
            (Reasoning("high"), 32_000, 16384, 32_000),
            (Reasoning("xhigh"), None, 32768, 36864),
            (Reasoning("max"), 40_000, 30_000, 40_000),
            (Reasoning("high"), 2000, 1500, 2000),
            (Reasoning("high"), 1100, 1024, 1100),
            (Reasoning(budget=512), None, 1024, 5120),
            (Reasoning(budget=9000), 10_000, 7500, 10_000),
            (Reasoning(adaptive=True), None, 4096, 8192),
        ],
    )
    def test_older_models_get_a_budget(
        self, model: str, reasoning: Reasoning, bound: int | None, budget: int, max_tokens: int
    ) -> None:
        prompt = other(reasoning=reasoning, max_output=bound)
        prompt.model = model
        asked = checked(prompt)
        assert asked["thinking"] == {"type": "enabled", "budget_tokens": budget}
        assert asked["max_tokens"] == max_tokens
        assert "output_config" not in asked

    @pytest.mark.parametrize(
        "model",
        [
            "claude-opus-4-6",
            "claude-sonnet-4-6-20260101",
            "claude-opus-4.8",
            "claude-sonnet-5",
            "claude-mythos-5",
        ],
    )
    @pytest.mark.parametrize(
        ("reasoning", "effort"),
        [
            (Reasoning("minimal"), "low"),
            (Reasoning("xhigh"), "xhigh"),
            (Reasoning(budget=1000), "low"),
            (Reasoning(budget=4000), "medium"),
            (Reasoning(budget=4097), "high"),
            (Reasoning(adaptive=True), None),
        ],
    )
    def test_newer_models_get_an_effort(self, model: str, reasoning: Reasoning, effort: str | None) -> None:
        prompt = other(reasoning=reasoning)
        prompt.model = model
        asked = checked(prompt)
        assert asked["thinking"] == {"type": "adaptive"}
        assert asked.get("output_config", {}).get("effort") == effort
        assert asked["max_tokens"] == 4096

    @pytest.mark.parametrize("reasoning", [Reasoning("none"), Reasoning(is_off=True)])
    def test_off(self, reasoning: Reasoning) -> None:
        prompt = other(reasoning=reasoning, sampling=Sampling(temperature=0.2))
        assert checked(prompt)["thinking"] == {"type": "disabled"}

    @pytest.mark.parametrize(
        ("reasoning", "display"),
        [
            (Reasoning("low", visible=True), "summarized"),
            (Reasoning("low", visible=False), "omitted"),
            (Reasoning("low", summary="auto"), "summarized"),
        ],
    )
    def test_what_is_shown_of_it(self, reasoning: Reasoning, display: str) -> None:
        assert checked(other(reasoning=reasoning))["thinking"]["display"] == display

    @pytest.mark.parametrize("reasoning", [Reasoning(), Reasoning(summary="auto"), Reasoning(visible=True)])
    def test_nothing_is_said_of_it(self, reasoning: Reasoning) -> None:
        assert "thinking" not in checked(other(reasoning=reasoning))

    @pytest.mark.parametrize(
        ("thought", "is_on"),
        [
            ([], False),
            ([Text("I look.")], False),
            ([Thinking("Hm", FOREIGN)], False),
            ([Thinking("Hm", SIGNATURE)], True),
            ([Thinking("Hm", FOREIGN), Thinking("Hm", SIGNATURE)], True),
        ],
    )
    def test_amidst_calls_of_tools_it_goes_on_only_with_what_was_thought(
        self, thought: list[Part], is_on: bool
    ) -> None:
        prompt = other(
            said("x"),
            Turn("assistant", [*thought, Call("c", "f")]),
            Turn("tool", [Result("c", [Text("y")])]),
            Turn("system", [Text("Be brief.")]),
            said("z"),
            reasoning=Reasoning("low"),
        )
        assert ("thinking" in checked(prompt)) is is_on
        prompt.turns += [Turn("assistant", [Text("Done.")]), said("And?")]
        assert "thinking" in checked(prompt)
