"""A call waits out the short absence of the other side, and only that."""

from __future__ import annotations

import pytest

from hive_rpc.patience import Patience
from hive_runtime.errors import HiveError, Kind


class SteppedClock:
    """Sleeping is what makes its time pass."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Service:
    """Away until `back`, in the clock's time."""

    def __init__(self, clock: SteppedClock, back: float, kind: Kind = Kind.UNAVAILABLE) -> None:
        self.calls = 0
        self.back = back
        self._clock = clock
        self._kind = kind

    async def __call__(self) -> str:
        self.calls += 1
        if self._clock.time < self.back:
            raise HiveError(self._kind, "away")
        return "answer"


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


async def test_a_short_absence_is_waited_out(clock: SteppedClock) -> None:
    service = Service(clock, back=clock.time + 2)
    assert await Patience(clock, 3).call(service) == "answer"
    assert 102 <= clock.time <= 103


async def test_a_long_absence_is_told_when_patience_ends_and_then_at_once(clock: SteppedClock) -> None:
    service, patience = Service(clock, back=clock.time + 60), Patience(clock, 3)
    with pytest.raises(HiveError, match="away"):
        await patience.call(service)
    waited, calls = clock.time, service.calls
    assert 102 < waited <= 103
    with pytest.raises(HiveError, match="away"):
        await patience.call(service)
    assert (clock.time, service.calls) == (waited, calls + 1)


async def test_an_answer_makes_it_patient_again(clock: SteppedClock) -> None:
    service, patience = Service(clock, back=clock.time + 60), Patience(clock, 3)
    with pytest.raises(HiveError):
        await patience.call(service)
    service.back = clock.time
    assert await patience.call(service) == "answer"
    service.back = clock.time + 1
    assert await patience.call(service) == "answer"


async def test_other_errors_are_told_at_once(clock: SteppedClock) -> None:
    service = Service(clock, back=clock.time + 1, kind=Kind.BUDGET_EXCEEDED)
    with pytest.raises(HiveError, match="away"):
        await Patience(clock, 3).call(service)
    assert (clock.time, service.calls) == (100.0, 1)


async def test_an_answer_in_another_way_renews_it(clock: SteppedClock) -> None:
    service, patience = Service(clock, back=clock.time + 60), Patience(clock, 3)
    with pytest.raises(HiveError, match="away"):
        await patience.call(service)
    patience.renew()
    service.back = clock.time + 2
    assert await patience.call(service) == "answer"
