"""One timer for many moments."""

from __future__ import annotations

import asyncio

import pytest

from hive_runtime.alarm import NEVER, Alarm


async def until(rung: list[set[str]], count: int) -> None:
    async with asyncio.timeout(5):
        while len(rung) < count:
            await asyncio.sleep(0.001)


async def test_it_rings_at_each_moment_and_not_before_the_earliest() -> None:
    now = asyncio.get_running_loop().time()
    moments = {"late": now + 0.06, "soon": now + 0.02, "never": now + 600}
    rung: list[set[str]] = []

    def ring(now: float) -> float:
        due = {name for name, when in moments.items() if when <= now}
        rung.append(due)
        for name in due:
            del moments[name]
        return min(moments.values(), default=NEVER)

    alarm = Alarm(ring)
    for when in list(moments.values()):
        alarm.at(when)
    await until(rung, 2)
    assert [due for due in rung if due] == [{"soon"}, {"late"}]


async def test_what_rings_may_ask_for_another_moment() -> None:
    rung: list[set[str]] = []

    def ring(now: float) -> float:
        rung.append(set())
        if len(rung) < 3:
            alarm.at(now + 0.005)
        return NEVER

    alarm = Alarm(ring)
    alarm.at(asyncio.get_running_loop().time())
    await until(rung, 3)


async def test_a_ring_that_fails_is_told_and_rings_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hive_runtime.alarm.AFTER_FAILURE", 0.005)
    rung: list[set[str]] = []
    told: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))

    def ring(now: float) -> float:
        rung.append(set())
        if len(rung) == 1:
            raise RuntimeError("broken")
        return NEVER

    Alarm(ring).at(asyncio.get_running_loop().time())
    await until(rung, 2)
    assert [str(each) for each in told] == ["broken"]
