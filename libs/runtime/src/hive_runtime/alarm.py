"""Many moments that mostly do not come, at the cost of one timer: deadlines of what is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context

NEVER = float("inf")
AFTER_FAILURE = 1.0
"""Seconds until an alarm rings again whose ring failed."""
_EARLY = 0.001
"""Seconds: event loops count in whole milliseconds, so a timer may ring so much before its moment."""


class Alarm:
    """Rings once the earliest of the moments that it was given has come.

    ring: does what is due at that moment (in the event loop's time) or before, and returns the earliest that is to
    come, or NEVER. It belongs to nobody's request: it runs in an empty context.
    """

    def __init__(self, ring: Callable[[float], float]) -> None:
        self._ring = ring
        self._when = NEVER
        self._timer: asyncio.TimerHandle | None = None

    def at(self, when: float) -> None:
        """Ring at this moment of the event loop, too."""
        if when < self._when:
            if self._timer is not None:
                self._timer.cancel()
            self._when = when
            self._timer = asyncio.get_running_loop().call_at(when, self._rung, context=Context())

    def _rung(self) -> None:
        self._when, self._timer = NEVER, None
        now = asyncio.get_running_loop().time()
        when = now + AFTER_FAILURE
        try:
            when = self._ring(now + _EARLY)
        finally:  # what fails is told by the event loop, and the others are waited for all the same
            self.at(when)
