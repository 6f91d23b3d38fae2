"""The memory bus passes the suites of the port, and keeps the promises that are its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive_bus import Batch, Bus, Options, Retry, StateChange, Subscription
from hive_bus.conformance import (
    BatchConformance,
    BusConformance,
    EventConformance,
    OpenBus,
    RequestConformance,
    StateConformance,
)
from hive_bus.conformance.suite import Listener, eventually
from hive_bus.memory import MemoryBus
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import OnFailure
from modelhive.events.v1.dead_letter_pb2 import DeadLetter
from modelhive.probe.v1.probe_pb2 import ProbeEvent, ProbeRequest, ProbeState

LANE = Options(fields={"lane": "lane"})
ONE_AT_A_TIME = Options(fields={"lane": "lane"}, concurrency=1)


class OnMemory(BusConformance):
    queue_bound = 100

    @pytest.fixture
    def open_bus(self) -> OpenBus:
        async def open_bus(on_failure: OnFailure) -> Bus:
            return MemoryBus(SystemClock(), on_failure, queue_items=100, publish_wait=0.02)

        return open_bus


class TestMemoryRequests(OnMemory, RequestConformance):
    pass


class TestMemoryEvents(OnMemory, EventConformance):
    pass


class TestMemoryBatches(OnMemory, BatchConformance):
    pass


class TestMemoryState(OnMemory, StateConformance):
    pass


class ManualClock:
    """Time that passes when a test says so; `pauses` are the sleeps that began, in seconds."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self._now = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.pauses.append(seconds)
        self._sleepers.append((self._now + seconds, woken))
        await woken

    async def until_pauses(self, count: int) -> None:
        await eventually(lambda: len(self.pauses) == count, f"{count} pauses, now {self.pauses}")

    def advance(self, seconds: float) -> None:
        self._now += seconds
        for due, woken in self._sleepers:
            if due <= self._now and not woken.done():
                woken.set_result(None)


class Reports:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.errors: list[BaseException] = []

    def __call__(self, name: str, error: BaseException) -> None:
        self.names.append(name)
        self.errors.append(error)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
async def bus(clock: ManualClock, reports: Reports) -> AsyncIterator[MemoryBus]:
    bus = MemoryBus(clock, reports, queue_items=3, queue_bytes=1_000, publish_wait=0.02)
    yield bus
    await bus.close()


def request(name: str, body: bytes = b"") -> ProbeRequest:
    return ProbeRequest(id=name, lane="lane", body=body)


def event(key: str, sequence: int = 0) -> ProbeEvent:
    return ProbeEvent(key=key, sequence=sequence, lane="lane")


def state(key: str, value: str) -> ProbeState:
    return ProbeState(key=key, value=value, lane="lane")


def sequences(records: Sequence[ProbeEvent]) -> list[int]:
    return [record.sequence for record in records]


async def test_a_message_travels_as_the_object_it_is(bus: MemoryBus) -> None:
    listener = Listener[ProbeRequest]()
    await bus.subscribe_requests(ProbeRequest, "group", listener, LANE)
    message = request("a")
    await bus.publish(message)
    await listener.until_done(1)
    assert listener.got[0] is message


async def test_a_handler_runs_in_the_context_of_its_subscription(bus: MemoryBus) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    heard: list[str] = []

    async def handler(message: ProbeRequest) -> None:
        heard.append(variable.get())
        variable.set("left over by a handler")

    variable.set("subscriber")
    await bus.subscribe_requests(ProbeRequest, "group", handler, ONE_AT_A_TIME)
    variable.set("publisher")
    for number in range(3):
        await bus.publish(request(str(number)))
    await eventually(lambda: len(heard) == 3, "three handled")
    assert heard == ["subscriber"] * 3


async def test_requests_go_to_the_subscriptions_of_a_group_in_turn(bus: MemoryBus) -> None:
    first, second = Listener[ProbeRequest](), Listener[ProbeRequest]()
    await bus.subscribe_requests(ProbeRequest, "group", first, LANE)
    await bus.subscribe_requests(ProbeRequest, "group", second, LANE)
    for number in range(6):
        await bus.publish(request(str(number)))
    await first.until_done(3)
    await second.until_done(3)


