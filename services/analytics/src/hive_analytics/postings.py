"""Sees to it that no posting of the ledger is missing: whatever did not come by itself is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import structlog

from hive_analytics.intake import Intake
from hive_analytics.spans import Span
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
"""How often gaps are looked for; one that is seen twice is filled."""
ASK_SECONDS = 60.0
"""How often the books are asked without a gap: what is missing at the end leaves none."""
NOTE = "ledger-through"


class Page(Protocol):
    @property
    def postings(self) -> Sequence[bytes]: ...

    @property
    def last(self) -> int: ...


class Source(Protocol):
    """The books."""

    async def newest(self) -> int: ...

    async def after(self, sequence: int) -> Page: ...


class Kept(Protocol):
    async def postings(self) -> Sequence[Span]: ...


class Postings:
    """folder: the store's own, where a note says how far the ledger was kept at the last end; None: no note.

    The note spares a start to open the store where nothing is missing. Written late it is too low, and harmless.
    """

    def __init__(self, store: Kept, intake: Intake, books: Source, clock: Clock, folder: Path | None) -> None:
        self._store = store
        self._intake = intake
        self._books = books
        self._clock = clock
        self._note = None if folder is None else folder / NOTE
        self._known = False

    async def through(self) -> int:
        """Every posting up to this one is kept. Opens the store."""
        await self._learn()
        return self._intake.postings.through

    async def run(self) -> None:
        """Until it is cancelled: catch up, then look for gaps."""
        due, gap = self._clock.monotonic(), 0
        while True:
            seen = self._gap()
            if (seen and seen == gap) or self._clock.monotonic() >= due:
                try:
                    await self.catch_up()
                    due = self._clock.monotonic() + ASK_SECONDS
                except HiveError as error:
                    log.info("the books were not asked for missing postings", error=error.message)
            gap = seen
            await self._clock.sleep(LOOK_SECONDS)

    async def catch_up(self) -> None:
        """Returns when the store has all that the books have now. Raises HiveError."""
        newest = await self._books.newest()
        if newest == 0 or (not self._known and newest <= self._noted()):
            return
        await self._learn()
        while (through := self._intake.postings.through) < newest:
            page = await self._books.after(through)
            if page.postings:
                await self._intake.take("ledger", page.postings)
            if self._intake.postings.through == through:
                log.error("the books lack a posting", sequence=through + 1, newest=newest)
                return

    def note(self) -> None:
        """Remember for the next start how far the ledger is kept."""
        if self._note is not None and self._known:
            partial = self._note.with_suffix(".new")
            partial.write_text(str(self._intake.postings.through))
            partial.replace(self._note)

    def _noted(self) -> int:
        try:
            return int(self._note.read_text()) if self._note else 0
        except (OSError, ValueError):
            return 0

    def _gap(self) -> int:
        """The first posting that is missing before one that came; 0 where none is."""
        came = self._intake.postings
        return came.through + 1 if self._known and came.through < came.last else 0

    async def _learn(self) -> None:
        if not self._known:
            self._intake.postings.add(await self._store.postings())
            self._known = True
