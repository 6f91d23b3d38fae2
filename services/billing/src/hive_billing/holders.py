"""Holders of leases, and how far what each of them tells is kept."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field


class Kept:
    """Which of the numbers 1, 2, 3… came: all up to `through`, and `strays` behind the first gap, in order."""

    __slots__ = ("strays", "through")

    def __init__(self, through: int = 0, strays: Iterable[int] = ()) -> None:
        self.through = through
        self.strays = sorted(strays)

    def __contains__(self, number: int) -> bool:
        if number <= self.through:
            return True
        place = bisect_left(self.strays, number)
        return place < len(self.strays) and self.strays[place] == number

    def covers(self, after: int, through: int) -> bool:
        """Whether all behind `after` and up to `through` came."""
        after = max(after, self.through)
        return through <= after or bisect_right(self.strays, through) - bisect_right(self.strays, after) == (
            through - after
        )

    def add(self, number: int) -> None:
        if number == self.through + 1:
            self.through = number
            if self.strays:
                self._close_gap()
        elif number not in self:
            self.strays.insert(bisect_left(self.strays, number), number)

    def _close_gap(self) -> None:
        count = 0
        for stray in self.strays:
            if stray != self.through + 1:
                break
            self.through = stray
            count += 1
        del self.strays[:count]


@dataclass(slots=True, eq=False)
class Report:
    """What a holder said of its leases. surplus: by scope, what was booked for it then and was not with it.

    through: the last usage that it had closed by then. What of that is settled later is taken off the surplus, so that
    in the end nothing is in it but what got lost on its way. is_exact: nothing was on its way to the holder meanwhile.
    said_at: monotonic seconds.
    """

    number: int
    through: int
    said_at: float
    surplus: dict[str, int]
    is_exact: bool = False


@dataclass(slots=True, eq=False)
class Holder:
    """One start of a process that holds leases.

    grantable_until, booked_until: monotonic seconds; until then it may grant from its leases, and until then they
    stay booked. ended: it grants no more. written: what its row says of `booked_until`, in Unix milliseconds.
    generation: of what it has, a later one each time that all was freed since it was not heard of; 0: never had any.
    begins_anew: it has not shown yet that it knows that. behind: the last usage that it may have closed before it did.
    heard: the highest number of its reports. report: the last that it said, until it is known whether it was exact, and
    the usage before it is settled. given_up: what of its usage up to this number has not come is not waited for.
    """

    name: str
    address: str = ""
    grantable_until: float = 0.0
    booked_until: float = 0.0
    written: int = 0
    ended: bool = False
    generation: int = 0
    given_up: int = 0
    kept: Kept = field(default_factory=Kept)
    begins_anew: bool = False
    behind: int = 0
    heard: int = 0
    report: Report | None = None

    def is_live(self, monotonic: float) -> bool:
        return not self.ended and monotonic < self.grantable_until

    def has(self, generation: int) -> bool:
        """Whether what is said of money of this generation is said of what it has now. 0: of whatever that is."""
        return generation in (0, self.generation)
