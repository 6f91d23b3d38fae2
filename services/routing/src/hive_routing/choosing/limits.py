"""What a deployment may be sent per minute: so many requests and tokens in any sixty seconds.

Counted in slots of five seconds, and a slot counts until the last moment of it is a minute ago. So within any sixty
seconds this process never begins more than its share, a whole minute's worth may come at once (a bucket of that size
would let twice as much through), and what was used is free again up to five seconds late.

Exact: the requests that this process begins. Not exact: tokens, for a prompt counts by our own estimate when its call
begins and the output only when it ends; and the sum over all processes, for each has an equal share of the limit and
at least 1, whatever the others leave of theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hive_routing.choosing.memory import make_room
from hive_runtime.clock import Clock

SLOT_SECONDS = 5.0
SLOTS = 13
"""The one that runs, and a minute behind it."""
MOST = 10_000


class Window:
    """Counts of the last minute."""

    __slots__ = ("_counts", "_slot", "total")

    def __init__(self, now: float) -> None:
        self.total = 0
        self._slot = int(now // SLOT_SECONDS)
        self._counts = [0] * SLOTS

    def add(self, units: int, now: float) -> None:
        self._advance(now)
        self._counts[self._slot % SLOTS] += units
        self.total += units

    def take_back(self, units: int, now: float) -> None:
        """Of what was added just now; what has passed since is gone by itself."""
        self._advance(now)
        place = self._slot % SLOTS
        units = min(units, self._counts[place])
        self._counts[place] -= units
        self.total -= units

    def wait(self, units: int, limit: int, now: float) -> float:
        """Seconds until so many units fit; 0: now. More than the limit fit where nothing else is counted."""
        self._advance(now)
        excess = self.total + units - limit
        if excess <= 0 or not self.total:
            return 0.0
        excess = min(excess, self.total)
        for slot in range(self._slot - SLOTS + 1, self._slot + 1):
            excess -= self._counts[slot % SLOTS]
            if excess <= 0:
                return (slot + SLOTS) * SLOT_SECONDS - now
        return SLOTS * SLOT_SECONDS

    def _advance(self, now: float) -> None:
        slot = int(now // SLOT_SECONDS)
        for each in range(max(self._slot + 1, slot - SLOTS + 1), slot + 1):
            self.total -= self._counts[each % SLOTS]
            self._counts[each % SLOTS] = 0
        self._slot = max(slot, self._slot)


@dataclass(slots=True)
class _Used:
    requests: Window
    tokens: Window


@dataclass(frozen=True, slots=True)
class Limit:
    """Per minute; None: no limit."""

    rpm: int | None = None
    tpm: int | None = None


@dataclass(slots=True)
class Limits:
    """By a name for each deployment. processes: how many share the limits, as far as that is known."""

    _clock: Clock
    _processes: Callable[[], int] = lambda: 1
    _used: dict[str, _Used] = field(default_factory=dict)

    def wait(self, name: str, limit: Limit, tokens: int) -> float:
        """Seconds until a call with a prompt of so many tokens may begin; 0: now."""
        used = self._used.get(name)
        if used is None:
            return 0.0
        now = self._clock.monotonic()
        requests = 0.0 if limit.rpm is None else used.requests.wait(1, self._share(limit.rpm), now)
        if limit.tpm is None:
            return requests
        return max(requests, used.tokens.wait(tokens, self._share(limit.tpm), now))

    def begin(self, name: str, tokens: int) -> None:
        """Such a call begins."""
        now = self._clock.monotonic()
        used = self._used.get(name)
        if used is None:
            make_room(self._used, MOST)
            used = self._used[name] = _Used(Window(now), Window(now))
        used.requests.add(1, now)
        used.tokens.add(tokens, now)

    def take_back(self, name: str, tokens: int) -> None:
        """The call that began last was not sent after all."""
        if (used := self._used.get(name)) is not None:
            now = self._clock.monotonic()
            used.requests.take_back(1, now)
            used.tokens.take_back(tokens, now)

    def add(self, name: str, tokens: int) -> None:
        """A call had so many tokens more than what it began with."""
        if tokens > 0 and (used := self._used.get(name)) is not None:
            used.tokens.add(tokens, self._clock.monotonic())

    def _share(self, limit: int) -> int:
        return max(1, limit // max(1, self._processes()))
