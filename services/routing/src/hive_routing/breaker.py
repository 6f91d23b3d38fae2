"""Which deployments are worth asking: one circuit breaker for each.

Closed until `failures` calls in a row failed; then open for `pause` seconds; then one probe decides. A
deployment that told how long to wait (rate limit) rests for that long without being broken.
"""

from __future__ import annotations

from dataclasses import dataclass

from hive_runtime.clock import Clock

LONGEST_REST = 60.0


@dataclass(slots=True)
class _State:
    failures: int = 0
    open_until: float = 0.0
    """Monotonic seconds; 0: nothing stands in the way."""
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
        return not state.probing and state.open_until <= self._clock.monotonic()

    def resumes_at(self, deployment: str) -> float:
        """When it may be asked again, in monotonic seconds; 0: now."""
        state = self._states.get(deployment)
        return 0.0 if state is None else state.open_until

    def begin(self, deployment: str) -> None:
        """A call is made; the first one after a pause is the probe."""
        state = self._states.get(deployment)
        if state is not None and state.failures >= self._limit:
            state.probing = True

    def probe(self, deployment: str) -> bool:
        """Take the place of the one call that finds out how it is; false where it is taken."""
        state = self._states.setdefault(deployment, _State())
        taken, state.probing = state.probing, True
        return not taken

    def succeed(self, deployment: str) -> None:
        self._states.pop(deployment, None)

    def fail(self, deployment: str) -> None:
        """A call failed in a way that speaks against the deployment."""
        state = self._states.setdefault(deployment, _State())
        state.failures += 1
        state.probing = False
        if state.failures >= self._limit:
            state.open_until = self._clock.monotonic() + self._pause

    def rest(self, deployment: str, seconds: float) -> None:
        """It asked to be left alone for so long."""
        state = self._states.setdefault(deployment, _State())
        state.probing = False
        state.open_until = self._clock.monotonic() + min(seconds, LONGEST_REST)

    def abandon(self, deployment: str) -> None:
        """The call ended without telling anything about the deployment."""
        if (state := self._states.get(deployment)) is not None:
            state.probing = False
