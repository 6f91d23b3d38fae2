"""Tells what was decided: findings one by one and at once, what was allowed by count, about once a second.

An event for each guard of each request would cost more than the guards. What ran over which request stands in the
log of requests all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple
from uuid import uuid4

import structlog

from hive_bus import Bus
from hive_guardrails.deciding import Decision, Stage, Verdict, Verdicts
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError
from modelhive.events.v1.guard_pb2 import GuardDecided

log = structlog.get_logger(__name__)

SECONDS = 1.0
MOST = 50_000
"""Counts that are kept at most until they are told; more tenants, keys and models in a second are not counted."""


class About(NamedTuple):
    """Whose texts were decided about."""

    request_id: str
    tenant_id: str
    key_id: str
    model: str
    stage: Stage


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


class Teller:
    """`run` in a task; `flush` at the end."""

    def __init__(
        self, bus: Bus, clock: Clock, new_id: Callable[[], str] = lambda: f"sum_{uuid4().hex}"
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._new_id = new_id
        self._allowed: dict[_Same, _Count] = {}

    def note(self, about: About, decision: Decision, *, last: bool) -> list[GuardDecided]:
        """Count what allowed the texts; what is to be told at once is returned, for `tell`.

        last: nothing of this stage follows, so what allowed all of it has decided.
        """
        events = []
        for each in decision.ran:
            if each.verdict is not Verdict.ALLOWED:
                events.append(_event(about, each, self._now()))
            elif last:
                self._count(about, each)
        return events

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
        for same, count in counted.items():
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

    def _count(self, about: About, each: Verdicts) -> None:
        check = each.guard.check
        same = _Same(about.tenant_id, about.key_id, about.model, about.stage, check.name, check.version)
        count = self._allowed.get(same)
        if count is None:
            if len(self._allowed) >= MOST:
                return
            count = self._allowed[same] = _Count()
        count.decisions += 1
        count.scanned += each.scanned
        count.microseconds += each.microseconds

    async def _publish(self, event: GuardDecided) -> None:
        try:
            await self._bus.publish(event)
        except HiveError as error:  # the decision stands, and the log of requests has it
            log.warning("a guard's decision was not told", guard=event.guard, error=error.message)

    def _now(self) -> int:
        return round(self._clock.now() * 1000)


def _event(about: About, each: Verdicts, now_ms: int) -> GuardDecided:
    return GuardDecided(
        request_id=about.request_id,
        tenant_id=about.tenant_id,
        key_id=about.key_id,
        model=about.model,
        guard=each.guard.name,
        version=each.guard.check.version,
        stage=about.stage.value,  # type: ignore[arg-type]  # the same numbers, by its docstring
        verdict=each.verdict.value,  # type: ignore[arg-type]
        decided_unix_ms=now_ms,
        duration_us=each.microseconds,
        categories=each.categories,
        scanned=each.scanned,
        decisions=1,
    )
