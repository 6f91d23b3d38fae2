"""A waiting line: callers get their turn in the order in which they came, and only so many may wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hive_runtime.errors import HiveError, Kind


class Line:
    def __init__(self, name: str, room: int) -> None:
        self._name = name
        self._room = room
        self._waiting = 0
        self._turn = asyncio.Lock()  # wakes in order, and forgets who was cancelled

    @property
    def waiting(self) -> int:
        """How many wait now, without the one that has its turn."""
        return self._waiting

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one's turn; how long is the caller's affair. Raises HiveError `unavailable` if full."""
        if self._waiting >= self._room:
            raise HiveError(
                Kind.UNAVAILABLE,
                f"{self._name} runs one call at a time and {self._waiting} are waiting; try again later",
                retry_after=5,
            )
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turn.release()