async def test_a_request_for_nobody_is_refused_without_a_time_to_return(bus: MemoryBus) -> None:
    with pytest.raises(HiveError, match=r"Nobody listens to hive\.probe\.requests\.lane") as refused:
        await bus.publish(request("a"))
    assert refused.value.kind is Kind.UNAVAILABLE
    assert refused.value.retry_after is None
    subscription = await bus.subscribe_requests(ProbeRequest, "group", Listener[ProbeRequest](), LANE)
    await bus.publish(request("b"))
    await subscription.close()
    with pytest.raises(HiveError, match="Nobody listens"):
        await bus.publish(request("c"))


async def test_a_stand_in_is_handled_at_once_where_its_handler_takes_such(bus: MemoryBus) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    heard: list[tuple[object, str]] = []

    def take(stand_in: object) -> None:
        heard.append((stand_in, variable.get()))

    hand, stand_in = bus.beside(ProbeRequest, LANE.fields), object()
    assert not hand(stand_in)
    variable.set("of the subscriber")
    await bus.subscribe_requests(ProbeRequest, "group", take, replace(LANE, takes_stand_ins=True))
    variable.set("of the publisher")
    assert hand(stand_in) and heard == [(stand_in, "of the subscriber")]
    await bus.close()
    assert not hand(stand_in)


async def test_a_stand_in_passes_neither_those_that_wait_nor_a_handler_that_needs_a_message(
    bus: MemoryBus,
) -> None:
    hand, stuck = bus.beside(ProbeRequest, LANE.fields), Listener[Any]()
    stuck.hold()
    await bus.subscribe_requests(ProbeRequest, "group", stuck, replace(ONE_AT_A_TIME, takes_stand_ins=True))
    await bus.publish(request("runs"))
    await bus.publish(request("waits"))
    assert not hand(object())
    stuck.let_go()
    assert await bus.drain(5)
    plain = Listener[ProbeRequest]()
    await bus.subscribe_requests(ProbeRequest, "group", plain, LANE)
    assert hand(request("first in turn")) and not hand(object())
    other = await bus.subscribe_requests(ProbeRequest, "other group", plain, LANE)
    assert not hand(object())
    await other.close()
    assert await bus.drain(5)
    assert [each.id for each in stuck.got] == ["runs", "waits", "first in turn"] and not plain.got


async def test_waiting_requests_are_bounded_in_bytes_and_in_all_groups_or_none(bus: MemoryBus) -> None:
    roomy, stuck = Listener[ProbeRequest](), Listener[ProbeRequest]()
    stuck.hold()
    await bus.subscribe_requests(ProbeRequest, "roomy", roomy, LANE)
    await bus.subscribe_requests(ProbeRequest, "stuck", stuck, ONE_AT_A_TIME)
    await bus.publish(request("runs"))
    await bus.publish(request("waits", bytes(900)))
    with pytest.raises(HiveError, match=r"hive\.probe\.requests\.lane for group 'stuck' is full \(1 records"):
        await bus.publish(request("too much", bytes(200)))
    await bus.publish(request("fits", bytes(10)))
    stuck.let_go()
    await stuck.until_done(3)
    await roomy.until_done(3)
    assert [record.id for record in roomy.got] == ["runs", "waits", "fits"]
    stuck.hold()
    await bus.publish(request("runs"))
    await bus.publish(request("waits", bytes(900)))
    await bus.publish(request("fits", bytes(10)))
    stuck.let_go()
    await stuck.until_done(6)


async def test_an_empty_queue_takes_one_record_of_any_size(bus: MemoryBus) -> None:
    listener = Listener[ProbeRequest]()
    listener.hold()
    await bus.subscribe_requests(ProbeRequest, "group", listener, ONE_AT_A_TIME)
    await bus.publish(request("runs"))
    await bus.publish(request("waits", bytes(5_000)))
    listener.let_go()
    await listener.until_done(2)


