"""The door for events: policies as operators decide them."""

from __future__ import annotations

from hive_bus.port import StateChange
from hive_guardrails.policies import Action, Policies, Policy, Rule
from modelhive.control.v1 import control_pb2 as control


class PolicyConsumer:
    """Keeps the policies as the control topic says."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    async def apply(self, change: StateChange[control.ControlChanged]) -> None:
        kind, _, rest = change.key.partition("/")
        if kind != "guard":
            return
        tenant_id, _, key_id = rest.partition("/")
        if change.message is None:
            self._policies.drop(tenant_id, key_id)
        else:
            self._policies.put(tenant_id, key_id, _policy(change.message.guard_policy))


def _policy(message: control.GuardPolicy) -> Policy:
    return Policy(
        tuple(_rule(each) for each in message.rules),
        tuple(message.denied_words),
        frozenset(message.locked),
    )


def _rule(message: control.GuardRule) -> Rule:
    return Rule(
        message.guard,
        Action(message.action) if message.action else Action.BLOCK,
        message.input,
        message.output,
        message.threshold if message.HasField("threshold") else None,
    )
