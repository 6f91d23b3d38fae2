"""What guards find makes one decision; what was looked at once is not looked at again."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from typing import Any, cast

import pytest

from hive_guardrails import policies as module
from hive_guardrails.checks.port import Finding
from hive_guardrails.deciding import Memory, Outcome, decide
from hive_guardrails.policies import Action, Line, Policies, Policy, Rule
from hive_guardrails.telling import TOGETHER, Teller
from hive_runtime.clock import SystemClock
from hive_runtime.guarding import Asker, Found, Origin, Question, Stage, Text, Verdict


class Words:
    """Finds one word. seen: the texts that it had to read."""

    version = "1"
    threshold = 0.5
    overlap = 9

    def __init__(self, name: str, word: str, reads: Collection[Origin] = frozenset(Origin)) -> None:
        self.name = name
        self.reads = reads
        self.redacts = True
        self.seen: list[str] = []
        self._word = word

    def find(self, text: str, threshold: float) -> list[Finding]:
        self.seen.append(text)
        start = text.find(self._word)
        return [] if start < 0 else [Finding(f"a-{self._word}", start, start + len(self._word))]

    def open(self, text: str) -> int:
        return min(len(text), len(self._word) - 1)

    def score(self, text: str) -> float:
        return float(self._word in text)


@pytest.fixture
def bad() -> Words:
    return Words("prompt-injection", "bad", frozenset({Origin.USER, Origin.TOOL}))


@pytest.fixture
def key() -> Words:
    return Words("secrets", "key")


@pytest.fixture
def policies(monkeypatch: pytest.MonkeyPatch, bad: Words, key: Words) -> Policies:
    monkeypatch.setattr(module, "checks", lambda: {bad.name: bad, key.name: key})
    return Policies()


@pytest.fixture
def line(policies: Policies) -> Line:
    return policies.plan("t", "k", None).input


@pytest.fixture
def memory() -> Memory:
    return Memory(4)


def user(*texts: str) -> list[Text]:
    return [Text(text, Origin.USER) for text in texts]


def of(line: Line, memory: Memory, *texts: str, more: bool = False) -> Outcome:
    return decide(line, user(*texts), time.monotonic, memory, more=more)


def test_where_nothing_is_found_the_decision_is_one_for_all(line: Line, memory: Memory) -> None:
    outcome = of(line, memory, "fine", "")
    assert outcome.decision is line.allowed
    assert (outcome.decision.verdict, outcome.decision.ran) == (
        Verdict.ALLOWED,
        ("prompt-injection", "secrets"),
    )
    assert len(outcome.seconds) == 2 and not outcome.new
    assert outcome.said[Origin.USER] == 4


def test_a_text_is_looked_at_once_by_who_reads_it(line: Line, memory: Memory, bad: Words, key: Words) -> None:
    of(line, memory, "one")
    texts = [Text("application's", Origin.APPLICATION), *user("one", "two")]
    decide(line, texts, time.monotonic, memory)
    assert bad.seen == ["one", "two"]
    assert key.seen == ["one", "application's", "two"]
    decide(line, [Text("application's", Origin.USER)], time.monotonic, memory)  # others read it then
    assert bad.seen[-1] == "application's"


def test_what_was_found_is_found_again_without_a_look(
    line: Line, memory: Memory, bad: Words, key: Words
) -> None:
    first = of(line, memory, "a key", "fine").decision
    assert first.found == [Found("a-key", 0, 2, 5, "secrets")] and first.verdict is Verdict.REDACTED
    assert of(line, memory, "fine", "a key").decision.found == [Found("a-key", 1, 2, 5, "secrets")]
    assert bad.seen == key.seen == ["a key", "fine"]


def test_nobody_runs_behind_who_blocks_until_it_does_not(line: Line, memory: Memory, key: Words) -> None:
    for _ in range(2):
        outcome = of(line, memory, "fine", "bad key")
        assert outcome.decision.blocked_by == "prompt-injection" and outcome.decision.category == "a-bad"
        assert outcome.decision.ran == ("prompt-injection",) and len(outcome.seconds) == 1
        assert not outcome.decision.found and not outcome.decision.open
    assert key.seen == []
    assert not of(line, memory, "fine").new and key.seen == ["fine"]


def test_another_threshold_or_guard_is_another_look(
    policies: Policies, memory: Memory, line: Line, bad: Words, key: Words
) -> None:
    of(line, memory, "a key")
    policies.put("t", "", Policy((Rule("secrets", Action.REDACT, threshold=0.7),)))
    of(policies.plan("t", "k", None).input, memory, "a key")
    assert key.seen == ["a key", "a key"] and bad.seen == ["a key"]
    policies.put("t", "", Policy((Rule("secrets", Action.BLOCK, threshold=0.7),)))
    assert of(policies.plan("t", "k", None).input, memory, "a key").decision.blocked_by == "secrets"
    assert key.seen == ["a key", "a key"]  # what follows is another matter


def test_the_memory_is_bounded_and_forgets_the_oldest(line: Line, memory: Memory, bad: Words) -> None:
    for number in range(5):
        of(line, memory, f"text {number}")
    of(line, memory, "text 4", "text 1")
    assert len(bad.seen) == 5
    of(line, memory, "text 0")
    assert len(bad.seen) == 6


def test_what_was_shown_before_counts_for_nothing(line: Line, memory: Memory) -> None:
    texts = [Text("a key", Origin.USER, known=5), Text("a key", Origin.USER, known=4)]
    decision = decide(line, texts, time.monotonic, memory).decision
    assert [each.text for each in decision.found] == [1]


def test_texts_that_go_on_have_an_open_end(policies: Policies, memory: Memory) -> None:
    rule = Rule("secrets", Action.REDACT, on_input=False, on_output=True)
    policies.put("t", "", Policy((rule,)))
    plan = policies.plan("t", "k", None)
    assert plan.input.allowed == replace(plan.output.allowed, ran=())
    assert (plan.input.allowed.output, plan.input.allowed.overlaps) == (("secrets",), (9,))
    decision = of(plan.output, memory, "abc", "a", more=True).decision
    assert decision.open == [2, 1] and decision.policy == plan.identity
    assert plan.output.allowed.open == ()


def test_half_of_a_surrogate_pair_stops_nothing(line: Line, memory: Memory) -> None:
    assert of(line, memory, "a \ud800 key").decision.verdict is Verdict.REDACTED


async def test_decisions_are_summed_up_though_some_guards_did_not_run(policies: Policies) -> None:
    rules = Rule("prompt-injection", Action.BLOCK), Rule("secrets", Action.REDACT)
    policies.put("t", "", Policy(rules, denied=("bear",)))
    line = policies.plan("t", "k", None).input
    told: list[Any] = []

    class Bus:
        async def publish(self, event: Any) -> None:
            told.append(event)

    teller = Teller(cast(Any, Bus()), SystemClock(), lambda: "sum_1")
    question = Question(Asker("r", "t", "k", "m", None), Stage.INPUT, ())
    found = [(0, Finding("a-key", 0, 2))]
    blocked = replace(line.allowed, verdict=Verdict.BLOCKED)
    for _ in range(TOGETHER + 1):
        teller.note(question, line, Outcome(blocked, [0, 0, 5, 0, 0], [0.25, 0.25], {1: found}))
        teller.note(
            question, line, Outcome(line.allowed, [0, 1, 2, 0, 0], [0.5, 0.5, 0.5], {1: found, 2: found})
        )
    await teller.flush()
    (event,) = told
    assert (event.guard, event.decisions, event.scanned) == (
        "prompt-injection",
        2 * (TOGETHER + 1),
        7 * (TOGETHER + 1),
    )
    assert event.duration_us == 750_000 * (TOGETHER + 1)
