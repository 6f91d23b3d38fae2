"""One kind of request to one address over a fixed set of connections, and the account of how it went."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from time import perf_counter

import msgspec

from benchmarks.bodies import Kind
from benchmarks.connection import Connection
from benchmarks.exchange import Exchange, LoopExchange, StreamExchange, exchange
from benchmarks.figures import Quantiles, quantiles


class Lane:
    """`requests` is where the requests come from, `turns` where the second ones of loops do.

    Latencies run from the scheduled time of each.
    """

    def __init__(
        self, name: str, port: int, kind: Kind, requests: Iterator[bytes], turns: Iterator[bytes] = iter(())
    ) -> None:
        self.name = name
        self.kind = kind
        self._port = port
        self._requests = requests
        self._turns = turns
        self._exchanges: list[Exchange] = []
        self._open: set[Connection] = set()
        self._free: deque[Connection] = deque()
        self._waiting: deque[Exchange] = deque()
        self._unanswered = 0
        self._repeat_until = 0.0
        self._idle = asyncio.Event()

    async def connect(self, count: int) -> None:
        """Open the connections, one after the other: a burst would overflow a small accept queue."""
        loop = asyncio.get_running_loop()
        for _ in range(count):
            _, connection = await loop.create_connection(
                lambda: Connection(self._ended, self._lost), "127.0.0.1", self._port
            )
            self._open.add(connection)
            self._free.append(connection)

    def send(self, scheduled: float) -> None:
        """Send now, or as soon as a connection is free; the latency counts from `scheduled` either way."""
        one = exchange(self.kind, scheduled)
        self._exchanges.append(one)
        self._unanswered += 1
        self._idle.clear()
        self._waiting.append(one)
        self._serve()

    def saturate(self, seconds: float) -> None:
        """Closed loop: each connection sends its next request when its last one is answered."""
        now = perf_counter()
        self._repeat_until = now + seconds
        for _ in range(len(self._free)):
            self.send(now)

    async def settle(self, timeout: float) -> None:
        """Wait for the answers that are missing; what does not come in time has failed."""
        if not self._unanswered:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            self._repeat_until = 0.0
            for each in self._open:
                each.abort()
            await self._idle.wait()

    def waits_for_content(self) -> bool:
        """Is there a stream that has neither content nor failed?"""
        return any(isinstance(each, StreamExchange) and not each.begun for each in self._exchanges)

    def account(self) -> Account:
        return account(self.name, self._exchanges)

    def _serve(self) -> None:
        while self._waiting and self._free:
            self._free.popleft().send(next(self._requests), self._waiting.popleft())
        if not self._open:
            self._give_up()

    def _give_up(self) -> None:
        while self._waiting:
            lost = self._waiting.popleft()
            lost.fail("no connection is left", perf_counter())
            self._answered()

    def _ended(self, connection: Connection, one: Exchange) -> None:
        if isinstance(one, LoopExchange) and one.goes_on:
            connection.send(next(self._turns), one)
            return
        if connection in self._open:
            self._free.append(connection)
            if one.ended < self._repeat_until:
                self.send(one.ended)
        self._serve()
        self._answered()

    def _answered(self) -> None:
        self._unanswered -= 1
        if not self._unanswered:
            self._idle.set()

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._free:
            self._free.remove(connection)
        self._serve()


class Account(msgspec.Struct, frozen=True):
    """How a lane went. Durations in milliseconds; only exchanges without fault are in the quantiles."""

    name: str
    count: int
    errors: int
    first_error: str
    seconds: float
    """From the first request sent to the last answer."""
    latency: Quantiles
    late: Quantiles
    """How long after its scheduled time a request left: whether the generator kept up."""
    chunks: int
    first: Quantiles
    """To the first content of a stream."""
    gap: Quantiles
    """Between two chunks of a stream."""


def account(name: str, ended: list[Exchange]) -> Account:
    good = [each for each in ended if each.fault is None]
    faults = [each.fault for each in ended if each.fault is not None]
    streams = [each for each in good if isinstance(each, StreamExchange)]
    return Account(
        name=name,
        count=len(good),
        errors=len(faults),
        first_error=faults[0] if faults else "",
        seconds=max(each.ended for each in good) - min(each.sent for each in good) if good else 0.0,
        latency=quantiles(each.ended - each.scheduled for each in good),
        late=quantiles(each.sent - each.scheduled for each in good),
        chunks=sum(each.chunks for each in streams),
        first=quantiles(each.first - each.scheduled for each in streams),
        gap=quantiles(gap for each in streams for gap in each.gaps),
    )
