"""A bus, billing and analytics that do as they are told, and a clock that stands still until it is moved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from hive_bus import Bus
from hive_routing.attempts import Attempt, Outcome
from hive_routing.journal import Journal
from hive_routing.prices import PriceTag
from hive_routing.recovery import recover
from hive_routing.telling import Pace
from hive_routing.usage_log import JournaledLog
from hive_runtime.errors import HiveError, Kind
from hive_runtime.money import Tariff
from hive_runtime.tasks import Tasks
from modelhive.billing.v1.leases_pb2 import ReturnRequest, ReturnResponse, SettleRequest, SettleResponse
from modelhive.events.v1.receipts_pb2 import KeptRequest, KeptResponse
from modelhive.events.v1.usage_pb2 import UsageRecorded

START_MS = 1_790_000_000_000
MODEL = PriceTag("model/small", 7, Tariff.of([("prompt", 1_000_000, 0), ("completion", 2_000_000, 0)]))
DEPLOYMENT = PriceTag(
    "deployment/sim/small", 8, Tariff.of([("prompt", 500_000, 0), ("completion", 1_500_000, 0)])
)


class HandClock:
    """Time passes when `move` or `until` says so."""

    def __init__(self) -> None:
        self.time = 5000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return START_MS / 1000 + self.time - 5000.0

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return await asyncio.sleep(0)
        waiter = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.time + seconds, waiter))
        await waiter
        return None

    def move(self, seconds: float) -> None:
        self.time += seconds
        due = [sleeper for sleeper in self._sleepers if sleeper[0] <= self.time]
        self._sleepers = [sleeper for sleeper in self._sleepers if sleeper[0] > self.time]
        for _, waiter in due:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, condition: Callable[[], object]) -> None:
        """Let time pass from one sleeper's end to the next until this is true."""
        async with asyncio.timeout(20):
            while not condition():
                for _ in range(20):  # what is ready, and files that threads read and write, come first
                    await asyncio.sleep(0.0002)
                    if condition():
                        return
                if self._sleepers:
                    self.move(max(0.0, min(due for due, _ in self._sleepers) - self.time))


class Receiver:
    """Keeps what it hears; its receipt stops before the first sequence that it misses."""

    def __init__(self) -> None:
        self.heard: dict[str, dict[int, bytes]] = {}
        self.deaf = False
        self.away = False
        self.asked = 0

    def take(self, event: UsageRecorded) -> None:
        if not self.deaf:
            self.heard.setdefault(event.holder, {}).setdefault(event.sequence, event.SerializeToString())

    def through(self, holder: str) -> int:
        sequence, events = 0, self.heard.get(holder, {})
        while sequence + 1 in events:
            sequence += 1
        return sequence

    async def Kept(self, request: KeptRequest, timeout: float | None = None) -> KeptResponse:
        self.asked += 1
        if self.away:
            raise HiveError(Kind.UNAVAILABLE, "nobody serves here")
        return KeptResponse(through_sequence=self.through(request.holder))


class Billing(Receiver):
    def __init__(self) -> None:
        super().__init__()
        self.settled: list[int] = []
        self.returned: list[str] = []

    async def Settle(self, request: SettleRequest, timeout: float | None = None) -> SettleResponse:
        if self.away:
            raise HiveError(Kind.UNAVAILABLE, "nobody serves here")
        for event in request.events:
            self.settled.append(event.sequence)
            self.take(event)
        return SettleResponse()

    async def Return(self, request: ReturnRequest, timeout: float | None = None) -> ReturnResponse:
        if self.away:
            raise HiveError(Kind.UNAVAILABLE, "nobody serves here")
        assert request.settled
        self.returned.append(request.holder)
        return ReturnResponse()


class FakeBus:
    """published: every event, in order. away, full: what stands in the way."""

    def __init__(self, *receivers: Receiver) -> None:
        self.published: list[UsageRecorded] = []
        self.away = False
        self.full = False
        self.refused = 0
        self._receivers = receivers

    @property
    def sequences(self) -> list[int]:
        return [event.sequence for event in self.published]

    async def publish(self, message: UsageRecorded) -> None:
        if self.away or self.full:
            self.refused += 1
            raise HiveError(Kind.UNAVAILABLE, "not now", retry_after=0.5 if self.full else None)
        self.published.append(message)
        for receiver in self._receivers:
            receiver.take(message)

    async def publish_all(self, messages: Sequence[UsageRecorded]) -> int:
        for taken, message in enumerate(messages):
            try:
                await self.publish(message)
            except HiveError:
                if not taken:
                    raise
                return taken
        return len(messages)


class World:
    """One process's journal in front of the two that keep usage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = HandClock()
        self.billing = Billing()
        self.analytics = Receiver()
        self.bus = FakeBus(self.billing, self.analytics)
        self.failures: list[BaseException] = []
        self.tasks = Tasks(lambda name, error: self.failures.append(error))

    @property
    def receipts(self) -> dict[str, Receiver]:
        return {"billing": self.billing, "analytics": self.analytics}

    def log(self, journal: Journal, pace: Pace = Pace()) -> JournaledLog:
        return JournaledLog(journal, cast(Bus, self.bus), self.receipts, self.billing, self.clock, pace)

    async def recover(self, seconds: float = 10.0) -> bool:
        """What recovery says, while time passes."""
        bus = cast(Bus, self.bus)
        recovery = self.tasks.spawn(
            recover(self.folder, bus, self.receipts, self.billing, self.clock, self.tasks, seconds=seconds),
            "recovery",
        )
        await self.clock.until(recovery.done)
        return recovery.result()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path / "journal")
    yield world
    await world.tasks.close()
    assert world.failures == []


@pytest.fixture
def make_attempt() -> Callable[..., Attempt]:
    def make(number: int = 1, **fields: Any) -> Attempt:
        given: dict[str, Any] = {
            "request_id": f"req_{number}",
            "attempt": 1,
            "call": 1,
            "tenant_id": "default",
            "key_id": "key_a",
            "endpoint": "chat/completions",
            "model": "small",
            "provider": "sim",
            "deployment": "sim/small",
            "started_ms": START_MS,
            "streamed": True,
            "prompt": {"prompt": 10},
            "price": MODEL,
            "provider_price": DEPLOYMENT,
            "scopes": ("wallet:default",),
            "held": 50_000,
            "tags": ("blue",),
        }
        return Attempt(**(given | fields))

    return make


@pytest.fixture
def answered() -> Callable[[Attempt], Attempt]:
    def answer(attempt: Attempt) -> Attempt:
        attempt.outcome = Outcome.ANSWERED
        attempt.units = {"prompt": 10, "completion": 5}
        attempt.cost = attempt.price.cost(attempt.units)
        attempt.provider_cost = attempt.provider_price.cost(attempt.units)
        attempt.carried = attempt.cost
        attempt.duration_us = 1234
        attempt.last = True
        return attempt

    return answer