async def test_a_publisher_of_events_waits_for_room(clock: ManualClock, reports: Reports) -> None:
    bus = MemoryBus(clock, reports, queue_items=3, publish_wait=20)
    listener = Listener[ProbeEvent]()
    listener.hold()
    await bus.subscribe_events(ProbeEvent, "group", listener, LANE)
    for number in range(3):
        await bus.publish(event("key", number))
    publishing = [asyncio.ensure_future(bus.publish(event("key", number))) for number in range(3, 6)]
    await asyncio.wait(publishing, timeout=0.01)
    assert not any(one.done() for one in publishing)
    listener.let_go()
    await asyncio.gather(*publishing)
    await listener.until_done(6)
    assert sequences(listener.got) == [0, 1, 2, 3, 4, 5]
    await bus.close()


async def test_an_event_that_finds_no_room_reaches_no_group(bus: MemoryBus) -> None:
    roomy, stuck = Listener[ProbeEvent](), Listener[ProbeEvent]()
    stuck.hold()
    await bus.subscribe_events(ProbeEvent, "roomy", roomy, LANE)
    await bus.subscribe_events(ProbeEvent, "stuck", stuck, LANE)
    for number in range(3):
        await bus.publish(event("key", number))
    with pytest.raises(HiveError, match=r"hive\.probe\.events\.lane for group 'stuck' is full \(3 records"):
        await bus.publish(event("key", 3))
    stuck.let_go()
    await stuck.until_done(3)
    await bus.publish(event("key", 4))
    await stuck.until_done(4)
    await roomy.until_done(4)
    assert sequences(stuck.got) == sequences(roomy.got) == [0, 1, 2, 4]


async def test_closing_the_bus_sends_waiting_publishers_away(clock: ManualClock, reports: Reports) -> None:
    bus = MemoryBus(clock, reports, queue_items=1, publish_wait=20)
    listener = Listener[ProbeEvent]()
    listener.hold()
    options = Options(fields={"lane": "lane"}, grace=0.01)
    await bus.subscribe_events(ProbeEvent, "group", listener, options)
    await bus.publish(event("key"))
    publishing = asyncio.ensure_future(bus.publish(event("key")))
    await listener.until_running(1)
    await bus.close()
    with pytest.raises(RuntimeError, match="closed"):
        await publishing


async def test_the_newest_events_are_kept_for_a_new_group(clock: ManualClock, reports: Reports) -> None:
    bus = MemoryBus(clock, reports, kept_items=3)
    for number in range(5):
        await bus.publish(event("key", number))
    listener = Listener[ProbeEvent]()
    await bus.subscribe_events(ProbeEvent, "group", listener, LANE)
    await listener.until_done(3)
    assert sequences(listener.got) == [2, 3, 4]
    await bus.close()


async def test_the_pause_between_tries_doubles_up_to_the_longest(clock: ManualClock, bus: MemoryBus) -> None:
    listener = Listener[ProbeEvent](fails=lambda record: True)
    retry = Retry(tries=5, first_pause=1.0, longest_pause=3.0)
    await bus.subscribe_events(ProbeEvent, "group", listener, Options(fields={"lane": "lane"}, retry=retry))
    await bus.publish(event("key"))
    expected = [1.0, 2.0, 3.0, 3.0]
    for number, seconds in enumerate(expected, start=1):
        await clock.until_pauses(number)
        clock.advance(seconds - 0.001)
        assert not await bus.drain(0.01)
        assert len(listener.got) == number
        clock.advance(0.001)
    assert await bus.drain(20)
    assert len(listener.got) == 5
    assert clock.pauses == expected


