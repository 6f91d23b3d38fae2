"""What is a try of a handler, and what is not."""

from __future__ import annotations

from hive_bus import Retry
from hive_bus.failing import attempts
from hive_runtime.errors import HiveError, Kind

AWAY = HiveError(Kind.UNAVAILABLE, "The database is away.")
BROKEN = ValueError("no such thing")


class Handler:
    """Raises one error after the other, then succeeds. paused: the seconds between its calls."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = [*errors]
        self.paused: list[float] = []

    async def __call__(self, record: object) -> None:
        if self.errors:
            raise self.errors.pop(0)

    async def pause(self, seconds: float) -> None:
        self.paused.append(seconds)


async def test_absence_is_outwaited_and_nothing_else_is() -> None:
    retry = Retry(tries=3, longest_pause=1.0, outwaits_absence=True)
    patient = Handler(*[AWAY] * 50)
    assert await attempts(patient, None, retry, patient.pause) is None
    assert len(patient.paused) == 50 and patient.paused[-1] == 1.0
    poisoned = Handler(BROKEN, AWAY, BROKEN, AWAY, BROKEN, BROKEN)
    assert await attempts(poisoned, None, retry, poisoned.pause) is BROKEN
    assert poisoned.errors == [BROKEN]


async def test_absence_is_a_failure_as_any_other_unless_it_is_to_be_outwaited() -> None:
    handler = Handler(*[AWAY] * 5)
    assert await attempts(handler, None, Retry(tries=3), handler.pause) is AWAY
    assert handler.paused == [0.1, 0.2] and len(handler.errors) == 2
