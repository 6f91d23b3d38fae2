"""The log of what was used: every attempt goes to the journal, and from there to all who must know."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import structlog

from hive_bus import Bus
from hive_routing.attempts import Attempt, UsageLog
from hive_routing.journal import Journal
from hive_routing.telling import Leases, Pace, Receipts, Teller
from hive_routing.usage_events import usage_event
from hive_runtime.clock import Clock

log = structlog.get_logger(__name__)


class JournaledLog(UsageLog):
    """`run` is to be running from the start; at the end `drain`, then `leave`."""

    def __init__(
        self,
        journal: Journal,
        bus: Bus,
        receipts: Mapping[str, Receipts],
        leases: Leases,
        clock: Clock,
        pace: Pace = Pace(),
    ) -> None:
        """receipts: by the names of the services that keep usage. leases: billing, for while the bus is away."""
        self._journal = journal
        self._clock = clock
        self._teller = Teller(journal, bus, receipts, leases, clock, pace)
        self._running: asyncio.Task[None] | None = None

    def open(self, attempt: Attempt) -> None:
        """Before it is sent. Raises HiveError `unavailable` where it cannot be written: then it must not be sent."""
        self._journal.open(attempt)

    def progress(self, attempt: Attempt) -> None:
        """Never raises; what is not open is passed over."""
        if attempt.began:
            at_ms = attempt.started_ms + int((self._clock.monotonic() - attempt.began) * 1000)
        else:
            at_ms = int(self._clock.now() * 1000)
        self._journal.progress(attempt.number, attempt.delivered, at_ms, attempt.first_content_us)

    def close(self, attempt: Attempt) -> None:
        """Never raises, and does nothing where the attempt is not open: never opened, refused, or closed before."""
        journal, number = self._journal, attempt.number
        if not journal.is_open(number):
            return
        sequence = journal.sequence + 1
        try:
            event = usage_event(attempt, journal.holder, sequence)
            written = event.SerializeToString()
        except Exception:
            # Its money is safe: the next start settles what stands in the journal without an end.
            log.exception("an attempt's end cannot be told", request_id=attempt.request_id, call=attempt.call)
            return
        journal.close(number, written)
        self._teller.offer(sequence, event, written)

    async def run(self) -> None:
        """Tell what is closed, until this is cancelled or `leave` is called."""
        self._running = asyncio.current_task()
        await self._teller.run()

    async def drain(self, seconds: float) -> bool:
        """Tell what waits and hear that all keep it, at most so long; true where nothing is left.

        What is left stays in the journal, and the next start tells it.
        """
        return await self._teller.drain(seconds)

    async def leave(self) -> None:
        """End `run` and close the journal; its folder goes where nothing in it is needed any more."""
        if self._running is not None and self._running is not asyncio.current_task():
            self._running.cancel()
            await asyncio.wait({self._running})
        journal = self._journal
        journal.retry()
        await asyncio.to_thread(journal.sync)
        if journal.open_count or self.unkept:
            journal.shut()
            return
        with suppress(OSError):
            await asyncio.to_thread(journal.remove)
        journal.shut()

    @property
    def unkept(self) -> int:
        """Events that not all of the receivers are known to keep."""
        return self._journal.sequence - self._teller.kept

    @property
    def waiting(self) -> int:
        """Events that were not told yet."""
        return self._journal.sequence - self._teller.told

    @property
    def in_memory(self) -> int:
        """Of those that were not told, how many are held in memory: a bounded number."""
        return self._teller.waiting

    @property
    def open_attempts(self) -> int:
        return self._journal.open_count

    @property
    def failures(self) -> int:
        """Records that the disk has refused, since the start."""
        return self._journal.failures

    @property
    def trouble(self) -> str:
        """Why usage is told later; empty while it is told at once. Nothing is lost by it."""
        return self._teller.trouble

    @property
    def failure(self) -> str:
        """Why nothing can be written, so that no provider may be asked; empty while it can."""
        return self._journal.failure
