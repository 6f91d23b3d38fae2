"""Settles what processes have left that were killed: their open attempts are closed, and all of it is told.

A recovery that is killed itself leaves the journal such that the next one tells the same amounts and sequences.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import structlog

from hive_bus import Bus
from hive_routing.attempts import Attempt, Outcome
from hive_routing.journal import Journal
from hive_routing.telling import Leases, Pace, Receipts, Teller
from hive_routing.usage_events import usage_event
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError
from hive_runtime.tasks import Tasks
from modelhive.billing.v1.leases_pb2 import ReturnRequest

log = structlog.get_logger(__name__)

_PAUSE_SECONDS = 30.0
"""Between two tries to read or to write an old journal."""
_FIRST_PAUSE_SECONDS = 0.02
_RETURN_SECONDS = 10.0


async def recover(
    folder: Path,
    bus: Bus,
    receipts: Mapping[str, Receipts],
    leases: Leases,
    clock: Clock,
    tasks: Tasks,
    *,
    billing: str = "billing",
    seconds: float = 10,
    pace: Pace = Pace(),
) -> bool:
    """Settle every holder below `folder` that has ended, and give back its leases.

    True once `billing` (its name among `receipts`) keeps all of them; false where that takes longer than
    `seconds`. What is left goes on in `tasks`, and the folders are deleted once all receivers keep what is in
    them. Never raises for what it finds on the disk or for who cannot be reached.
    """
    homes = await asyncio.to_thread(_homes, folder)
    if not homes:
        return True
    settled = []
    for home in homes:
        old = _OldHolder(folder, home, bus, receipts, leases, clock, billing, pace)
        tasks.spawn(old.recover(), name=f"journal: recovery of {home}")
        settled.append(old.settled)
    done, left = await asyncio.wait(settled, timeout=seconds)
    if left:
        log.warning("recovery goes on in the background", settled=len(done), left=len(left), seconds=seconds)
    return not left and all(future.result() for future in done)


def settle(attempt: Attempt) -> None:
    """What an attempt without an end comes to, as far as it was written down: an estimate, in its own fields.

    The tenant pays for what was delivered, and nothing where nothing was; the provider has read the prompt.
    """
    units = dict(attempt.prompt)
    if attempt.delivered > 0:
        units["completion"] = units.get("completion", 0) + attempt.delivered
    attempt.outcome = Outcome.RECOVERED
    attempt.units = units
    attempt.estimated = True
    attempt.cost = attempt.price.cost(units) if attempt.delivered > 0 else 0
    attempt.provider_cost = attempt.provider_price.cost(units)
    attempt.carried = min(attempt.cost, attempt.held)


class _OldHolder:
    """One process that has ended. settled: true once billing keeps all and has its leases back."""

    def __init__(
        self,
        folder: Path,
        holder: str,
        bus: Bus,
        receipts: Mapping[str, Receipts],
        leases: Leases,
        clock: Clock,
        billing: str,
        pace: Pace,
    ) -> None:
        self.settled: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._folder = folder
        self._holder = holder
        self._bus = bus
        self._receipts = receipts
        self._leases = leases
        self._clock = clock
        self._billing = billing
        self._pace = pace

    async def recover(self) -> None:
        try:
            if (found := await self._closed_journal()) is not None:
                journal, before = found
                try:
                    await self._tell(journal, before)
                finally:
                    journal.shut()
            self._settle(True)
        finally:
            self._settle(False)

    def _settle(self, well: bool) -> None:
        if not self.settled.done():
            self.settled.set_result(well)

    async def _closed_journal(self) -> tuple[Journal, int] | None:
        """The journal with an end of every attempt, and the last event that it held before.

        None where its process lives, or somebody else recovers it.
        """
        while True:
            try:
                return await asyncio.to_thread(_close_all, self._folder, self._holder)
            except FileNotFoundError:
                return None
            except OSError as error:
                log.error("an old journal cannot be settled", holder=self._holder, error=str(error))
                await self._clock.sleep(_PAUSE_SECONDS)

    async def _tell(self, journal: Journal, before: int) -> None:
        teller = Teller(journal, self._bus, self._receipts, self._leases, self._clock, self._pace)
        await teller.ask()
        # What was closed only now is told whatever the receipts say: a disk that failed the process in its last
        # moments may have lost events that were told, and their sequences are given again.
        teller.start_at(min(teller.kept, before))
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(teller.run(), name="journal: telling of old usage")
            pause = _FIRST_PAUSE_SECONDS  # somebody waits for this at the start: ask often at first
            while not teller.has_all(self._billing):
                await self._clock.sleep(pause)
                await teller.ask()
                pause = min(pause * 1.5, self._pace.ask)
            await self._return_leases()
            self._settle(True)
            await teller.until_kept()
            telling.cancel()
        await self._put_away(journal, teller)

    async def _return_leases(self) -> None:
        request = ReturnRequest(holder=self._holder, settled=True)
        failures = 0
        while True:
            try:
                await self._leases.Return(request, timeout=_RETURN_SECONDS)
                return
            except HiveError as error:
                if not error.kind.retryable:
                    log.error(
                        "the leases of an old holder are not taken back",
                        holder=self._holder,
                        error=str(error),
                    )
                    return
            pause = min(self._pace.first_pause * 2.0 ** min(failures, 30), self._pace.longest_pause)
            failures += 1
            await self._clock.sleep(pause)

    async def _put_away(self, journal: Journal, teller: Teller) -> None:
        """Nothing can be done for it any more."""
        try:
            if teller.kept >= journal.sequence:
                await asyncio.to_thread(journal.remove)
            else:
                aside = await asyncio.to_thread(journal.set_aside)
                log.error("not all of an old journal can be told", holder=self._holder, kept_in=str(aside))
        except OSError as error:
            log.error("an old journal cannot be put away", holder=self._holder, error=str(error))


def _homes(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _close_all(folder: Path, holder: str) -> tuple[Journal, int] | None:
    """Reopen a journal and close what is open in it, durably; with the last event that it held before.

    OSError where the disk refuses: nothing is lost, and another try comes to the same.
    """
    reopened = Journal.reopen(folder, holder)
    if reopened is None:
        return None
    journal, attempts = reopened
    before = journal.sequence
    try:
        for attempt in attempts:
            settle(attempt)
            journal.close(
                attempt.number, usage_event(attempt, holder, journal.sequence + 1).SerializeToString()
            )
        if attempts:
            log.info("attempts of an ended process are settled", holder=holder, attempts=len(attempts))
            journal.sync()
        if journal.failure:
            raise OSError(journal.failure)
    except BaseException:
        journal.shut()
        raise
    return journal, before
