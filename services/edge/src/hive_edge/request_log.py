"""One line per request for operators: who asked what, and how it ended. The door to the topic of them.

It costs a request nothing but a place in a queue. Where the queue is full, lines are dropped and counted: nobody
pays by them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from typing import NamedTuple

import structlog
from prometheus_client import Counter

from hive_bus.port import Bus
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError
from modelhive.common.v1.common_pb2 import UsageSummary
from modelhive.events.v1.guard_pb2 import GuardVerdict
from modelhive.events.v1.usage_pb2 import CacheStatus, RequestLogged

log = structlog.get_logger(__name__)

MAX_WAITING = 20_000
MAX_MESSAGE_CHARS = 500
PAUSE_SECONDS = 1.0
TOGETHER = 64
LINGER_SECONDS = 0.05
"""A line waits so long for others: nobody is in a hurry for it, and together they cost much less."""


class Line(NamedTuple):
    """One request that has ended.

    started: Unix seconds. seconds: to its end; first_byte: to the first byte of its answer, None where none came.
    """

    request_id: str
    tenant_id: str
    key_id: str
    method: str
    path: str
    status: int
    error: HiveError | None
    client_gone: bool
    started: float
    seconds: float
    first_byte: float | None
    request_bytes: int
    response_bytes: int
    usage: UsageSummary | None
    tags: tuple[str, ...]


class RequestLog:
    """Takes lines at once and publishes them in their order, as fast as the bus takes them."""

    def __init__(self, bus: Bus, clock: Clock, dropped: Counter) -> None:
        self._bus = bus
        self._clock = clock
        self._dropped = dropped
        self._waiting: deque[Line] = deque()
        self._more = asyncio.Event()

    def add(self, line: Line) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._dropped.inc()
            return
        self._waiting.append(line)
        self._more.set()

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
                taken = await self._bus.publish_all(
                    [_message(line) for line in islice(self._waiting, TOGETHER)]
                )
            except HiveError as error:
                log.warning("request lines wait for the bus", error=error.message)
                await self._clock.sleep(PAUSE_SECONDS)
            else:
                for _ in range(taken):
                    self._waiting.popleft()


def _message(line: Line) -> RequestLogged:
    # One by one: the constructor takes nearly twice as long.
    message = RequestLogged()
    message.request_id = line.request_id
    message.tenant_id = line.tenant_id
    message.key_id = line.key_id
    message.method = line.method
    message.path = line.path
    message.status = line.status
    message.client_gone = line.client_gone
    message.started_unix_ms = int(line.started * 1000)
    message.duration_us = int(line.seconds * 1_000_000)
    message.request_bytes = line.request_bytes
    message.response_bytes = line.response_bytes
    if line.tags:
        message.tags.extend(line.tags)
    if line.first_byte is not None:
        message.first_byte_us = int(line.first_byte * 1_000_000)
    if line.error is not None:
        message.error = line.error.kind.label
        message.error_message = line.error.message[:MAX_MESSAGE_CHARS]
    if (usage := line.usage) is not None:
        message.model = usage.model
        message.provider = usage.provider
        message.deployment = usage.deployment
        message.calls = usage.calls
        message.cache = CacheStatus.ValueType(usage.cache)
        message.guards.extend(usage.guards)
        message.guard_verdict = GuardVerdict.ValueType(usage.guard_verdict)
        message.replayed = usage.replayed
    return message
