"""Nobody waits for a server that is known to be away: after a few failures in a row calls fail at once for a while."""

from __future__ import annotations

import structlog

from hive_runtime.clock import Clock

log = structlog.get_logger(__name__)

FAILURES = 3
FIRST_PAUSE_SECONDS = 0.05
"""A connection that broke is there again in no time."""
LONGEST_PAUSE_SECONDS = 0.5


class Circuit:
    """Open after `FAILURES` in a row; then a single call may try after each pause, until one succeeds.

    trouble: why it is open; None while it is closed.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self.trouble: str | None = None
        self._name = name
        self._clock = clock
        self._failures = 0
        self._pause = FIRST_PAUSE_SECONDS
        self._next_try = 0.0

    def lets_through(self) -> bool:
        """Whether a call may be made now; who may has to say how it went."""
        if self.trouble is None:
            return True
        now = self._clock.monotonic()
        if now < self._next_try:
            return False
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        self._next_try = now + self._pause
        return True

    def succeeded(self) -> None:
        self._failures = 0
        if self.trouble is not None:
            self.trouble = None
            log.info("it answers again", server=self._name)

    def failed(self, reason: str) -> None:
        self._failures += 1
        if self.trouble is not None or self._failures < FAILURES:
            return
        log.warning("it cannot be reached", server=self._name, reason=reason)
        self.trouble = reason
        self._pause = FIRST_PAUSE_SECONDS
        self._next_try = self._clock.monotonic() + self._pause
