"""When rollups are made anew: some time after rows came, and at once where somebody waits for them."""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError

log = structlog.get_logger(__name__)

HOURS_AT_ONCE = 24
LONGEST_SHARE = 50
"""The pause after a round is at least so many times as long as the round took."""


class Refreshable(Protocol):
    async def refresh(self, hours: int) -> int:
        """Gives how many hours are left."""
        ...


class Rollups:
    def __init__(self, store: Refreshable, behind: asyncio.Event, clock: Clock, seconds: float) -> None:
        """behind: set whenever rows came. seconds: the least pause between two rounds."""
        self._store = store
        self._behind = behind
        self._clock = clock
        self._seconds = seconds
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Until it is cancelled. A round that fails is tried again: its hours stay marked."""
        took = 0.0
        while True:
            await self._behind.wait()
            await self._clock.sleep(max(self._seconds, took * LONGEST_SHARE))
            began = self._clock.monotonic()
            try:
                await self.catch_up()
            except HiveError as error:
                log.warning("rollups are late", error=error.message)
            took = self._clock.monotonic() - began

    async def catch_up(self) -> None:
        """Returns when all rows that were there before are rolled up. Raises HiveError."""
        async with self._turn:
            if not self._behind.is_set():
                return
            self._behind.clear()
            try:
                while await self._store.refresh(HOURS_AT_ONCE):
                    pass
            except BaseException:
                self._behind.set()
                raise
