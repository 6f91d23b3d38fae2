"""One line per request for operators: who asked what, and how it ended. The door to the topic of them.

It costs a request nothing but a place in a queue. Where the queue is full, lines are dropped and counted: nobody
pays by them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice

import structlog
from prometheus_client import Counter

from hive_bus.port import Bus
from hive_relay.summary import Summary
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError
from modelhive.events.v1.guard_pb2 import GuardVerdict
from modelhive.events.v1.usage_pb2 import CacheStatus, RequestLogged

log = structlog.get_logger(__name__)

MAX_WAITING = 20_000
MAX_MESSAGE_CHARS = 500
PAUSE_SECONDS = 1.0
TOGETHER = 64
LINGER_SECONDS = 0.05
"""A line waits so long for others: nobody is in a hurry for it, and together they cost much less."""


class RequestLog:
    """Takes lines at once and publishes them in their order, as fast as the bus takes them."""

    def __init__(self, bus: Bus, clock: Clock, dropped: Counter) -> None:
        self._bus = bus
        self._clock = clock
        self._dropped = dropped
        self._waiting: deque[RequestLogged] = deque()
        self._more = asyncio.Event()

    def add(self, line: RequestLogged) -> None:
        waiting = self._waiting
        if not waiting:
            self._more.set()
        elif len(waiting) >= MAX_WAITING:
            self._dropped.inc()
            return
        waiting.append(line)

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._more.wait()
            await self._clock.sleep(LINGER_SECONDS)
            self._more.clear()
            await self.flush()

    async def flush(self) -> None:
        """Publish what waits; what the bus does not take now waits on."""
        while self._waiting:
            try:
                taken = await self._bus.publish_all([*islice(self._waiting, TOGETHER)])
            except HiveError as error:
                log.warning("request lines wait for the bus", error=error.message)
                await self._clock.sleep(PAUSE_SECONDS)
            else:
                for _ in range(taken):
                    self._waiting.popleft()


def conclude(line: RequestLogged, error: HiveError | None, usage: Summary | None) -> None:
    """Say on the line what its request ended with, and what it used; None: nothing is known."""
    if error is not None:
        line.error = error.kind.label
        line.error_message = error.message[:MAX_MESSAGE_CHARS]
    if usage is not None:
        # One by one: the constructor takes nearly twice as long.
        line.model = usage.model
        line.provider = usage.provider
        line.deployment = usage.deployment
        line.calls = usage.calls
        if usage.cache:
            line.cache = CacheStatus.ValueType(usage.cache)
        if usage.guards:
            line.guards.extend(usage.guards)
        if usage.guard_verdict:
            line.guard_verdict = GuardVerdict.ValueType(usage.guard_verdict)
        if usage.replayed:
            line.replayed = True
