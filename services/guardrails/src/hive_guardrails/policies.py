"""Which guards run for whom: the policies of tenants and keys, what a caller's header makes of them, and the locks.

A key's policy takes the place of its tenant's; the tenant's locks and denied words count for its keys too. The
header can leave guards out and ask for others, but for those that are locked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from hive_guardrails.checks.denied import denied_words
from hive_guardrails.checks.port import Check, Origin
from hive_guardrails.checks.registry import DENIED_WORDS, NAMES, checks
from hive_runtime.errors import HiveError, Kind
from hive_runtime.guarding import Decision, Stage, Verdict

HEADER = "x-hive-guard"
NONE = "none"
MOST_PLANS = 10_000


class Action(IntEnum):
    """What follows from a finding; numbers as in the contract (`modelhive.control.v1.GuardAction`)."""

    OBSERVE = 1
    REDACT = 2
    BLOCK = 3


@dataclass(frozen=True, slots=True)
class Rule:
    """How one guard runs. threshold: None is the check's own."""

    guard: str
    action: Action
    on_input: bool = True
    on_output: bool = False
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    rules: tuple[Rule, ...]
    denied: tuple[str, ...] = ()
    locked: frozenset[str] = frozenset()


RULES: Mapping[str, Rule] = {
    rule.guard: rule
    for rule in (
        Rule("prompt-injection", Action.BLOCK),
        Rule("secrets", Action.REDACT),
        Rule("pii", Action.REDACT),
        Rule("toxicity", Action.BLOCK, on_output=True),
        Rule(DENIED_WORDS, Action.BLOCK),
    )
}
"""How a guard runs that no policy says more of."""
DEFAULT = Policy((RULES["prompt-injection"], RULES["secrets"]))
"""Of tenants that have no policy."""


@dataclass(frozen=True, slots=True)
class Guard:
    """A check that runs, and what follows from what it finds."""

    check: Check
    action: Action
    threshold: float

    @property
    def name(self) -> str:
        return self.check.name


@dataclass(frozen=True, slots=True)
class Decided(Decision):
    """overlaps: of the guards of `output`, one by one."""

    overlaps: Sequence[int] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """The guards of one stage, in their order. places: of all of them. allowed: the decision where nothing is found.

    readers: who reads whose words, as 16 bytes that are others wherever something else may be found in the same text;
    empty where nobody reads them.
    """

    stage: Stage
    guards: tuple[Guard, ...]
    places: tuple[int, ...]
    readers: Mapping[Origin, bytes]
    allowed: Decided


@dataclass(frozen=True, slots=True)
class Plan:
    """What one request passes. locked: guards that run against the caller's header.

    identity: another one wherever the same texts may be decided otherwise.
    """

    input: Line
    output: Line
    locked: tuple[str, ...]
    identity: str

    @property
    def on_input(self) -> tuple[Guard, ...]:
        return self.input.guards

    @property
    def on_output(self) -> tuple[Guard, ...]:
        return self.output.guards


class Policies:
    """The snapshot of all policies, and the plans that were made from it."""

    def __init__(self) -> None:
        self._policies: dict[tuple[str, str], Policy] = {}
        self._plans: dict[tuple[str, str, str | None], Plan] = {}

    def put(self, tenant_id: str, key_id: str, policy: Policy) -> None:
        """key_id: empty for the tenant's own."""
        self._policies[tenant_id, key_id] = policy
        self._plans.clear()

    def drop(self, tenant_id: str, key_id: str) -> None:
        self._policies.pop((tenant_id, key_id), None)
        self._plans.clear()

    def plan(self, tenant_id: str, key_id: str, wanted: str | None) -> Plan:
        """wanted: the header's value. Raises HiveError `invalid` where it names what there is not."""
        asked = (tenant_id, key_id, wanted)
        plan = self._plans.get(asked)
        if plan is None:
            plan = _plan(self._effective(tenant_id, key_id), _names(wanted))
            if len(self._plans) >= MOST_PLANS:  # callers make up headers
                self._plans.clear()
            self._plans[asked] = plan
        return plan

    def denied(self, tenant_id: str, key_id: str) -> Check:
        """The check of the words that nobody there may say."""
        return denied_words(self._effective(tenant_id, key_id).denied)

    def _effective(self, tenant_id: str, key_id: str) -> Policy:
        of_tenant = self._policies.get((tenant_id, ""), DEFAULT)
        of_key = self._policies.get((tenant_id, key_id)) if key_id else None
        if of_key is None:
            return of_tenant
        denied = tuple(dict.fromkeys((*of_tenant.denied, *of_key.denied)))
        return replace(of_key, denied=denied, locked=of_tenant.locked | of_key.locked)


