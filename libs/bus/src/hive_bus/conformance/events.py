"""EVENT: at least once, in order per key within a group, retried, then dead-lettered."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from hive_bus.conformance.suite import BusConformance, Listener, Restart, eventually
from hive_bus.port import Bus, DeadLetterLimit, Options, Retry
from hive_bus.topics import route_of
from modelhive.events.v1.dead_letter_pb2 import DeadLetter
from modelhive.probe.v1.probe_pb2 import ProbeEvent, ProbeRequest

QUICK = Retry(tries=3, first_pause=0.01)
ONCE = Retry(tries=1)
# Longer than any test: what waits for it is as good as stuck.
NEVER = Retry(tries=2, first_pause=600.0, longest_pause=600.0)


def event(lane: str, key: str, sequence: int) -> ProbeEvent:
    return ProbeEvent(lane=lane, key=key, sequence=sequence)


def in_lane(
    lane: str,
    retry: Retry = QUICK,
    concurrency: int = 256,
    dead_letters: DeadLetterLimit = DeadLetterLimit(),
    grace: float = 10.0,
) -> Options:
    return Options(
        fields={"lane": lane}, retry=retry, concurrency=concurrency, dead_letters=dead_letters, grace=grace
    )


def sequences(records: list[ProbeEvent], key: str) -> list[int]:
    return [record.sequence for record in records if record.key == key]


async def hear_dead_letters(bus: Bus, lane: str, group: str) -> Listener[DeadLetter]:
    listener = Listener[DeadLetter]()
    fields = {"source_topic": route_of(ProbeEvent).topic_with({"lane": lane})}
    await bus.subscribe_events(DeadLetter, f"{group}-dlq", listener, Options(fields=fields))
    return listener


class EventConformance(BusConformance):
    async def test_every_group_gets_a_record_once(self, bus: Bus, lane: str, group: str) -> None:
        first, second = Listener[ProbeEvent](), Listener[ProbeEvent]()
        await bus.subscribe_events(ProbeEvent, f"{group}-1", first, in_lane(lane))
        await bus.subscribe_events(ProbeEvent, f"{group}-2", second, in_lane(lane))
        for number in range(20):
            await bus.publish(event(lane, f"key-{number % 3}", number))
        await first.until_done(20)
        await second.until_done(20)
        assert sorted(record.sequence for record in first.got) == list(range(20))
        assert sorted(record.sequence for record in second.got) == list(range(20))

    async def test_subscriptions_of_a_group_share_the_records_in_order_per_key(
        self, bus: Bus, lane: str, group: str
    ) -> None:
        first, second = Listener[ProbeEvent](), Listener[ProbeEvent]()
        done: list[ProbeEvent] = []
        first.done = second.done = done
        await bus.subscribe_events(ProbeEvent, group, first, in_lane(lane, concurrency=2))
        await bus.subscribe_events(ProbeEvent, group, second, in_lane(lane, concurrency=2))
        for number in range(60):
            await bus.publish(event(lane, f"key-{number % 6}", number))
        await eventually(lambda: len(done) >= 60, "60 handled by both")
        for remainder in range(6):
            assert sequences(done, f"key-{remainder}") == list(range(remainder, 60, 6))
        assert len(first.got) + len(second.got) == 60

    async def test_what_is_published_together_keeps_its_order(self, bus: Bus, lane: str, group: str) -> None:
        listener = Listener[ProbeEvent]()
        await bus.subscribe_events(ProbeEvent, group, listener, in_lane(lane))
        together = [event(lane, f"key-{number % 3}", number) for number in range(100)]
        assert await bus.publish_all(together) == 100
        assert await bus.publish_all([]) == 0
        await listener.until_done(100)
        for remainder in range(3):
            assert sequences(listener.done, f"key-{remainder}") == list(range(remainder, 100, 3))

    async def test_keys_run_side_by_side_and_each_in_order(self, bus: Bus, lane: str, group: str) -> None:
        slow, quick = Listener[ProbeEvent](), Listener[ProbeEvent]()
        slow.hold()

        async def handler(record: ProbeEvent) -> None:
            await (slow if record.key == "slow" else quick)(record)

        await bus.subscribe_events(ProbeEvent, group, handler, in_lane(lane))
        for number in range(10):
            await bus.publish(event(lane, "slow", number))
            await bus.publish(event(lane, f"quick-{number}", number))
        await quick.until_done(10)
        assert sequences(slow.got, "slow") == [0]
        slow.let_go()
        await slow.until_done(10)
        assert sequences(slow.got, "slow") == list(range(10))
        assert slow.most == 1

    async def test_handlers_run_concurrently_up_to_the_bound(self, bus: Bus, lane: str, group: str) -> None:
        listener = Listener[ProbeEvent]()
        listener.hold()
        await bus.subscribe_events(ProbeEvent, group, listener, in_lane(lane, concurrency=3))
        for number in range(12):
            await bus.publish(event(lane, f"key-{number}", number))
        await listener.until_running(3)
        listener.let_go()
        await listener.until_done(12)
        assert listener.most == 3

    async def test_what_waits_is_bounded_and_comes_when_there_is_room(
        self, bus: Bus, lane: str, group: str
    ) -> None:
        listener = Listener[ProbeEvent]()
        listener.hold()
        await bus.subscribe_events(ProbeEvent, group, listener, in_lane(lane, concurrency=1))
        records = (event(lane, "key", number) for number in count())
        taken = await self.publish_until_refused(bus, records, (lane, group))
        listener.let_go()
        await listener.until_done(taken)
        await bus.publish(event(lane, "key", taken))
        await listener.until_done(taken + 1)
        assert sequences(listener.got, "key") == list(range(taken + 1))

    async def test_a_retry_that_succeeds_keeps_the_order(self, bus: Bus, lane: str, group: str) -> None:
        failed: list[int] = []

        def fails(record: ProbeEvent) -> bool:
            if record.sequence % 4 or failed.count(record.sequence) == 2:
                return False
            failed.append(record.sequence)
            return True

        listener = Listener[ProbeEvent](fails)
        letters = await hear_dead_letters(bus, lane, group)
        subscription = await bus.subscribe_events(ProbeEvent, group, listener, in_lane(lane))
        for number in range(12):
            await bus.publish(event(lane, "key", number))
        await listener.until_done(12)
        assert sequences(listener.done, "key") == list(range(12))
        assert sequences(listener.got, "key")[:4] == [0, 0, 0, 1]
        assert failed == [0, 0, 4, 4, 8, 8]
        assert letters.got == []
        assert subscription.failure is None

    async def test_poison_becomes_a_dead_letter_and_the_others_flow(
        self, bus: Bus, lane: str, group: str
    ) -> None:
        listener = Listener[ProbeEvent](fails=lambda record: record.sequence == 3)
        letters = await hear_dead_letters(bus, lane, group)
        subscription = await bus.subscribe_events(ProbeEvent, group, listener, in_lane(lane))
        for number in range(10):
            await bus.publish(event(lane, "odd" if number % 2 else "even", number))
        await listener.until_done(9)
        await letters.until_done(1)
        assert sequences(listener.got, "odd") == [1, 3, 3, 3, 5, 7, 9]
        assert sequences(listener.got, "even") == [0, 2, 4, 6, 8]
        letter = letters.got[0]
        assert letter.source_topic == route_of(ProbeEvent).topic_with({"lane": lane})
        assert (letter.key, letter.group, letter.attempts) == ("odd", group, 3)
        assert ProbeEvent.FromString(letter.payload) == event(lane, "odd", 3)
        assert letter.error == "ValueError: this one is poison"
        assert subscription.failure is None

    async def test_too_many_dead_letters_stop_the_subscription(self, bus: Bus, lane: str, group: str) -> None:
        broken = Listener[ProbeEvent](fails=lambda record: True)
        letters = await hear_dead_letters(bus, lane, group)
        options = in_lane(lane, ONCE, dead_letters=DeadLetterLimit(ratio=0.5, window=4))
        subscription = await bus.subscribe_events(ProbeEvent, group, broken, options)
        for number in range(8):
            await bus.publish(event(lane, "key", number))
        await eventually(lambda: subscription.failure is not None, "the subscription stopped")
        await subscription.close()
        assert sequences(broken.got, "key") == [0, 1, 2]
        assert "this one is poison" in str(subscription.failure)
        await letters.until_done(3)

        repaired = Listener[ProbeEvent]()
        await bus.subscribe_events(ProbeEvent, group, repaired, in_lane(lane))
        await repaired.until_done(5)
        assert sequences(repaired.got, "key") == [3, 4, 5, 6, 7]

    async def test_fewer_dead_letters_do_not_stop_it(self, bus: Bus, lane: str, group: str) -> None:
        listener = Listener[ProbeEvent](fails=lambda record: record.sequence % 2 == 0)
        options = in_lane(lane, ONCE, dead_letters=DeadLetterLimit(ratio=0.5, window=4))
        subscription = await bus.subscribe_events(ProbeEvent, group, listener, options)
        for number in range(20):
            await bus.publish(event(lane, "key", number))
        await listener.until_done(10)
        assert sequences(listener.got, "key") == list(range(20))
        assert subscription.failure is None

    async def test_a_new_group_starts_with_the_oldest_record(self, bus: Bus, lane: str, group: str) -> None:
        for number in range(5):
            await bus.publish(event(lane, "key", number))
        for name in ("first", "later"):
            listener = Listener[ProbeEvent]()
            await bus.subscribe_events(ProbeEvent, f"{group}-{name}", listener, in_lane(lane))
            await listener.until_done(5)
            assert sequences(listener.got, "key") == [0, 1, 2, 3, 4]

    async def test_a_group_misses_nothing_while_it_has_no_subscription(
        self, bus: Bus, lane: str, group: str, restart: Restart
    ) -> None:
        before, after = Listener[ProbeEvent](), Listener[ProbeEvent]()
        subscription = await bus.subscribe_events(ProbeEvent, group, before, in_lane(lane))
        await bus.publish(event(lane, "key", 0))
        await before.until_done(1)
        await subscription.close()
        await bus.publish(event(lane, "key", 1))
        bus = await restart()
        await bus.publish(event(lane, "key", 2))
        await bus.subscribe_events(ProbeEvent, group, after, in_lane(lane))
        await after.until_done(2)
        assert sequences(before.got, "key") == [0]
        assert sequences(after.got, "key") == [1, 2]

    async def test_closing_waits_for_the_handlers_that_run(
        self, bus: Bus, lane: str, group: str, restart: Restart
    ) -> None:
        before, after = Listener[ProbeEvent](), Listener[ProbeEvent]()
        before.hold()
        subscription = await bus.subscribe_events(ProbeEvent, group, before, in_lane(lane))
        await bus.publish(event(lane, "key", 0))
        await bus.publish(event(lane, "key", 1))
        await before.until_running(1)
        closing = asyncio.ensure_future(subscription.close())
        await asyncio.wait({closing}, timeout=0.05)
        assert not closing.done()
        before.let_go()
        await closing
        await subscription.close()
        bus = await restart()
        await bus.subscribe_events(ProbeEvent, group, after, in_lane(lane))
        await after.until_done(1)
        assert sequences(before.done, "key") == [0]
        assert sequences(after.got, "key") == [1]

    async def test_a_handler_cut_off_by_closing_is_called_again_elsewhere(
        self, bus: Bus, lane: str, group: str, restart: Restart
    ) -> None:
        stuck, after = Listener[ProbeEvent](), Listener[ProbeEvent]()
        stuck.hold()
        letters = await hear_dead_letters(bus, lane, group)
        subscription = await bus.subscribe_events(ProbeEvent, group, stuck, in_lane(lane, ONCE, grace=0.01))
        for number in range(3):
            await bus.publish(event(lane, "key", number))
        await stuck.until_running(1)
        await subscription.close()
        assert stuck.running == 0
        bus = await restart()
        await bus.subscribe_events(ProbeEvent, group, after, in_lane(lane))
        await after.until_done(3)
        assert sequences(after.got, "key") == [0, 1, 2]
        assert letters.got == []

    async def test_a_handler_that_fails_while_closing_is_called_again_elsewhere(
        self, bus: Bus, lane: str, group: str, restart: Restart
    ) -> None:
        failing, after = Listener[ProbeEvent](fails=lambda record: True), Listener[ProbeEvent]()
        failing.hold()
        subscription = await bus.subscribe_events(ProbeEvent, group, failing, in_lane(lane))
        await bus.publish(event(lane, "key", 0))
        await failing.until_running(1)
        closing = asyncio.ensure_future(subscription.close())
        await asyncio.wait({closing}, timeout=0.05)
        failing.let_go()
        await closing
        bus = await restart()
        await bus.subscribe_events(ProbeEvent, group, after, in_lane(lane))
        await after.until_done(1)
        assert len(failing.got) == 1

    async def test_what_waits_for_another_try_is_not_lost_by_closing(
        self, bus: Bus, lane: str, group: str, restart: Restart
    ) -> None:
        failing, after = Listener[ProbeEvent](fails=lambda record: True), Listener[ProbeEvent]()
        letters = await hear_dead_letters(bus, lane, group)
        subscription = await bus.subscribe_events(ProbeEvent, group, failing, in_lane(lane, NEVER))
        await bus.publish(event(lane, "key", 0))
        await eventually(lambda: bool(failing.got) and not failing.running, "the first try failed")
        await subscription.close()
        bus = await restart()
        await bus.subscribe_events(ProbeEvent, group, after, in_lane(lane))
        await after.until_done(1)
        assert len(failing.got) == 1
        assert letters.got == []

    async def test_drain_waits_for_retries(self, bus: Bus, lane: str, group: str) -> None:
        listener = Listener[ProbeEvent](fails=lambda record: True)
        await bus.subscribe_events(ProbeEvent, group, listener, in_lane(lane))
        listener.hold()
        await bus.publish(event(lane, "key", 0))
        await listener.until_running(1)
        assert not await bus.drain(0.01)
        listener.let_go()
        assert await bus.drain(30)
        assert len(listener.got) == 3

    async def test_other_deliveries_are_refused(self, bus: Bus, lane: str, group: str) -> None:
        with pytest.raises(TypeError, match=r"ProbeRequest travels as REQUEST, not as EVENT"):
            await bus.subscribe_events(ProbeRequest, group, Listener[ProbeRequest](), in_lane(lane))
