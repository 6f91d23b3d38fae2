"""EVENT in batches: by size or time, retried whole, then record by record."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from hive_bus.conformance.events import event, hear_dead_letters, in_lane
from hive_bus.conformance.suite import BusConformance, Listener, Restart, eventually
from hive_bus.port import Batch, Bus, DeadLetterLimit, Retry
from modelhive.probe.v1.probe_pb2 import ProbeEvent, ProbeState

SOON = 0.02
# Longer than any test: only the size can end such a batch.
NEVER = 600.0
TWICE = Retry(tries=2, first_pause=0.01)

Records = Sequence[ProbeEvent]


def sizes(batches: list[Records]) -> list[int]:
    return [len(batch) for batch in batches]


def sequences(batches: list[Records]) -> list[int]:
    return [record.sequence for batch in batches for record in batch]


class BatchConformance(BusConformance):
    async def test_a_batch_is_handed_over_when_it_is_full(self, bus: Bus, lane: str, group: str) -> None:
        listener = Listener[Records]()
        await bus.subscribe_batches(ProbeEvent, group, listener, Batch(4, NEVER), in_lane(lane))
        for number in range(10):
            await bus.publish(event(lane, f"key-{number % 3}", number))
        await listener.until_done(2)
        assert sizes(listener.got) == [4, 4]
        for number in range(10, 12):
            await bus.publish(event(lane, f"key-{number % 3}", number))
        await listener.until_done(3)
        assert sizes(listener.got) == [4, 4, 4]
        assert sorted(sequences(listener.got)) == list(range(12))

    async def test_a_batch_is_handed_over_when_it_is_old(self, bus: Bus, lane: str, group: str) -> None:
        listener = Listener[Records]()
        await bus.subscribe_batches(ProbeEvent, group, listener, Batch(100, SOON), in_lane(lane))
        for number in range(3):
            await bus.publish(event(lane, "key", number))
        await eventually(lambda: len(sequences(listener.done)) == 3, "three records handled")
        assert sequences(listener.got) == [0, 1, 2]

    async def test_batches_keep_the_order_and_come_one_after_another(
        self, bus: Bus, lane: str, group: str
    ) -> None:
        listener = Listener[Records]()
        listener.hold()
        await bus.subscribe_batches(ProbeEvent, group, listener, Batch(5, SOON), in_lane(lane))
        for number in range(40):
            await bus.publish(event(lane, f"key-{number % 4}", number))
        await listener.until_running(1)
        listener.let_go()
        await eventually(lambda: len(sequences(listener.done)) == 40, "40 records handled")
        assert listener.most == 1
        assert max(sizes(listener.got)) <= 5
        for remainder in range(4):
            of_key = [number for number in sequences(listener.done) if number % 4 == remainder]
            assert of_key == list(range(remainder, 40, 4))

    async def test_subscriptions_of_a_group_share_the_records(self, bus: Bus, lane: str, group: str) -> None:
        first, second = Listener[Records](), Listener[Records]()
        await bus.subscribe_batches(ProbeEvent, group, first, Batch(5, SOON), in_lane(lane))
        await bus.subscribe_batches(ProbeEvent, group, second, Batch(5, SOON), in_lane(lane))
        for number in range(40):
            await bus.publish(event(lane, f"key-{number}", number))
        await eventually(lambda: len(sequences(first.done + second.done)) >= 40, "40 records handled by both")
        assert sorted(sequences(first.got + second.got)) == list(range(40))

    async def test_a_batch_that_fails_is_tried_whole_and_then_record_by_record(
        self, bus: Bus, lane: str, group: str
    ) -> None:
        listener = Listener[Records](fails=lambda batch: 1 in sequences([batch]))
        letters = await hear_dead_letters(bus, lane, group)
        subscription = await bus.subscribe_batches(
            ProbeEvent, group, listener, Batch(3, NEVER), in_lane(lane, TWICE)
        )
        for number in range(6):
            await bus.publish(event(lane, "key", number))
        await eventually(lambda: len(sequences(listener.done)) == 5, "five records handled")
        assert sizes(listener.got) == [3, 3, 1, 1, 1, 1, 3]
        assert sequences(listener.done) == [0, 2, 3, 4, 5]
        await letters.until_done(1)
        letter = letters.got[0]
        assert ProbeEvent.FromString(letter.payload) == event(lane, "key", 1)
        assert (letter.key, letter.group, letter.attempts) == ("key", group, 4)
        assert letter.error == "ValueError: this one is poison"
        assert subscription.failure is None

    async def test_a_batch_that_succeeds_later_stays_whole(self, bus: Bus, lane: str, group: str) -> None:
        listener = Listener[Records](fails=lambda batch: len(listener.got) == 1)
        await bus.subscribe_batches(ProbeEvent, group, listener, Batch(3, NEVER), in_lane(lane, TWICE))
        for number in range(3):
            await bus.publish(event(lane, "key", number))
        await listener.until_done(1)
        assert sizes(listener.got) == [3, 3]

    async def test_too_many_dead_letters_stop_the_subscription(self, bus: Bus, lane: str, group: str) -> None:
        broken, repaired = Listener[Records](fails=lambda batch: True), Listener[Records]()
        options = in_lane(lane, Retry(tries=1), dead_letters=DeadLetterLimit(ratio=0.5, window=4))
        subscription = await bus.subscribe_batches(ProbeEvent, group, broken, Batch(5, NEVER), options)
        for number in range(5):
            await bus.publish(event(lane, "key", number))
        await eventually(lambda: subscription.failure is not None, "the subscription stopped")
        await subscription.close()
        assert sizes(broken.got) == [5, 1, 1, 1]
        await bus.subscribe_batches(ProbeEvent, group, repaired, Batch(5, SOON), in_lane(lane))
        await eventually(lambda: len(sequences(repaired.done)) == 2, "the rest handled")
        assert sequences(repaired.got) == [3, 4]

    async def test_closing_waits_for_the_batch_at_work_and_keeps_the_one_that_collects(
        self, bus: Bus, lane: str, group: str, restart: Restart
    ) -> None:
        before, after = Listener[Records](), Listener[Records]()
        before.hold()
        subscription = await bus.subscribe_batches(ProbeEvent, group, before, Batch(2, NEVER), in_lane(lane))
        for number in range(3):
            await bus.publish(event(lane, "key", number))
        await before.until_running(1)
        closing = asyncio.ensure_future(subscription.close())
        await asyncio.wait({closing}, timeout=0.05)
        assert not closing.done()
        before.let_go()
        await closing
        bus = await restart()
        await bus.subscribe_batches(ProbeEvent, group, after, Batch(2, SOON), in_lane(lane))
        await after.until_done(1)
        assert sequences(before.done) == [0, 1]
        assert sequences(after.got) == [2]

    async def test_other_deliveries_are_refused(self, bus: Bus, lane: str, group: str) -> None:
        with pytest.raises(TypeError, match=r"ProbeState travels as STATE, not as EVENT"):
            await bus.subscribe_batches(
                ProbeState, group, Listener[Sequence[ProbeState]](), Batch(1, SOON), in_lane(lane)
            )
