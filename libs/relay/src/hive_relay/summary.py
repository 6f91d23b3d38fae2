"""What became of a request, as its service tells it: a plain record, and a message where it leaves the process."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hive_runtime.money import LARGEST
from modelhive.common.v1.common_pb2 import UsageSummary


class Summary(msgspec.Struct, frozen=True):
    """What was used, as far as that is known: the fields of `UsageSummary`. Nobody changes it.

    cost_nanos: what the caller owes for it, None where it is not known. calls: to deployments, that were made.
    cache, guard_verdict: numbers as in the contract (`modelhive.events.v1`). guards: those that read it.
    """

    model: str = ""
    provider: str = ""
    deployment: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    cost_nanos: int | None = None
    calls: int = 0
    cache: int = 0
    guards: Sequence[str] = ()
    guard_verdict: int = 0
    replayed: bool = False

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


def summary_of(told: UsageSummary) -> Summary:
    return Summary(
        told.model,
        told.provider,
        told.deployment,
        told.prompt_tokens,
        told.completion_tokens,
        told.estimated,
        told.cost_nanos if told.HasField("cost_nanos") else None,
        told.calls,
        told.cache,
        tuple(told.guards),
        told.guard_verdict,
        told.replayed,
    )


def message_of(summary: Summary) -> UsageSummary:
    """A cost that is larger than the contract can say becomes the largest one."""
    cost = summary.cost_nanos
    return UsageSummary(
        model=summary.model,
        provider=summary.provider,
        deployment=summary.deployment,
        prompt_tokens=summary.prompt_tokens,
        completion_tokens=summary.completion_tokens,
        estimated=summary.estimated,
        cost_nanos=None if cost is None else min(cost, LARGEST),
        calls=summary.calls,
        cache=summary.cache,
        guards=summary.guards,
        guard_verdict=summary.guard_verdict,
        replayed=summary.replayed,
    )
