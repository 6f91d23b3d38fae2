"""The port of the analytical store: rows in, rollups made of them, rows out.

A row is an event as it came off the bus, serialized. It is kept once, however often it is inserted. Errors are
HiveError: `invalid` where the rows or the statement are to blame, `timeout`, and `unavailable` for anything that
may go better when it is tried again. Nothing is opened before the first call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hive_analytics.spans import Span


@dataclass(frozen=True, slots=True)
class Arrived:
    """The numbers of the rows that were inserted: of usage by holder, of the ledger under an empty name."""

    sequences: Mapping[str, Sequence[Span]] = field(default_factory=dict)


class Olap(Protocol):
    @property
    def opened(self) -> bool:
        """Whether a call would find it open; where not, the call opens it and waits."""
        ...

    @property
    def failure(self) -> str | None:
        """Why it does not work; None while it does, or was not asked yet."""
        ...

    async def insert(self, family: str, rows: Sequence[bytes]) -> Arrived:
        """Returns when the rows are durable, and the hours that they are of are marked to be rolled up again."""
        ...

    async def refresh(self, hours: int) -> int:
        """Roll up to so many of the marked hours up again; gives how many are left."""
        ...

    async def select(
        self, sql: str, parameters: Mapping[str, Any], seconds: float, *, alone: bool = False
    ) -> list[list[Any]]:
        """The rows of a SELECT: text, integers, numbers, None. alone: while nothing is inserted or rolled up."""
        ...

    async def close(self) -> None:
        """End what runs; may be called twice. Calls in flight fail."""
        ...
