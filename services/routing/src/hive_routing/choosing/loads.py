"""How busy and how slow deployments are, as this process sees them: calls in flight, and a latency that forgets.

The latency is a peak EWMA: it jumps to whatever is slower at once, and comes down little by little, also while
nobody asks, so that a deployment that was slow is tried again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp

from hive_routing.choosing.memory import make_room
from hive_runtime.clock import Clock

FORGET_SECONDS = 30.0
"""After so long about a third is left of what was seen."""
FAILURE_SECONDS = 10.0
"""What a call counts for that failed: one that fails at once is not fast."""
UNKNOWN_SECONDS = 0.001
"""A latency below it says nothing any more."""
MOST = 10_000


@dataclass(slots=True)
class Peak:
    """Seconds, as they were seen at `at` (monotonic seconds)."""

    seconds: float = 0.0
    at: float = 0.0

    def now(self, moment: float) -> float:
        """What is left of it."""
        return self.seconds * exp((self.at - moment) / FORGET_SECONDS) if self.seconds else 0.0

    def note(self, seconds: float, moment: float) -> None:
        """One more was seen."""
        if seconds >= self.seconds:
            self.seconds = seconds
        else:
            kept = exp((self.at - moment) / FORGET_SECONDS)
            self.seconds = self.seconds * kept + seconds * (1.0 - kept)
        self.at = moment


@dataclass(slots=True)
class Load:
    """streamed: time to the first content; whole: time to a whole answer. They are never compared with each other."""

    in_flight: int = 0
    streamed: Peak = field(default_factory=Peak)
    whole: Peak = field(default_factory=Peak)

    def peak(self, *, is_streamed: bool) -> Peak:
        return self.streamed if is_streamed else self.whole


class Loads:
    """Of deployments by their ids; what is not known is idle."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loads: dict[str, Load] = {}

    def begin(self, deployment: str) -> Load:
        """A call is made; `end` follows."""
        load = self._loads.get(deployment)
        if load is None:
            make_room(self._loads, MOST)
            load = self._loads[deployment] = Load()
        load.in_flight += 1
        return load

    def end(self, deployment: str) -> None:
        """A call, or the stream that it gave, is over."""
        load = self._loads.get(deployment)
        if load is not None and load.in_flight:
            load.in_flight -= 1

    def answered(self, deployment: str, seconds: float, *, is_streamed: bool) -> None:
        """So long it took."""
        if (load := self._loads.get(deployment)) is not None:
            load.peak(is_streamed=is_streamed).note(seconds, self._clock.monotonic())

    def failed(self, deployment: str, seconds: float, *, is_streamed: bool) -> None:
        """It failed after so long."""
        self.answered(deployment, max(seconds, FAILURE_SECONDS), is_streamed=is_streamed)

    def unfinished(self, deployment: str, seconds: float, *, is_streamed: bool) -> None:
        """It was given up after so long: it takes longer, whatever it takes."""
        if seconds > self.latency(deployment, is_streamed=is_streamed):
            self.answered(deployment, seconds, is_streamed=is_streamed)

    def in_flight(self, deployment: str) -> int:
        load = self._loads.get(deployment)
        return 0 if load is None else load.in_flight

    def latency(self, deployment: str, *, is_streamed: bool) -> float:
        """Seconds; 0: not known, or long ago."""
        load = self._loads.get(deployment)
        if load is None:
            return 0.0
        seconds = load.peak(is_streamed=is_streamed).now(self._clock.monotonic())
        return seconds if seconds >= UNKNOWN_SECONDS else 0.0
