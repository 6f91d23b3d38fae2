"""Equal requests share one call: who leads, who follows, and what becomes of them when somebody leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive_routing.caching.flights import OWN, Flights, Following, Leading, Opening
from hive_routing.caching.hive import MOST_KEPT, Asked, Keeping
from hive_routing.caching.store import Cache, Entry, Local
from hive_routing.usage import Usage
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind

BROKEN_OFF = "The answer that this request shared broke off."


def entry(*chunks: bytes) -> Entry:
    return Entry("t", "m", "p", "p/m", chunks, True, ((b"x-a", b"b"),), {"prompt": 1}, False, 7, 1000)


def leader(flights: Flights, key: bytes = b"k") -> Leading:
    seat = flights.join(key)
    assert isinstance(seat, Leading)
    return seat


def follower(flights: Flights, key: bytes = b"k") -> Following:
    seat = flights.join(key)
    assert isinstance(seat, Following)
    return seat


async def read(seat: Following) -> tuple[bytes, Entry | None]:
    with seat:
        assert isinstance(await seat.start(), Opening)
        return b"".join([piece async for piece in seat]), seat.entry


async def waiting(*work: Coroutine[Any, Any, Any]) -> list[asyncio.Task[Any]]:
    """Tasks that have come as far as they can."""
    tasks = [asyncio.ensure_future(each) for each in work]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_followers_get_what_the_leader_gets_from_the_beginning() -> None:
    flights = Flights(1000)
    first = leader(flights)
    [early] = await waiting(read(follower(flights)))
    first.begin(((b"x-a", b"b"),), True, "m", "p", "p/m")
    first.piece(b"one ")
    [late] = await waiting(read(follower(flights)))
    first.piece(b"two")
    assert not early.done() and not late.done()
    whole = entry(b"one ", b"two")
    first.finish(whole)
    assert await early == await late == (b"one two", whole)
    assert len(flights) == 0
    leader(flights)


async def test_pieces_come_one_by_one() -> None:
    flights = Flights(1000)
    first, second = leader(flights), follower(flights)
    first.begin((), True)
    first.piece(b"one")
    assert await second.start() == Opening((), True, "", "", "")
    assert await anext(second) == b"one"
    [next_one] = await waiting(anext(second))
    assert not next_one.done()
    first.piece(b"two")
    assert await next_one == b"two"


async def test_an_answer_at_once() -> None:
    flights = Flights(1000)
    first, second = leader(flights), follower(flights)
    whole = entry(b"all")
    first.finish(whole)
    assert await read(second) == (b"all", whole)
    assert second.opening == Opening(whole.headers, True, "m", "p", "p/m")


async def test_an_empty_answer_ends_too() -> None:
    flights = Flights(1000)
    first, second = leader(flights), follower(flights)
    first.finish(entry())
    assert await read(second) == (b"", entry())


async def test_other_keys_have_other_leaders() -> None:
    flights = Flights(1000)
    leader(flights, b"1")
    leader(flights, b"2")
    assert len(flights) == 2


async def test_a_leader_that_leaves_is_followed_by_the_first_who_waits() -> None:
    flights = Flights(1000)
    first = leader(flights)
    seats = [follower(flights) for _ in range(3)]
    starts = await waiting(*(seat.start() for seat in seats))
    first.leave()
    first.leave()
    second = await starts[0]
    assert isinstance(second, Leading)
    await waiting()
    assert not starts[1].done() and not starts[2].done()
    second.finish(entry(b"x"))
    assert [await each for each in starts[1:]] == [seats[1].opening] * 2
    assert isinstance(seats[1].opening, Opening)


async def test_one_that_begins_and_says_nothing_can_still_be_followed_by_another() -> None:
    flights = Flights(1000)
    first = leader(flights)
    [start] = await waiting(follower(flights).start())
    first.begin((), True)
    await waiting()
    assert not start.done()
    first.leave()
    assert isinstance(await start, Leading)


async def test_followers_that_have_sent_something_break_off() -> None:
    flights = Flights(1000)
    first = leader(flights)
    seat = follower(flights)
    first.begin((), True)
    first.piece(b"one")
    await seat.start()
    assert await anext(seat) == b"one"
    late = follower(flights)
    first.leave()
    with pytest.raises(HiveError, match=BROKEN_OFF) as raised:
        await anext(seat)
    assert raised.value.kind is Kind.UPSTREAM_FAILED
    assert isinstance(await late.start(), Leading), "it has sent nothing yet"


async def test_a_failure_is_shared_with_those_who_have_sent_nothing() -> None:
    flights = Flights(1000)
    first = leader(flights)
    begun, pending = follower(flights), follower(flights)
    first.begin((), True)
    first.piece(b"one")
    await begun.start()
    error = HiveError(Kind.RATE_LIMITED, "Too much.", "p", reason="r", retry_after=3, should_retry=False)
    error.status = 418
    first.fail(error)
    with pytest.raises(HiveError) as raised:
        await pending.start()
    assert raised.value is not error
    assert vars(raised.value) == vars(error)
    assert await anext(begun) == b"one"
    with pytest.raises(HiveError, match=BROKEN_OFF):
        await anext(begun)
    leader(flights)


@pytest.mark.parametrize("kind", list(Kind))
async def test_what_a_leader_is_refused_itself_is_not_shared(kind: Kind) -> None:
    flights = Flights(1000)
    first = leader(flights)
    [start] = await waiting(follower(flights).start())
    with pytest.raises(HiveError), first:
        raise HiveError(kind, "No.")
    if kind in OWN:
        assert isinstance(await start, Leading)
    else:
        with pytest.raises(HiveError, match=r"No\."):
            await start


async def test_who_fails_can_say_whose_failure_it_is() -> None:
    flights = Flights(1000)
    first = leader(flights)
    shared = await waiting(*(follower(flights).start() for _ in range(500)))
    first.fail(HiveError(Kind.INVALID, "The provider says no."), shared=True)
    found = await asyncio.gather(*shared, return_exceptions=True)
    assert {getattr(each, "message", "") for each in found} == {"The provider says no."}
    second = leader(flights)
    [start] = await waiting(follower(flights).start())
    second.fail(HiveError(Kind.TIMEOUT, "Your time is over."), shared=False)
    assert isinstance(await start, Leading)


async def test_one_that_is_to_lead_and_leaves_instead_hands_on() -> None:
    flights = Flights(1000)
    first = leader(flights)
    starts = await waiting(*(follower(flights).start() for _ in range(3)))
    first.leave()
    starts[0].cancel()  # it was woken already, and has not run yet
    starts[1].cancel()
    assert isinstance(await starts[2], Leading)


async def test_who_joins_when_nobody_leads_follows_or_leads() -> None:
    flights = Flights(1000)
    first = leader(flights)
    idle = follower(flights)
    first.leave()
    newcomer = follower(flights)
    second = await newcomer.start()
    assert isinstance(second, Leading), "the one that does not wait keeps nobody waiting"
    [start] = await waiting(idle.start())
    assert not start.done()
    second.finish(entry(b"x"))
    assert isinstance(await start, Opening)


async def test_without_anybody_the_call_is_over() -> None:
    flights = Flights(1000)
    first, second = leader(flights), follower(flights)
    first.leave()
    assert len(flights) == 1
    second.leave()
    second.leave()
    assert len(flights) == 0


async def test_a_follower_that_leaves_disturbs_nobody() -> None:
    flights = Flights(1000)
    first = leader(flights)
    leaving, staying = await waiting(read(follower(flights)), read(follower(flights)))
    first.begin((), True)
    first.piece(b"one")
    await waiting()
    leaving.cancel()
    first.finish(entry(b"one"))
    assert await staying == (b"one", entry(b"one"))


async def test_a_large_answer_takes_no_new_followers_and_keeps_what_is_unread() -> None:
    flights = Flights(10)
    first, reader = leader(flights), follower(flights)
    first.begin((), True)
    first.piece(b"12345678")
    await reader.start()
    first.piece(b"abc")
    other = leader(flights)
    assert await anext(reader) == b"12345678"
    for number in range(50):
        first.piece(b"%03d" % number)
        assert first._run.kept <= 6
        assert await anext(reader) == (b"abc" if number == 0 else b"%03d" % (number - 1))
    first.finish(entry())
    assert [piece async for piece in reader] == [b"049"]
    assert flights.join(b"k") is not other
    assert len(flights) == 1


async def test_a_large_answer_without_followers_is_not_kept() -> None:
    flights = Flights(10)
    first = leader(flights)
    first.begin((), True)
    for _ in range(100):
        first.piece(b"123456")
        assert first._run.kept <= 10


async def test_a_follower_that_lags_far_behind_is_given_up() -> None:
    flights = Flights(10)
    first, slow, quick = leader(flights), follower(flights), follower(flights)
    first.begin((), True)
    first.piece(b"123456")
    await slow.start()
    await quick.start()
    for _ in range(10):
        assert await anext(quick) == b"123456"
        first.piece(b"123456")
        assert first._run.kept <= 10 + 6
    with pytest.raises(HiveError, match=BROKEN_OFF):
        await anext(slow)
    first.finish(entry())
    assert [piece async for piece in quick] == [b"123456"]


async def test_one_large_piece_reaches_all() -> None:
    flights = Flights(10)
    first = leader(flights)
    readers = await waiting(*(read(follower(flights)) for _ in range(3)))
    first.finish(entry(b"x" * 1000))
    assert [await each for each in readers] == [(b"x" * 1000, entry(b"x" * 1000))] * 3


@dataclass
class Plan:
    """What one caller does. lead: how it ends where it leads. naps: turns of the loop before each step."""

    lead: str
    pieces: int
    naps: list[int]
    key: int
    cancel: int | None


_plans = st.lists(
    st.builds(
        Plan,
        lead=st.sampled_from(["finish", "finish", "fail", "own", "leave", "bug"]),
        pieces=st.integers(0, 4),
        naps=st.lists(st.integers(0, 3), min_size=1, max_size=4),
        key=st.integers(0, 1),
        cancel=st.none() | st.integers(0, 12),
    ),
    min_size=1,
    max_size=14,
)


@dataclass
class Traffic:
    """Callers over one `Flights`; notes what each leader told and what each follower heard."""

    flights: Flights
    exclusive: bool = True
    calls: dict[int, int] = field(default_factory=dict)
    told: list[bytes] = field(default_factory=list)
    finished: set[bytes] = field(default_factory=set)
    heard: list[bytes] = field(default_factory=list)
    heard_whole: list[bytes] = field(default_factory=list)

    async def run(self, plans: list[Plan]) -> None:
        tasks = [asyncio.ensure_future(self._call(number, plan)) for number, plan in enumerate(plans)]
        for turn in range(13):
            for task, plan in zip(tasks, plans, strict=True):
                if plan.cancel == turn:
                    task.cancel()
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                assert isinstance(error, HiveError | ZeroDivisionError), error

    async def _call(self, number: int, plan: Plan) -> None:
        await _nap(plan, 0)
        seat = self.flights.join(bytes([plan.key]))
        if isinstance(seat, Following):
            with seat:
                if plan.pieces == 4:
                    await _nap(plan, 1)
                begun = await seat.start()
                if isinstance(begun, Opening):
                    await self._hear(seat, plan)
                    return
            seat = begun
        with seat:
            await self._lead(seat, number, plan)

    async def _hear(self, seat: Following, plan: Plan) -> None:
        heard = b""
        try:
            async for piece in seat:
                heard += piece
                await _nap(plan, len(heard))
            assert seat.entry is not None and b"".join(seat.entry.chunks) == heard
            self.heard_whole.append(heard)
        finally:
            self.heard.append(heard)

    async def _lead(self, seat: Leading, number: int, plan: Plan) -> None:
        self.calls[plan.key] = self.calls.get(plan.key, 0) + 1
        assert self.calls[plan.key] == 1 or not self.exclusive, "two calls at a time"
        told = b""
        try:
            await _nap(plan, 1)
            if plan.lead == "own":
                raise HiveError(Kind.BUDGET_EXCEEDED, "Broke.")
            seat.begin((), True)
            for each in range(plan.pieces):
                await _nap(plan, each)
                data = b"%d.%d " % (number, each)
                told += data
                seat.piece(data)
            await _nap(plan, 2)
            if plan.lead == "fail":
                raise HiveError(Kind.UPSTREAM_FAILED, "The provider broke.")
            if plan.lead == "bug":
                raise ZeroDivisionError
            if plan.lead == "finish":
                self.finished.add(told)
                seat.finish(entry(told))
        finally:
            self.told.append(told)
            self.calls[plan.key] -= 1


async def _nap(plan: Plan, step: int) -> None:
    for _ in range(plan.naps[step % len(plan.naps)]):
        await asyncio.sleep(0)


@settings(max_examples=400, deadline=None)
@given(_plans, st.sampled_from([8, 1000]))
def test_whatever_happens_everybody_ends_with_the_answer_of_one_leader(plans: list[Plan], size: int) -> None:
    traffic = Traffic(Flights(size), exclusive=size == 1000)
    asyncio.run(traffic.run(plans))
    assert len(traffic.flights) == 0
    assert not any(traffic.calls.values())
    for heard in traffic.heard:
        assert any(told.startswith(heard) for told in traffic.told)
    assert set(traffic.heard_whole) <= traffic.finished


async def test_five_hundred_followers_that_each_cannot_pay() -> None:
    flights = Flights(1000)
    calls = 0

    async def refused() -> None:
        nonlocal calls
        seat = flights.join(b"k")
        if isinstance(seat, Following):
            with seat:
                begun = await seat.start()
            assert isinstance(begun, Leading)
            seat = begun
        with seat:
            calls += 1
            await asyncio.sleep(0)
            raise HiveError(Kind.BUDGET_EXCEEDED, "No.")

    async with asyncio.timeout(30):
        found = await asyncio.gather(*(refused() for _ in range(500)), return_exceptions=True)
    assert calls == len(found) == 500 and len(flights) == 0


async def test_followers_get_all_of_an_answer_that_is_too_large_to_be_kept() -> None:
    clock = SystemClock()
    flights, kept = Flights(1000), Cache(clock, 1 << 26, 1 << 26)
    first = leader(flights)
    [waits] = await waiting(read(follower(flights)))
    body = b"x" * (MOST_KEPT + 1)
    keeping = Keeping(Local(kept), clock, b"k", Asked("t", "m", "chat/completions", {}, None), 10, first)
    keeping.begin([(b"x-a", b"b")], streamed=False, provider="p", deployment="p/m")
    keeping.piece(body)
    keeping.finish("m", b"", Usage.counted(1, 1), 7)
    assert (await waits)[0] == body
    assert kept.get(b"k") is None
