"""STATE: the last record of each key at the start, then every change; retired keys are gone."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hive_bus.conformance.suite import PATIENCE, BusConformance, Listener, eventually, unique
from hive_bus.port import Bus, DeadLetterLimit, Options, Retry, StateChange, Subscription
from modelhive.probe.v1.probe_pb2 import ProbeEvent, ProbeState

Change = StateChange[ProbeState]
Changes = list[tuple[str, str | None]]

KEYS = st.sampled_from(["a", "b", "c", "d"])
# A key with its new value, or with None where it is retired.
CHANGES = st.lists(st.tuples(KEYS, st.none() | st.text(max_size=3)), max_size=12)


def state(lane: str, key: str, value: str) -> ProbeState:
    return ProbeState(lane=lane, key=key, value=value)


def in_lane(
    lane: str,
    retry: Retry = Retry(tries=3, first_pause=0.01),
    dead_letters: DeadLetterLimit = DeadLetterLimit(),
    grace: float = 10.0,
) -> Options:
    return Options(fields={"lane": lane}, retry=retry, dead_letters=dead_letters, grace=grace)


def heard(changes: list[Change]) -> Changes:
    return [(change.key, None if change.message is None else change.message.value) for change in changes]


async def apply(bus: Bus, lane: str, changes: Changes) -> None:
    for key, value in changes:
        if value is None:
            await bus.retire(ProbeState, key, {"lane": lane})
        else:
            await bus.publish(state(lane, key, value))


def compacted(changes: Changes) -> Changes:
    """What stands on the topic after these changes, in the order of the keys' last ones."""
    last: dict[str, str | None] = {}
    for key, value in changes:
        last.pop(key, None)
        last[key] = value
    return [(key, value) for key, value in last.items() if value is not None]


async def subscribe(bus: Bus, lane: str) -> tuple[Listener[Change], Subscription]:
    """A listener that has heard all that stood on the topic."""
    listener = Listener[Change]()
    subscription = await bus.subscribe_state(ProbeState, listener, in_lane(lane))
    await asyncio.wait_for(subscription.caught_up(), PATIENCE)
    return listener, subscription


