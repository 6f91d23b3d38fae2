"""When rollups are made anew: some time after rows came, at the latest when somebody asks for what they say.

A round costs about as much for a few rows as for thousands. Where nobody else writes to the store or reads it, few rows
wait until a question is asked, and nobody sees that they do.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Protocol

import structlog

from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError

log = structlog.get_logger(__name__)

HOURS_AT_ONCE = 24
LONGEST_SHARE = 50
"""The pause after a round is at least so many times as long as the round took."""
MANY_ROWS = 50_000
LATEST_SECONDS = 300.0
"""So many rows wait for no question, and none waits longer: else the question would have to."""
PATIENCE_SECONDS = 5.0
"""How long a question waits for a round; then it is answered by what there is."""


class Refreshable(Protocol):
    async def refresh(self, hours: int) -> int:
        """Gives how many hours are left."""
        ...


class Waiting:
    """The rows that came since the last round began. since: when the first of them came, in monotonic seconds."""

    def __init__(self, clock: Clock) -> None:
        self.rows = 0
        self.since = 0.0
        self.some = asyncio.Event()
        """Set while there are any."""
        self._clock = clock

    def add(self, rows: int) -> None:
        if not self.some.is_set():
            self.since = self._clock.monotonic()
            self.some.set()
        self.rows += rows

    def put_back(self, rows: int, since: float) -> None:
        """They are still to be rolled up."""
        self.add(rows)
        self.since = since

    def clear(self) -> None:
        self.rows = 0
        self.some.clear()


class Rollups:
    def __init__(
        self, store: Refreshable, waiting: Waiting, clock: Clock, seconds: float, *, lazily: bool
    ) -> None:
        """seconds: the least pause between two rounds. lazily: few rows wait until somebody asks."""
        self._store = store
        self._waiting = waiting
        self._clock = clock
        self._seconds = seconds
        self._pause = seconds
        self._lazily = lazily
        self._asked = asyncio.Event()
        self._rolling: float | None = None
        """When the first of the rows came that a round is at, in monotonic seconds."""
        self._ended = asyncio.Event()
        """Of the round that runs, or the next one."""
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Until it is cancelled. A round that fails is tried again: its hours stay marked."""
        while True:
            await self._waiting.some.wait()
            await self._clock.sleep(self._pause)
            while self._lazily and not self._is_due():
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._seconds):
                        await self._asked.wait()
            self._asked.clear()
            try:
                await self.catch_up()
            except HiveError as error:
                log.warning("rollups are late", error=error.message)

    async def fresh(self) -> None:
        """Returns when no row has waited longer for its rollups than from one round to the next.

        Where questions come together, the first of them has the round made, and all wait for its end.
        """
        if not self._lazily:
            return
        if self._waiting.some.is_set() and self._is_old(self._waiting.since):
            self._asked.set()
        elif self._rolling is None or not self._is_old(self._rolling):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._ended.wait()

    async def catch_up(self) -> None:
        """Returns when all rows that were there before are rolled up. Raises HiveError."""
        async with self._turn:
            waiting, began = self._waiting, self._clock.monotonic()
            if not waiting.some.is_set():
                self._end()
                return
            rows, since = waiting.rows, waiting.since
            self._rolling = since
            waiting.clear()
            try:
                while await self._store.refresh(HOURS_AT_ONCE):
                    pass
            except BaseException:
                waiting.put_back(rows, since)
                raise
            finally:
                took = self._clock.monotonic() - began
                self._pause = max(self._seconds, took * LONGEST_SHARE)
                self._rolling = None
                self._end()

    def _end(self) -> None:
        ended, self._ended = self._ended, asyncio.Event()
        ended.set()

    def _is_due(self) -> bool:
        waiting = self._waiting
        if self._asked.is_set() or not waiting.some.is_set():
            return True
        return waiting.rows >= MANY_ROWS or self._age(waiting.since) >= max(LATEST_SECONDS, self._pause)

    def _is_old(self, since: float) -> bool:
        """Whether rows have waited from one round to the next that came then."""
        return self._age(since) >= self._pause

    def _age(self, since: float) -> float:
        return self._clock.monotonic() - since
