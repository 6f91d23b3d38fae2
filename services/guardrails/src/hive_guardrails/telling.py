"""Tells what was decided: findings one by one and at once, what was allowed by count, about once a second.

An event for each guard of each request would cost more than the guards. What ran over which request stands in the
log of requests all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import uuid4

import structlog

from hive_bus import Bus
from hive_guardrails.deciding import VERDICTS, Outcome
from hive_guardrails.policies import Line
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError
from hive_runtime.guarding import Asker, Question, Stage, Verdict
from modelhive.events.v1.guard_pb2 import GuardDecided

log = structlog.get_logger(__name__)

SECONDS = 1.0
MOST = 20_000
"""Tenants, keys and models that are counted at most until it is told; more of them in a second are not counted."""


class _Same(NamedTuple):
    tenant_id: str
    key_id: str
    model: str
    stage: Stage
    guard: str
    version: str


class _Count:
    __slots__ = ("decisions", "microseconds", "scanned")

    def __init__(self) -> None:
        self.decisions = self.scanned = self.microseconds = 0

    def add(self, other: _Count) -> None:
        self.decisions += other.decisions
        self.scanned += other.scanned
        self.microseconds += other.microseconds


class Teller:
    """`run` in a task; `flush` at the end."""

    def __init__(
        self, bus: Bus, clock: Clock, new_id: Callable[[], str] = lambda: f"sum_{uuid4().hex}"
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._new_id = new_id
        self._allowed: dict[tuple[str, str, str, Line], list[_Count]] = {}
        """Of the guards of a line, one by one."""

    def note(self, question: Question, line: Line, outcome: Outcome) -> Sequence[GuardDecided]:
        """Count what allowed the texts; what is to be told at once is returned, for `tell`."""
        if not question.more:  # nothing of this stage follows: what allowed all of it has decided
            self._count(question.asker, line, outcome)
        if not outcome.categories:
            return ()
        now = self._now()
        return [_event(question.asker, line, outcome, place, now) for place in outcome.categories]

    async def tell(self, events: Iterable[GuardDecided]) -> None:
        for event in events:
            await self._publish(event)

    async def run(self) -> None:
        while True:
            await self._clock.sleep(SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Tell what was counted so far."""
        counted, self._allowed = self._allowed, {}
        now = self._now()
        for same, count in _by_guard(counted).items():
            event = GuardDecided(
                request_id=self._new_id(),
                tenant_id=same.tenant_id,
                key_id=same.key_id,
                model=same.model,
                guard=same.guard,
                version=same.version,
                stage=same.stage.value,  # type: ignore[arg-type]  # the same numbers, by its docstring
                verdict=Verdict.ALLOWED.value,  # type: ignore[arg-type]
                decided_unix_ms=now,
                duration_us=count.microseconds,
                scanned=count.scanned,
                decisions=count.decisions,
            )
            await self._publish(event)

    def _count(self, asker: Asker, line: Line, outcome: Outcome) -> None:
        whose = asker.tenant_id, asker.key_id, asker.model, line
        counts = self._allowed.get(whose)
        if counts is None:
            if len(self._allowed) >= MOST:
                return
            counts = self._allowed[whose] = [_Count() for _ in line.guards]
        ran = zip(counts, outcome.scanned, outcome.microseconds, strict=False)  # those that ran come first
        for place, (count, scanned, microseconds) in enumerate(ran):
            if place not in outcome.categories:
                count.decisions += 1
                count.scanned += scanned
                count.microseconds += microseconds

    async def _publish(self, event: GuardDecided) -> None:
        try:
            await self._bus.publish(event)
        except HiveError as error:  # the decision stands, and the log of requests has it
            log.warning("a guard's decision was not told", guard=event.guard, error=error.message)

    def _now(self) -> int:
        return round(self._clock.now() * 1000)


def _by_guard(counted: Mapping[tuple[str, str, str, Line], Sequence[_Count]]) -> Mapping[_Same, _Count]:
    """Together what one guard decided in several lines: of two policies, or as headers asked for it."""
    found: dict[_Same, _Count] = {}
    for (tenant_id, key_id, model, line), counts in counted.items():
        for guard, count in zip(line.guards, counts, strict=True):
            if count.decisions:
                same = _Same(tenant_id, key_id, model, line.stage, guard.name, guard.check.version)
                found.setdefault(same, _Count()).add(count)
    return found


def _event(asker: Asker, line: Line, outcome: Outcome, place: int, now_ms: int) -> GuardDecided:
    guard = line.guards[place]
    return GuardDecided(
        request_id=asker.request_id,
        tenant_id=asker.tenant_id,
        key_id=asker.key_id,
        model=asker.model,
        guard=guard.name,
        version=guard.check.version,
        stage=line.stage.value,  # type: ignore[arg-type]  # the same numbers, by its docstring
        verdict=VERDICTS[guard.action].value,  # type: ignore[arg-type]
        decided_unix_ms=now_ms,
        duration_us=outcome.microseconds[place],
        categories=outcome.categories[place],
        scanned=outcome.scanned[place],
        decisions=1,
    )
