"""Which guards run: policies, the caller's header, locks."""

from __future__ import annotations

import pytest

from hive_guardrails.checks.registry import NAMES
from hive_guardrails.policies import Action, Policies, Policy, Rule
from hive_runtime.errors import HiveError, Kind


@pytest.fixture
def policies() -> Policies:
    return Policies()


def names(policies: Policies, wanted: str | None = None, key: str = "k") -> tuple[list[str], list[str]]:
    plan = policies.plan("t", key, wanted)
    return [guard.name for guard in plan.on_input], [guard.name for guard in plan.on_output]


def test_without_a_policy_the_default_runs(policies: Policies) -> None:
    assert names(policies) == (["prompt-injection", "secrets"], [])
    actions = {guard.name: guard.action for guard in policies.plan("t", "k", None).on_input}
    assert actions == {"prompt-injection": Action.BLOCK, "secrets": Action.REDACT}


@pytest.mark.parametrize("wanted", ["none", " NONE ", "none,none"])
def test_the_header_switches_all_off(policies: Policies, wanted: str) -> None:
    assert names(policies, wanted) == ([], [])
    assert policies.plan("t", "k", wanted).identity == ""


def test_the_header_names_those_that_run(policies: Policies) -> None:
    assert names(policies, "Toxicity, prompt-injection") == (["toxicity", "prompt-injection"], ["toxicity"])


@pytest.mark.parametrize("wanted", ["", ",", "nothing", "none,secrets", "secrets,,virus"])
def test_what_is_no_guard_is_refused(policies: Policies, wanted: str) -> None:
    with pytest.raises(HiveError) as caught:
        policies.plan("t", "k", wanted)
    assert (caught.value.kind, caught.value.param) == (Kind.INVALID, "x-hive-guard")
    assert all(f"`{name}`" in caught.value.message for name in NAMES)


def test_a_policy_of_the_tenant_and_one_of_the_key(policies: Policies) -> None:
    policies.put("t", "", Policy((Rule("pii", Action.OBSERVE),), denied=("apple",)))
    assert names(policies) == (["pii", "denied-words"], [])
    policies.put("t", "k", Policy((Rule("toxicity", Action.BLOCK, True, True),), denied=("pear",)))
    assert names(policies) == (["toxicity", "denied-words"], ["toxicity"])
    words = policies.plan("t", "k", None).on_input[1].check
    assert [bool(words.find(text, 0.5)) for text in ("apple", "pear", "plum")] == [True, True, False]
    assert names(policies, key="other") == (["pii", "denied-words"], [])
    policies.drop("t", "k")
    policies.drop("t", "")
    assert names(policies) == (["prompt-injection", "secrets"], [])


def test_what_is_locked_runs_whatever_the_header_says(policies: Policies) -> None:
    policies.put("t", "", Policy((Rule("secrets", Action.REDACT),), locked=frozenset({"prompt-injection"})))
    plan = policies.plan("t", "k", "none")
    assert [guard.name for guard in plan.on_input] == ["prompt-injection"]
    assert plan.locked == ("prompt-injection",)
    assert policies.plan("t", "k", "prompt-injection").locked == ()
    assert policies.plan("t", "k", None).locked == ()
    assert names(policies) == (["secrets", "prompt-injection"], [])


def test_a_tenants_lock_binds_a_key_with_a_policy_of_its_own(policies: Policies) -> None:
    policies.put("t", "", Policy((), locked=frozenset({"secrets"})))
    policies.put("t", "k", Policy(()))
    assert names(policies, "none") == (["secrets"], [])


def test_the_identity_changes_with_everything_that_can_change_a_verdict(policies: Policies) -> None:
    seen = {policies.plan("t", "k", None).identity}
    for policy in (
        Policy((Rule("secrets", Action.REDACT),)),
        Policy((Rule("secrets", Action.BLOCK),)),
        Policy((Rule("secrets", Action.BLOCK, True, True),)),
        Policy((Rule("secrets", Action.BLOCK, True, True, 0.9),)),
        Policy((Rule("secrets", Action.BLOCK, True, True, 0.9),), denied=("a",)),
        Policy((Rule("secrets", Action.BLOCK, True, True, 0.9),), denied=("a", "b")),
    ):
        policies.put("t", "", policy)
        identity = policies.plan("t", "k", None).identity
        assert identity not in seen
        seen.add(identity)
    assert policies.plan("t", "k2", None).identity == identity


def test_what_cannot_be_taken_out_is_blocked(policies: Policies) -> None:
    policies.put("t", "", Policy((Rule("toxicity", Action.REDACT),)))
    assert policies.plan("t", "k", None).on_input[0].action is Action.BLOCK


def test_made_up_headers_fill_no_memory(policies: Policies) -> None:
    for number in range(30_000):
        policies.plan("t", f"k{number}", "none")
    assert len(policies._plans) <= 10_000
