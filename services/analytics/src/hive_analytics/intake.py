"""The way in: rows are durable when `take` returns, and those who number them hear of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from hive_analytics.rollups import Waiting
from hive_analytics.spans import Span, Spans
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0


class Sequences(Protocol):
    @property
    def sequences(self) -> Mapping[str, Sequence[Span]]: ...


class Rows(Protocol):
    """The store, as this module knows it."""

    async def insert(self, family: str, rows: Sequence[bytes]) -> Sequences: ...

    async def usage_of(self, holder: str) -> Sequence[Span]: ...


class Intake:
    """What it takes stays with it until the store has it, however long that is away."""

    def __init__(self, store: Rows, waiting: Waiting, clock: Clock) -> None:
        """waiting: hears of the rows that came."""
        self._store = store
        self._waiting = waiting
        self._clock = clock
        self.receipts = Receipts(store)
        self.postings = Spans()
        """Of the ledger: what came in since the start, and whatever else somebody adds."""
        self.failing_since: float | None = None
        """Monotonic seconds; None while the store takes what it is given."""

    async def take(self, family: str, rows: Sequence[bytes]) -> None:
        """Raises HiveError `invalid` where a row is none of the family: then none of them was taken."""
        pause = FIRST_PAUSE
        while True:
            try:
                arrived = await self._store.insert(family, rows)
                break
            except HiveError as error:
                if error.kind in (Kind.INVALID, Kind.TOO_LARGE):
                    raise
                if self.failing_since is None:
                    self.failing_since = self._clock.monotonic()
                await self._clock.sleep(max(pause, error.retry_after or 0))
                pause = min(pause * 2, LONGEST_PAUSE)
        self.failing_since = None
        for name, spans in arrived.sequences.items():
            if family == "usage":
                self.receipts.add(name, spans)
            else:
                self.postings.add(spans)
        self._waiting.add(len(rows))


class Receipts:
    """How far each teller's usage is kept without a gap."""

    def __init__(self, store: Rows) -> None:
        self._store = store
        self._spans: dict[str, Spans] = {}
        self._complete: set[str] = set()

    def add(self, holder: str, spans: Sequence[Span]) -> None:
        self._spans.setdefault(holder, Spans()).add(spans)

    async def kept(self, holder: str) -> int:
        """Every event of the holder up to this one is kept; 0: none. Looks into the store where it has to."""
        spans = self._spans.setdefault(holder, Spans())
        if holder not in self._complete and not spans.through:
            spans.add(await self._store.usage_of(holder))
            self._complete.add(holder)
        return spans.through