async def test_a_batch_that_is_not_full_waits_for_its_time(clock: ManualClock, bus: MemoryBus) -> None:
    listener = Listener[Sequence[ProbeEvent]]()
    await bus.subscribe_batches(ProbeEvent, "group", listener, Batch(10, 5.0), LANE)
    await bus.publish(event("a", 0))
    await eventually(lambda: clock.pauses == [5.0], "the batch has an end")
    clock.advance(4.0)
    await bus.publish(event("b", 1))
    await bus.publish(event("a", 2))
    assert not await bus.drain(0.01)
    assert listener.got == []
    clock.advance(1.0)
    await listener.until_done(1)
    assert [sequences(batch) for batch in listener.got] == [[0, 1, 2]]


async def test_a_record_ages_while_the_batch_before_it_is_handled(clock: ManualClock, bus: MemoryBus) -> None:
    listener = Listener[Sequence[ProbeEvent]]()
    listener.hold()
    await bus.subscribe_batches(ProbeEvent, "group", listener, Batch(2, 5.0), LANE)
    await bus.publish(event("a", 0))
    await bus.publish(event("b", 1))
    await listener.until_running(1)
    await bus.publish(event("a", 2))
    clock.advance(3.0)
    listener.let_go()
    await eventually(lambda: clock.pauses == [2.0], "the rest of its time")
    clock.advance(2.0)
    await listener.until_done(2)
    assert [sequences(batch) for batch in listener.got] == [[0, 1], [2]]


async def test_a_handler_that_raises_a_cancellation_of_its_own_has_failed(
    bus: MemoryBus, reports: Reports
) -> None:
    letters = Listener[DeadLetter]()
    fields = {"source_topic": "hive.probe.events.lane"}
    await bus.subscribe_events(DeadLetter, "letters", letters, Options(fields=fields))

    async def handler(record: ProbeEvent) -> None:
        raise asyncio.CancelledError

    options = Options(fields={"lane": "lane"}, retry=Retry(tries=1))
    await bus.subscribe_events(ProbeEvent, "group", handler, options)
    await bus.publish(event("key"))
    await letters.until_done(1)
    assert letters.got[0].error.startswith("RuntimeError: the handler raised CancelledError")
    assert reports.names == ["hive.probe.events.lane in group group, key 'key'"]


async def test_a_dead_letter_that_finds_no_room_is_published_later(
    clock: ManualClock, bus: MemoryBus
) -> None:
    letters = Listener[DeadLetter]()
    letters.hold()
    fields = {"source_topic": "hive.probe.events.lane"}
    await bus.subscribe_events(DeadLetter, "letters", letters, Options(fields=fields))
    for number in range(3):
        await bus.publish(DeadLetter(source_topic="hive.probe.events.lane", key=str(number)))
    broken = Listener[ProbeEvent](fails=lambda record: True)
    retry = Retry(tries=1, longest_pause=7.0)
    await bus.subscribe_events(ProbeEvent, "group", broken, Options(fields={"lane": "lane"}, retry=retry))
    await bus.publish(event("poison"))
    await eventually(lambda: clock.pauses == [7.0], "the dead letter found no room")
    letters.let_go()
    await letters.until_done(3)
    clock.advance(7.0)
    await letters.until_done(4)
    assert [letter.key for letter in letters.got] == ["0", "1", "2", "poison"]
    assert len(broken.got) == 1


class Lanes:
    """Handlers of one group that come and go; a record fails as often as its sequence modulo three says."""

    def __init__(self) -> None:
        self.done: list[ProbeEvent] = []
        self.overlaps: list[str] = []
        self._busy: set[str] = set()
        self._failures: dict[int, int] = {}

    async def one(self, record: ProbeEvent) -> None:
        await self.many([record])

    async def many(self, records: Sequence[ProbeEvent]) -> None:
        keys = {record.key for record in records}
        self.overlaps.extend(keys & self._busy)
        self._busy |= keys
        try:
            await asyncio.sleep(0)
            for record in records:
                self._fail_at_first(record.sequence)
            self.done.extend(records)
        finally:
            self._busy -= keys

    def _fail_at_first(self, sequence: int) -> None:
        failures = self._failures.get(sequence, 0)
        if failures < sequence % 3:
            self._failures[sequence] = failures + 1
            raise ValueError("not yet")


