"""Waiting out the short absence of another service, as its restart is one; a long one is told at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind

T = TypeVar("T")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 0.5


class Patience:
    """For calls of one service that may be made twice. While it is away no longer than `seconds`, they wait.

    Once it has been away for longer, every call is tried once, so that callers hear at once what they would hear
    anyway; the first answer makes it patient again.
    """

    def __init__(self, clock: Clock, seconds: float = 3.0) -> None:
        self._clock = clock
        self._seconds = seconds
        self._until: float | None = None
        """Until when absence is waited out: monotonic seconds; None while nobody is away."""

    async def call(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` gives; raises what it raises, `unavailable` only after the wait."""
        pause = FIRST_PAUSE
        while True:
            try:
                answer = await attempt()
            except HiveError as error:
                if error.kind is not Kind.UNAVAILABLE or not self._waits(pause):
                    raise
            else:
                self._until = None
                return answer
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def renew(self) -> None:
        """The service is there: it answered in another way."""
        self._until = None

    def _waits(self, pause: float) -> bool:
        now = self._clock.monotonic()
        if self._until is None:
            self._until = now + self._seconds
        if now + pause <= self._until:
            return True
        self._until = now
        return False