def _names(wanted: str | None) -> tuple[str, ...] | None:
    """The guards that a header asks for; None: it says nothing."""
    if wanted is None:
        return None
    names = tuple(dict.fromkeys(name for part in wanted.split(",") if (name := part.strip().lower())))
    if names == (NONE,):
        return ()
    for name in names or ("",):
        if name not in NAMES:
            known = ", ".join(f"`{each}`" for each in NAMES)
            raise HiveError(
                Kind.INVALID,
                f"The header {HEADER} names `{name[:80]}`, which is no guard: use `{NONE}` alone, or some of {known}.",
                HEADER,
            )
    return names


def _plan(policy: Policy, names: Sequence[str] | None) -> Plan:
    rules = {rule.guard: rule for rule in policy.rules}
    if policy.denied:
        rules.setdefault(DENIED_WORDS, RULES[DENIED_WORDS])
    wanted = list(rules) if names is None else list(names)
    locked = [name for name in NAMES if name in policy.locked]
    forced = tuple(name for name in locked if names is not None and name not in names)
    chosen = [rules.get(name, RULES[name]) for name in dict.fromkeys((*wanted, *locked))]
    made = [(rule, _guard(rule, policy.denied)) for rule in chosen]
    on_output = tuple(guard for rule, guard in made if rule.on_output)
    overlaps = tuple(guard.check.overlap for guard in on_output)
    usual = Decided(
        Verdict.ALLOWED,
        output=tuple(guard.name for guard in on_output),
        overlap=max(overlaps, default=0),
        locked=forced,
        policy=_identity(made),
        overlaps=overlaps,
    )
    on_input = tuple(guard for rule, guard in made if rule.on_input)
    return Plan(
        _line(Stage.INPUT, on_input, usual), _line(Stage.OUTPUT, on_output, usual), forced, usual.policy
    )


def _line(stage: Stage, guards: tuple[Guard, ...], usual: Decided) -> Line:
    reading = {origin: [guard for guard in guards if origin in guard.check.reads] for origin in Origin}
    return Line(
        stage,
        guards,
        tuple(range(len(guards))),
        {origin: _readers(some) for origin, some in reading.items()},
        replace(usual, ran=tuple(guard.name for guard in guards)),
    )


def _readers(guards: Sequence[Guard]) -> bytes:
    words = [f"{guard.name}={guard.check.version}/{guard.threshold!r}" for guard in guards]
    return hashlib.blake2b("\n".join(words).encode(), digest_size=16).digest() if words else b""


def _guard(rule: Rule, denied: Sequence[str]) -> Guard:
    check = denied_words(denied) if rule.guard == DENIED_WORDS else checks()[rule.guard]
    action = rule.action
    if action is Action.REDACT and not check.redacts:  # there is nothing that could be taken out
        action = Action.BLOCK
    return Guard(check, action, check.threshold if rule.threshold is None else rule.threshold)


def _identity(made: Iterable[tuple[Rule, Guard]]) -> str:
    """Empty where nothing runs."""
    words = [
        f"{guard.name}={guard.check.version}/{guard.action.name}/{guard.threshold!r}/{rule.on_input}/{rule.on_output}"
        for rule, guard in made
    ]
    return hashlib.blake2b("\n".join(words).encode(), digest_size=8).hexdigest() if words else ""
