"""What the suites share: the bus under test, handlers that remember, and waiting with a bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import islice
from typing import ClassVar, Generic, TypeVar
from uuid import uuid4

import pytest
from google.protobuf.message import Message

from hive_bus.port import Bus
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import OnFailure

T = TypeVar("T")
OpenBus = Callable[[OnFailure], Awaitable[Bus]]
Restart = Callable[[], Awaitable[Bus]]

# Far above what any adapter needs: it only ends a test that has failed.
PATIENCE = 30.0
PAUSE = 0.002


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Return once the condition holds; AssertionError after `PATIENCE` seconds."""
    for _ in range(int(PATIENCE / PAUSE)):
        if condition():
            return
        await asyncio.sleep(PAUSE)
    raise AssertionError(f"waited {PATIENCE:g} s in vain: {what}")


class Listener(Generic[T]):
    """A handler that remembers its calls, can be held inside them, and fails where it is told to."""

    def __init__(self, fails: Callable[[T], bool] = lambda _: False) -> None:
        self.got: list[T] = []
        self.done: list[T] = []
        self.running = 0
        self.most = 0
        self._fails = fails
        self._free = asyncio.Event()
        self._free.set()

    async def __call__(self, item: T) -> None:
        self.got.append(item)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self._free.wait()
            if self._fails(item):
                raise ValueError("this one is poison")
            self.done.append(item)
        finally:
            self.running -= 1

    def hold(self) -> None:
        """Keep calls inside from now on."""
        self._free.clear()

    def let_go(self) -> None:
        self._free.set()

    async def until_done(self, count: int) -> None:
        await eventually(lambda: len(self.done) >= count, f"{count} handled, now {self.done}")

    async def until_running(self, count: int) -> None:
        await eventually(lambda: self.running >= count, f"{count} handlers at once, now {self.running}")


class BusConformance:
    """What an adapter declares about itself.

    queue_bound: how many records may wait for a group before publishing is refused; None where publishing
        never is, because the broker's disk holds what waits.
    persistent: whether records outlive the bus object, for another one that `open_bus` opens.
    """

    queue_bound: ClassVar[int | None] = None
    persistent: ClassVar[bool] = False

    @pytest.fixture
    def open_bus(self) -> OpenBus:
        raise NotImplementedError("the adapter's tests provide this fixture")

    @pytest.fixture
    def reports(self) -> list[BaseException]:
        """The failures that the bus reported."""
        return []

    @pytest.fixture
    async def bus(self, open_bus: OpenBus, reports: list[BaseException]) -> AsyncIterator[Bus]:
        bus = await open_bus(lambda name, error: reports.append(error))
        yield bus
        await bus.close()

    @pytest.fixture
    async def restart(self, bus: Bus, open_bus: OpenBus) -> AsyncIterator[Restart]:
        """Gives the bus that the next process would have: the same one where nothing outlives it."""
        opened: list[Bus] = []

        async def restart() -> Bus:
            if not self.persistent:
                return bus
            await bus.close()
            opened.append(await open_bus(lambda name, error: None))
            return opened[-1]

        yield restart
        for other in opened:
            await other.close()

    async def publish_until_refused(
        self, bus: Bus, records: Iterator[Message], words: tuple[str, ...]
    ) -> int:
        """How many records were taken. A refusal must come at the bound, and say what is full."""
        taken = 0
        # One more than the bound may be with the handler, and one more is refused.
        for record in islice(records, 300 if self.queue_bound is None else self.queue_bound + 2):
            try:
                await bus.publish(record)
            except HiveError as refused:
                assert refused.kind is Kind.UNAVAILABLE
                assert refused.retry_after
                assert all(word in refused.message for word in words)
                break
            taken += 1
        if self.queue_bound is None:
            assert taken == 300
        else:
            assert self.queue_bound <= taken <= self.queue_bound + 1
        return taken

    @pytest.fixture
    def lane(self) -> str:
        return unique("lane")

    @pytest.fixture
    def group(self) -> str:
        return unique("group")


def unique(word: str) -> str:
    return f"{word}-{uuid4().hex}"
