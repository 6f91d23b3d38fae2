"""Callers that go on calling, each at its own pace, and what became of their calls."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from hive_testing.chaos.callers import KINDS, Callers, Kind
from hive_testing.chaos.endings import Ending, How

CALLERS = 14
PAUSE_SECONDS = 0.5
"""Between two calls of a caller, at most."""


@dataclass
class Tally:
    """How calls ended. failures: the ends that no fault excuses, by call."""

    endings: Counter[tuple[str, Ending]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, kind: Kind, name: str, ending: Ending, *, is_excused: bool) -> None:
        """is_excused: the caller's connection may have died with an edge."""
        self.endings[kind.name, ending] += 1
        if ending.how in (How.SILENT, How.WRONG, How.NO_END):
            self.failures.append(f"{kind.name} {name}: {ending}")
        elif ending.how is How.CONNECTION_LOST and not is_excused:
            self.failures.append(f"{kind.name} {name}: {ending}, and no edge was lost meanwhile")

    def by_kind(self) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for (kind, ending), count in sorted(self.endings.items(), key=lambda item: (item[0][0], -item[1])):
            found.setdefault(kind, {})[str(ending)] = count
        return found

    @property
    def calls(self) -> int:
        return self.endings.total()

    def count(self, *how: How) -> int:
        return sum(count for (_, ending), count in self.endings.items() if ending.how in how)


@dataclass
class Traffic:
    """lost_edges: counts what may have cost callers their connections; None of it is at rest.

    It gives two numbers: how often an edge went or came, and how many are away now.
    """

    callers: Callers
    seed: int
    lost_edges: Callable[[], tuple[int, int]]
    tally: Tally = field(default_factory=Tally)

    async def until(self, over: asyncio.Event) -> None:
        """Returns when every call that was begun before has ended."""
        async with asyncio.TaskGroup() as group:
            for number in range(CALLERS):
                group.create_task(self._go_on(number, over))

    async def round(self, name: str) -> Tally:
        """One call of each kind at once, twice."""
        tally = Tally()
        calls = [
            self._call(kind, f"{self.seed} {name} {kind.name} {number}", tally)
            for kind in KINDS
            for number in range(2)
        ]
        await asyncio.gather(*calls)
        return tally

    async def _go_on(self, number: int, over: asyncio.Event) -> None:
        random = Random(f"{self.seed} {number}")
        weights = [kind.weight for kind in KINDS]
        count = 0
        while not over.is_set():
            (kind,) = random.choices(KINDS, weights)
            count += 1
            await self._call(kind, f"call {self.seed}-{number}-{count}", self.tally)
            await asyncio.sleep(random.uniform(0, PAUSE_SECONDS))

    async def _call(self, kind: Kind, name: str, tally: Tally) -> None:
        changes, away = self.lost_edges()
        ending = await self.callers.ending(kind, name)
        tally.add(kind, name, ending, is_excused=bool(away) or self.lost_edges()[0] != changes)