ACTIONS = st.lists(
    st.sampled_from(["single", "batch", "oldest leaves", "newest leaves", "let run"]) | st.integers(0, 4),
    max_size=40,
)


@settings(max_examples=150, deadline=None, database=None)
@given(actions=ACTIONS)
async def test_no_event_is_lost_or_overtaken_whoever_comes_and_goes(actions: list[str | int]) -> None:
    bus = MemoryBus(SystemClock(), Reports())
    lanes = Lanes()
    working: list[Subscription] = []
    retry = Retry(tries=8, first_pause=0.0)
    patient = Options(fields={"lane": "lane"}, concurrency=2, retry=retry)
    hasty = Options(fields={"lane": "lane"}, concurrency=2, retry=retry, grace=0.0)
    published: list[ProbeEvent] = []
    for sequence, action in enumerate(actions):
        if isinstance(action, int):
            published.append(event(f"key-{action}", sequence))
            await bus.publish(published[-1])
        elif action == "single":
            working.append(await bus.subscribe_events(ProbeEvent, "group", lanes.one, patient))
        elif action == "batch":
            working.append(await bus.subscribe_batches(ProbeEvent, "group", lanes.many, Batch(3, 0.0), hasty))
        elif action == "let run":
            await asyncio.sleep(0)
        elif working:
            await working.pop(0 if action == "oldest leaves" else -1).close()
    await bus.subscribe_events(ProbeEvent, "group", lanes.one, patient)
    assert await bus.drain(20)
    assert lanes.overlaps == []
    for key in {record.key for record in published}:
        of_key = [record for record in published if record.key == key]
        assert [record for record in lanes.done if record.key == key] == of_key
    await bus.close()


async def test_a_slow_state_handler_gets_the_newest_change_alone(bus: MemoryBus) -> None:
    listener = Listener[StateChange[ProbeState]]()
    listener.hold()
    await bus.subscribe_state(ProbeState, listener, LANE)
    await bus.publish(state("a", "0"))
    await listener.until_running(1)
    for number in range(1, 100):
        await bus.publish(state("a", str(number)))
        await bus.publish(state("b", str(number)))
    await bus.retire(ProbeState, "b", {"lane": "lane"})
    listener.let_go()
    assert await bus.drain(20)
    assert listener.got == [
        StateChange("a", state("a", "0")),
        StateChange("a", state("a", "99")),
        StateChange("b", None),
    ]


async def test_drain_knows_of_events_whose_group_has_no_subscription(bus: MemoryBus) -> None:
    subscription = await bus.subscribe_events(ProbeEvent, "group", Listener[ProbeEvent](), LANE)
    await subscription.close()
    assert await bus.drain(0)
    await bus.publish(event("key"))
    assert not await bus.drain(0.01)


async def test_closing_cuts_off_what_outlasts_its_grace_and_leaves_no_task(
    clock: ManualClock, reports: Reports
) -> None:
    bus = MemoryBus(clock, reports)
    tasks_before = asyncio.all_tasks()
    options = Options(fields={"lane": "lane"}, grace=0.01)
    stuck = Listener[object]()
    stuck.hold()
    await bus.subscribe_requests(ProbeRequest, "group", stuck, options)
    await bus.subscribe_events(ProbeEvent, "group", stuck, options)
    await bus.subscribe_batches(ProbeEvent, "batches", stuck, Batch(1, 5.0), options)
    await bus.subscribe_batches(ProbeEvent, "collecting", stuck, Batch(2, 5.0), options)
    await bus.subscribe_state(ProbeState, stuck, options)
    await bus.publish(request("a"))
    await bus.publish(event("key"))
    await bus.publish(state("a", "0"))
    await stuck.until_running(4)
    await bus.close()
    await bus.close()
    assert stuck.running == 0
    assert asyncio.all_tasks() == tasks_before
    assert reports.errors == []