class StateConformance(BusConformance):
    async def test_an_empty_topic_is_caught_up_at_once(self, bus: Bus, lane: str) -> None:
        listener, _ = await subscribe(bus, lane)
        assert listener.got == []

    async def test_the_replay_holds_the_last_value_of_each_key(self, bus: Bus, lane: str) -> None:
        await apply(bus, lane, [("a", "1"), ("b", "1"), ("a", "2"), ("c", "1"), ("b", "2")])
        listener, _ = await subscribe(bus, lane)
        assert heard(listener.done) == [("a", "2"), ("c", "1"), ("b", "2")]

    async def test_the_replay_holds_no_retired_key(self, bus: Bus, lane: str) -> None:
        await apply(bus, lane, [("a", "1"), ("b", "1"), ("a", None), ("c", None)])
        listener, _ = await subscribe(bus, lane)
        assert heard(listener.done) == [("b", "1")]

    async def test_changes_follow_the_replay_in_order(self, bus: Bus, lane: str) -> None:
        await apply(bus, lane, [("a", "1")])
        listener, _ = await subscribe(bus, lane)
        expected: Changes = [("a", "1"), ("a", "2"), ("b", "1"), ("a", None), ("b", "2"), ("a", "3")]
        for number in range(1, len(expected)):
            await apply(bus, lane, [expected[number]])
            await listener.until_done(number + 1)
        assert heard(listener.done) == expected

    async def test_a_late_subscriber_hears_what_the_others_know(self, bus: Bus, lane: str) -> None:
        early, _ = await subscribe(bus, lane)
        await apply(bus, lane, [("a", "1"), ("b", "1"), ("b", None), ("a", "2")])
        await eventually(lambda: bool(early.done) and heard(early.done)[-1] == ("a", "2"), "the early one")
        late, _ = await subscribe(bus, lane)
        assert heard(late.done) == [("a", "2")]
        await apply(bus, lane, [("c", "1")])
        await late.until_done(2)
        await eventually(lambda: heard(early.done)[-1] == ("c", "1"), "the early one")
        assert heard(late.done) == [("a", "2"), ("c", "1")]

    async def test_caught_up_waits_for_the_handler(self, bus: Bus, lane: str) -> None:
        await apply(bus, lane, [("a", "1"), ("b", "1")])
        listener = Listener[Change]()
        listener.hold()
        subscription = await bus.subscribe_state(ProbeState, listener, in_lane(lane))
        caught_up = asyncio.ensure_future(subscription.caught_up())
        await listener.until_running(1)
        await asyncio.wait({caught_up}, timeout=0.05)
        assert not caught_up.done()
        listener.let_go()
        await asyncio.wait_for(caught_up, PATIENCE)
        assert heard(listener.done) == [("a", "1"), ("b", "1")]

    async def test_drain_waits_for_the_handler(self, bus: Bus, lane: str) -> None:
        listener, _ = await subscribe(bus, lane)
        listener.hold()
        await apply(bus, lane, [("a", "1")])
        await listener.until_running(1)
        assert not await bus.drain(0.01)
        listener.let_go()
        assert await bus.drain(PATIENCE)
        assert heard(listener.done) == [("a", "1")]

    async def test_a_slow_subscriber_delays_nobody(self, bus: Bus, lane: str) -> None:
        slow, quick = Listener[Change](), Listener[Change]()
        slow.hold()
        await bus.subscribe_state(ProbeState, slow, in_lane(lane))
        await bus.subscribe_state(ProbeState, quick, in_lane(lane))
        await apply(bus, lane, [(f"key-{number % 5}", str(number)) for number in range(500)])
        last: Changes = [(f"key-{number % 5}", str(number)) for number in range(495, 500)]
        await eventually(lambda: heard(quick.done)[-5:] == last, "the quick one has the last values")
        assert slow.done == []
        slow.let_go()
        await eventually(lambda: heard(slow.done)[-5:] == last, "the slow one has the last values")
        assert slow.most == quick.most == 1
        for listener in (slow, quick):
            numbers = [int(value) for _, value in heard(listener.got) if value is not None]
            assert numbers == sorted(set(numbers))

    async def test_a_handler_that_raises_is_tried_again(
        self, bus: Bus, lane: str, reports: list[BaseException]
    ) -> None:
        listener = Listener[Change](fails=lambda change: len(listener.got) < 3)
        await bus.subscribe_state(ProbeState, listener, in_lane(lane))
        await apply(bus, lane, [("a", "1")])
        await listener.until_done(1)
        await apply(bus, lane, [("b", "1")])
        await listener.until_done(2)
        assert heard(listener.got) == [("a", "1"), ("a", "1"), ("a", "1"), ("b", "1")]
        assert reports == []

    async def test_a_change_that_cannot_be_handled_is_reported_and_passed_over(
        self, bus: Bus, lane: str, reports: list[BaseException]
    ) -> None:
        await apply(bus, lane, [("a", "poison"), ("b", "1")])
        listener = Listener[Change](fails=lambda change: heard([change]) == [("a", "poison")])
        subscription = await bus.subscribe_state(ProbeState, listener, in_lane(lane))
        await asyncio.wait_for(subscription.caught_up(), PATIENCE)
        await apply(bus, lane, [("a", "2")])
        await listener.until_done(2)
        assert heard(listener.got) == [("a", "poison")] * 3 + [("b", "1"), ("a", "2")]
        assert [str(report) for report in reports] == ["this one is poison"]
        assert subscription.failure is None

    async def test_too_many_failures_stop_the_subscription(self, bus: Bus, lane: str) -> None:
        await apply(bus, lane, [(str(number), "1") for number in range(6)])
        listener = Listener[Change](fails=lambda change: True)
        options = in_lane(lane, Retry(tries=1), DeadLetterLimit(ratio=0.5, window=4))
        subscription = await bus.subscribe_state(ProbeState, listener, options)
        with pytest.raises(RuntimeError, match="this one is poison"):
            await asyncio.wait_for(subscription.caught_up(), PATIENCE)
        assert subscription.failure is not None
        assert heard(listener.got) == [("0", "1"), ("1", "1"), ("2", "1")]

    async def test_closing_waits_for_the_handler_and_ends_the_changes(self, bus: Bus, lane: str) -> None:
        listener, subscription = await subscribe(bus, lane)
        listener.hold()
        await apply(bus, lane, [("a", "1")])
        await listener.until_running(1)
        closing = asyncio.ensure_future(subscription.close())
        await asyncio.wait({closing}, timeout=0.05)
        assert not closing.done()
        listener.let_go()
        await closing
        await subscription.close()
        await apply(bus, lane, [("b", "1")])
        other, _ = await subscribe(bus, lane)
        assert heard(other.done) == [("a", "1"), ("b", "1")]
        assert heard(listener.got) == [("a", "1")]

    async def test_closing_ends_the_wait_for_the_replay(self, bus: Bus, lane: str) -> None:
        await apply(bus, lane, [("a", "1")])
        stuck = Listener[Change]()
        stuck.hold()
        subscription = await bus.subscribe_state(ProbeState, stuck, in_lane(lane, grace=0.01))
        await stuck.until_running(1)
        await subscription.close()
        with pytest.raises(RuntimeError):
            await asyncio.wait_for(subscription.caught_up(), PATIENCE)

    @settings(
        max_examples=25,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(before=CHANGES, after=CHANGES)
    async def test_the_replay_is_the_state(self, bus: Bus, before: Changes, after: Changes) -> None:
        lane = unique("lane")
        await apply(bus, lane, before)
        early, _ = await subscribe(bus, lane)
        assert heard(early.done) == compacted(before)
        await apply(bus, lane, [*after, ("end", "1")])
        await eventually(lambda: heard(early.done)[-1:] == [("end", "1")], "all changes heard")
        everything: Changes = [*before, *after, ("end", "1")]
        assert compacted(heard(early.done)) == compacted(everything)
        late, _ = await subscribe(bus, lane)
        assert heard(late.done) == compacted(everything)

    async def test_other_deliveries_are_refused(self, bus: Bus, lane: str) -> None:
        with pytest.raises(TypeError, match=r"ProbeEvent travels as EVENT, not as STATE"):
            await bus.subscribe_state(ProbeEvent, Listener[StateChange[ProbeEvent]](), in_lane(lane))
        with pytest.raises(TypeError, match=r"ProbeEvent travels as EVENT, not as STATE"):
            await bus.retire(ProbeEvent, "key", {"lane": lane})
