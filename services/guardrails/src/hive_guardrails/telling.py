"""Tells what was decided: findings one by one and at once, what was allowed by count, about once a second.

An event for each guard of each request would cost more than the guards. What ran over which request stands in the
log of requests all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar
from uuid import uuid4

import structlog

from hive_bus import Bus
from hive_guardrails.deciding import VERDICTS, Outcome, categories
from hive_guardrails.policies import Guard, Line
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError
from hive_runtime.guarding import Asker, Question, Stage, Verdict
from modelhive.events.v1.guard_pb2 import GuardDecided

log = structlog.get_logger(__name__)

T = TypeVar("T", int, float)

SECONDS = 1.0
TOGETHER = 64
"""Decisions of the same line that are summed up at once."""
MOST = 20_000
"""Tenants, keys and models that are counted at most until it is told; more of them in a second are not counted."""


class _Same(NamedTuple):
    tenant_id: str
    key_id: str
    model: str
    stage: Stage
    guard: str
    version: str


_Whose = tuple[str, str, str, Line, tuple[int, ...]]
"""Tenant, key, model; the line of guards that decided, and the places of those that allowed."""


class _Count:
    """said: characters by their origins. seconds: of the guards of a line, one by one. `sum_up` before reading them."""

    __slots__ = ("_noted", "decisions", "said", "seconds")

    def __init__(self, outcome: Outcome) -> None:
        self.decisions = 1
        self.said = outcome.said
        self.seconds = outcome.seconds
        self._noted: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        self._noted.append(outcome)
        if len(self._noted) == TOGETHER:
            self.sum_up()

    def sum_up(self) -> None:
        noted, self._noted = self._noted, []
        self.decisions += len(noted)
        self.said = _summed([self.said, *[each.said for each in noted]])
        self.seconds = _summed([self.seconds, *[each.seconds for each in noted]])


class _Sum:
    """Of one guard."""

    __slots__ = ("decisions", "scanned", "seconds")

    def __init__(self) -> None:
        self.decisions = self.scanned = 0
        self.seconds = 0.0


class Teller:
    """`run` in a task; `flush` at the end."""

    def __init__(
        self, bus: Bus, clock: Clock, new_id: Callable[[], str] = lambda: f"sum_{uuid4().hex}"
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._new_id = new_id
        self._allowed: dict[_Whose, _Count] = {}

    def note(self, question: Question, line: Line, outcome: Outcome) -> Sequence[GuardDecided]:
        """Count what allowed the texts; what is to be told at once is returned, for `tell`."""
        if not question.more:  # nothing of this stage follows: what allowed all of it has decided
            self._count(question.asker, line, outcome)
        if not outcome.new:
            return ()
        now = self._now()
        return [_event(question.asker, line, outcome, place, now) for place in outcome.new]

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
        for same, total in _by_guard(counted).items():
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
                duration_us=_microseconds(total.seconds),
                scanned=total.scanned,
                decisions=total.decisions,
            )
            await self._publish(event)

    def _count(self, asker: Asker, line: Line, outcome: Outcome) -> None:
        places = _that_allowed(outcome) if outcome.new else line.places
        whose = asker.tenant_id, asker.key_id, asker.model, line, places
        count = self._allowed.get(whose)
        if count is not None:
            count.add(outcome)
        elif len(self._allowed) < MOST:
            self._allowed[whose] = _Count(outcome)

    async def _publish(self, event: GuardDecided) -> None:
        try:
            await self._bus.publish(event)
        except HiveError as error:  # the decision stands, and the log of requests has it
            log.warning("a guard's decision was not told", guard=event.guard, error=error.message)

    def _now(self) -> int:
        return round(self._clock.now() * 1000)


def _summed(rows: Iterable[Sequence[T]]) -> Sequence[T]:
    """Column by column, as far as all rows have them: who was blocked by a guard was not read by those behind it."""
    return [*map(sum, zip(*rows, strict=False))]


def _that_allowed(outcome: Outcome) -> tuple[int, ...]:
    return tuple(place for place in range(len(outcome.seconds)) if place not in outcome.new)


def _by_guard(counted: Mapping[_Whose, _Count]) -> Mapping[_Same, _Sum]:
    """Together what one guard decided in several lines: by two policies, or as headers asked for it."""
    sums: dict[_Same, _Sum] = {}
    for (tenant_id, key_id, model, line, places), count in counted.items():
        count.sum_up()
        for place in places:
            guard = line.guards[place]
            same = _Same(tenant_id, key_id, model, line.stage, guard.name, guard.check.version)
            total = sums.setdefault(same, _Sum())
            total.decisions += count.decisions
            total.scanned += _scanned(guard, count.said)
            total.seconds += count.seconds[place]
    return sums


def _scanned(guard: Guard, said: Sequence[int]) -> int:
    """Characters that it reads. said: by their origins."""
    return sum([said[origin] for origin in guard.check.reads])


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
        duration_us=_microseconds(outcome.seconds[place]),
        categories=categories(outcome.new[place]),
        scanned=_scanned(guard, outcome.said),
        decisions=1,
    )


def _microseconds(seconds: float) -> int:
    return int(seconds * 1e6)
