"""What is broken when: decided by the seed alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Blow(StrEnum):
    """What is done. A cut and a silence part one process from the broker; the others are done to what is named."""

    KILL = "kill"
    PAUSE = "pause"
    CUT = "cut from the broker"
    SILENCE = "silence towards the broker"


@dataclass(frozen=True, slots=True)
class Fault:
    """at: seconds from the start of the traffic. seconds: until it is undone: started again, resumed, let through."""

    at: float
    blow: Blow
    victim: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.at:5.0f} s  {self.victim}: {self.blow}, for {self.seconds:.1f} s"


BROKER, REDIS, POSTGRES = SERVERS = ("kafka", "redis", "postgres")
FIRST = 3.0
# One after the other in an order of the seed's, so that a short run has one of each.
ROUND = ("kill", "kill", "pause", "partition", BROKER, REDIS, POSTGRES)


def planned(
    seed: int, seconds: float, every: float, processes: Sequence[str], parted: Sequence[str]
) -> list[Fault]:
    """A fault every so many seconds; each is undone before the next, and the last before the end.

    parted: the processes that can be parted from the broker.
    """
    random = Random(seed)
    kinds = _kinds(random)
    found = []
    at = FIRST
    while at + every <= seconds:
        found.append(_fault(random, next(kinds), at, every, processes, parted))
        at += every
    return found


def _kinds(random: Random) -> Iterator[str]:
    while True:
        yield from random.sample(ROUND, len(ROUND))


def _fault(
    random: Random, kind: str, at: float, every: float, processes: Sequence[str], parted: Sequence[str]
) -> Fault:
    lasts = min(random.uniform(3, 12), every - 1)
    shortly = min(random.uniform(2, 5), every - 1)
    match kind:
        case "kill":
            return Fault(at, Blow.KILL, random.choice(processes), shortly)
        case "pause":
            return Fault(at, Blow.PAUSE, random.choice(processes), lasts)
        case "partition":
            return Fault(at, random.choice([Blow.CUT, Blow.SILENCE]), random.choice(parted), lasts)
        case _:
            return Fault(at, Blow.KILL, kind, shortly)
