"""Which deployments are worth asking: one circuit breaker for each.

Closed until `failures` calls in a row failed; then open for `pause` seconds; then one probe decides. A
deployment that told how long to wait (rate limit) rests for that long without being broken: nobody asks it.
"""

from __future__ import annotations

from dataclasses import dataclass

from hive_routing.choosing.memory import make_room
from hive_runtime.clock import Clock

LONGEST_REST = 60.0
MOST = 10_000


@dataclass(slots=True)
class _State:
    failures: int = 0
    open_until: float = 0.0
    """Monotonic seconds; 0: nothing stands in the way."""
    rests_until: float = 0.0
    probing: bool = False


class Breaker:
    """Knows deployments by their ids; what it does not know is healthy."""

    def __init__(self, clock: Clock, failures: int = 5, pause: float = 30.0) -> None:
        self._clock = clock
        self._limit = failures
        self._pause = pause
        self._states: dict[str, _State] = {}

    def allows(self, deployment: str) -> bool:
        """Whether it may be asked now."""
        state = self._states.get(deployment)
        if state is None:
            return True
        now = self._clock.monotonic()
        return not state.probing and state.open_until <= now and state.rests_until <= now

    def resumes_at(self, deployment: str) -> float:
        """When it may be asked again, in monotonic seconds; 0: now."""
        state = self._states.get(deployment)
        return 0.0 if state is None else max(state.open_until, state.rests_until)

    def rests(self, deployment: str) -> float:
        """Seconds for which it still wants to be left alone; 0: it does not."""
        state = self._states.get(deployment)
        return 0.0 if state is None else max(0.0, state.rests_until - self._clock.monotonic())

    def begin(self, deployment: str) -> None:
        """A call is made; the first one after a pause is the probe."""
        state = self._states.get(deployment)
        if state is not None and state.failures >= self._limit:
            state.probing = True

    def probe(self, deployment: str) -> bool:
        """Take the place of the one call that finds out how it is; false where it is taken."""
        state = self._state(deployment)
        taken, state.probing = state.probing, True
        return not taken

    def succeed(self, deployment: str) -> None:
        """A call came to its end. A rest goes on: it was asked for by a later answer, or to other calls."""
        state = self._states.get(deployment)
        if state is None:
            return
        if state.rests_until <= self._clock.monotonic():
            del self._states[deployment]
        else:
            state.failures, state.open_until, state.probing = 0, 0.0, False

    def fail(self, deployment: str) -> None:
        """A call failed in a way that speaks against the deployment."""
        state = self._state(deployment)
        state.failures += 1
        state.probing = False
        if state.failures >= self._limit:
            state.open_until = self._clock.monotonic() + self._pause

    def rest(self, deployment: str, seconds: float) -> None:
        """It asked to be left alone for so long."""
        state = self._state(deployment)
        state.probing = False
        until = self._clock.monotonic() + min(seconds, LONGEST_REST)
        state.rests_until = max(state.rests_until, until)

    def abandon(self, deployment: str) -> None:
        """The call ended without telling anything about the deployment."""
        if (state := self._states.get(deployment)) is not None:
            state.probing = False

    def _state(self, deployment: str) -> _State:
        state = self._states.get(deployment)
        if state is None:
            make_room(self._states, MOST)
            state = self._states[deployment] = _State()
        return state
