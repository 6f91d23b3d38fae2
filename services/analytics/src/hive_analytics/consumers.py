"""Hears what was used, posted, decided and logged, in batches that are acknowledged once they are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from google.protobuf.message import Message

from hive_analytics.intake import Intake
from hive_bus import Batch, Bus, Subscription
from hive_runtime import tracing
from hive_runtime.clock import Clock
from modelhive.events.v1.guard_pb2 import GuardDecided
from modelhive.events.v1.ledger_pb2 import LedgerPosted
from modelhive.events.v1.usage_pb2 import RequestLogged, UsageRecorded

GROUP = "analytics"
EVENTS: Mapping[str, type[Message]] = {
    "usage": UsageRecorded,
    "ledger": LedgerPosted,
    "guard": GuardDecided,
    "requests": RequestLogged,
}
BREATH = 0.02
"""Seconds that a bus takes at most to hand over the next batch when the one before it is done."""


@dataclass(slots=True)
class _InHand:
    since: float
    full: bool
    done: asyncio.Event


class Consumer:
    """One topic, by the family that its events are kept as."""

    def __init__(self, family: str, batch: Batch, intake: Intake, clock: Clock) -> None:
        self._family = family
        self._batch = batch
        self._intake = intake
        self._clock = clock
        self._in_hand: _InHand | None = None

    async def take(self, events: Sequence[Message]) -> None:
        """Returns when the events are kept; raises HiveError `invalid` where one is none that can be."""
        mine = _InHand(self._clock.monotonic(), len(events) >= self._batch.size, asyncio.Event())
        self._in_hand = mine
        try:
            with self._inserting(events) if tracing.is_on() else tracing.OFF:
                await self._intake.take(self._family, [event.SerializeToString() for event in events])
        finally:
            self._in_hand = None
            mine.done.set()

    def _inserting(self, events: Sequence[Message]) -> AbstractContextManager[tracing.Span]:
        """The step in the traces of the requests that these events are of."""
        attributes: dict[str, tracing.Value] = {
            "db.system.name": "clickhouse",
            "db.operation.name": "INSERT",
            "db.collection.name": self._family,
            "db.operation.batch.size": len(events),
        }
        traceparents = [event.traceparent for event in events if isinstance(event, UsageRecorded)]
        return tracing.batch(f"INSERT {self._family}", traceparents, tracing.Role.CLIENT, attributes)

    async def settled(self) -> None:
        """Returns when all that was published before is kept."""
        # On a busy machine whoever gathers the batch may hear of the last events only now, and time counts from then.
        await self._clock.sleep(BREATH)
        asked = self._clock.monotonic()
        await self._clock.sleep(self._batch.seconds + BREATH)
        await self._clock.sleep(BREATH)  # the loop may have come late to both timers, and to this one first
        # By now nothing of it waits for company: it was handed over, or is behind the batch that is in hand.
        while (batch := self._in_hand) is not None:
            await batch.done.wait()
            if batch.since > asked + self._batch.seconds and not batch.full:
                return
            await self._clock.sleep(BREATH)


class Consumers:
    def __init__(self, batch: Batch, intake: Intake, clock: Clock) -> None:
        self._batch = batch
        self._each = {family: Consumer(family, batch, intake, clock) for family in EVENTS}
        self._subscriptions: dict[str, Subscription] = {}

    async def subscribe(self, bus: Bus) -> None:
        for family, kind in EVENTS.items():
            self._subscriptions[family] = await bus.subscribe_batches(
                kind, GROUP, self._each[family].take, self._batch
            )

    @property
    def failure(self) -> str | None:
        """Why one of them hears nothing any more."""
        failures = (each.failure for each in self._subscriptions.values())
        return next((str(failure) for failure in failures if failure), None)

    async def settled(self) -> None:
        """Returns when all events that were published before are kept."""
        await asyncio.gather(*(each.settled() for each in self._each.values()))

    async def close(self) -> None:
        await asyncio.gather(*(each.close() for each in self._subscriptions.values()))
