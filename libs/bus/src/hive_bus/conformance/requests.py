"""REQUEST: at most once, each group gets a record once, handlers run concurrently up to the bound."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count

import pytest

from hive_bus.conformance.suite import BusConformance, Listener, eventually
from hive_bus.port import Bus, Options
from hive_runtime.errors import HiveError
from modelhive.probe.v1.probe_pb2 import ProbeEvent, ProbeRequest, ProbeState, UnaryRequest


def request(lane: str, number: int) -> ProbeRequest:
    return ProbeRequest(id=str(number), lane=lane, body=b"body")


def in_lane(lane: str, concurrency: int = 256) -> Options:
    return Options(fields={"lane": lane}, concurrency=concurrency)


class RequestConformance(BusConformance):
    async def test_every_group_gets_a_record_once(self, bus: Bus, lane: str, group: str) -> None:
        first, second = Listener[ProbeRequest](), Listener[ProbeRequest]()
        await bus.subscribe_requests(ProbeRequest, f"{group}-1", first, in_lane(lane))
        await bus.subscribe_requests(ProbeRequest, f"{group}-2", second, in_lane(lane))
        records = [request(lane, number) for number in range(20)]
        for record in records:
            await bus.publish(record)
        await first.until_done(20)
        await second.until_done(20)
        assert sorted(first.got, key=lambda record: int(record.id)) == records
        assert sorted(second.got, key=lambda record: int(record.id)) == records

    async def test_what_stands_for_a_message_is_for_handlers_that_take_such(
        self, bus: Bus, lane: str, group: str
    ) -> None:
        plain = Listener[ProbeRequest]()
        await bus.subscribe_requests(ProbeRequest, group, plain, in_lane(lane))
        assert not bus.beside(ProbeRequest, {"lane": lane})(object())
        await bus.publish(request(lane, 1))
        await plain.until_done(1)
        assert plain.got == [request(lane, 1)]

    async def test_subscriptions_of_a_group_share_the_records(self, bus: Bus, lane: str, group: str) -> None:
        first, second = Listener[ProbeRequest](), Listener[ProbeRequest]()
        await bus.subscribe_requests(ProbeRequest, group, first, in_lane(lane))
        await bus.subscribe_requests(ProbeRequest, group, second, in_lane(lane))
        for number in range(40):
            await bus.publish(request(lane, number))
        await eventually(lambda: len(first.done) + len(second.done) >= 40, "40 handled by both")
        assert sorted(int(record.id) for record in first.got + second.got) == list(range(40))

    async def test_the_others_go_on_where_one_subscription_closes(
        self, bus: Bus, lane: str, group: str
    ) -> None:
        leaving, staying = Listener[ProbeRequest](), Listener[ProbeRequest]()
        subscription = await bus.subscribe_requests(ProbeRequest, group, leaving, in_lane(lane))
        await bus.subscribe_requests(ProbeRequest, group, staying, in_lane(lane))
        await subscription.close()
        for number in range(20):
            await bus.publish(request(lane, number))
        await staying.until_done(20)
        assert leaving.got == []

    async def test_lanes_are_topics_of_their_own(self, bus: Bus, lane: str, group: str) -> None:
        here, there = Listener[ProbeRequest](), Listener[ProbeRequest]()
        await bus.subscribe_requests(ProbeRequest, group, here, in_lane(f"{lane}-1"))
        await bus.subscribe_requests(ProbeRequest, group, there, in_lane(f"{lane}-2"))
        await bus.publish(request(f"{lane}-1", 1))
        await bus.publish(request(f"{lane}-2", 2))
        await here.until_done(1)
        await there.until_done(1)
        assert [record.id for record in here.got + there.got] == ["1", "2"]

    async def test_a_handler_that_raises_is_reported_and_never_called_again(
        self, bus: Bus, lane: str, group: str, reports: list[BaseException]
    ) -> None:
        listener = Listener[ProbeRequest](fails=lambda record: record.id == "0")
        subscription = await bus.subscribe_requests(ProbeRequest, group, listener, in_lane(lane))
        for number in range(30):
            await bus.publish(request(lane, number))
        await listener.until_done(29)
        await eventually(lambda: bool(reports), "the failure reported")
        assert [record.id for record in listener.got].count("0") == 1
        assert [str(report) for report in reports] == ["this one is poison"]
        assert subscription.failure is None

    async def test_a_handler_may_be_a_plain_function(
        self, bus: Bus, lane: str, group: str, reports: list[BaseException]
    ) -> None:
        got: list[str] = []

        def take(record: ProbeRequest) -> None:
            got.append(record.id)
            if record.id == "0":
                raise ValueError("this one is poison")

        await bus.subscribe_requests(ProbeRequest, group, take, in_lane(lane, concurrency=1))
        for number in range(20):
            await bus.publish(request(lane, number))
        await eventually(lambda: len(got) >= 20 and bool(reports), "20 handled, one reported")
        assert sorted(got, key=int) == [str(number) for number in range(20)]
        assert [str(report) for report in reports] == ["this one is poison"]
        assert await bus.drain(30)

    async def test_publishing_does_not_wait_for_the_handler(self, bus: Bus, lane: str, group: str) -> None:
        listener = Listener[ProbeRequest]()
        listener.hold()
        await bus.subscribe_requests(ProbeRequest, group, listener, in_lane(lane))
        await bus.publish(request(lane, 1))
        assert listener.done == []
        listener.let_go()
        await listener.until_done(1)

    async def test_handlers_run_concurrently_up_to_the_bound(self, bus: Bus, lane: str, group: str) -> None:
        listener = Listener[ProbeRequest]()
        listener.hold()
        await bus.subscribe_requests(ProbeRequest, group, listener, in_lane(lane, concurrency=3))
        for number in range(12):
            await bus.publish(request(lane, number))
        await listener.until_running(3)
        listener.let_go()
        await listener.until_done(12)
        assert listener.most == 3

    async def test_what_waits_is_bounded_and_comes_when_there_is_room(
        self, bus: Bus, lane: str, group: str
    ) -> None:
        listener = Listener[ProbeRequest]()
        listener.hold()
        await bus.subscribe_requests(ProbeRequest, group, listener, in_lane(lane, concurrency=1))
        records = (request(lane, number) for number in count())
        taken = await self.publish_until_refused(bus, records, (lane, group))
        listener.let_go()
        await listener.until_done(taken)
        await bus.publish(request(lane, taken))
        await listener.until_done(taken + 1)
        assert listener.most == 1
        assert sorted(int(record.id) for record in listener.got) == list(range(taken + 1))

    async def test_a_group_starts_at_the_end(self, bus: Bus, lane: str, group: str) -> None:
        for number in range(20):
            with suppress(HiveError):
                await bus.publish(request(lane, number))
        listener = Listener[ProbeRequest]()
        await bus.subscribe_requests(ProbeRequest, group, listener, in_lane(lane))
        for number in range(20, 40):
            await bus.publish(request(lane, number))
        await listener.until_done(20)
        assert sorted(int(record.id) for record in listener.got) == list(range(20, 40))

    async def test_closing_waits_for_the_handlers_that_run(self, bus: Bus, lane: str, group: str) -> None:
        listener = Listener[ProbeRequest]()
        listener.hold()
        subscription = await bus.subscribe_requests(ProbeRequest, group, listener, in_lane(lane))
        await bus.publish(request(lane, 1))
        await listener.until_running(1)
        closing = asyncio.ensure_future(subscription.close())
        await asyncio.wait({closing}, timeout=0.05)
        assert not closing.done()
        listener.let_go()
        await closing
        assert len(listener.done) == 1
        await subscription.close()

    async def test_a_closing_subscription_takes_nothing_more(self, bus: Bus, lane: str, group: str) -> None:
        listener = Listener[ProbeRequest]()
        listener.hold()
        subscription = await bus.subscribe_requests(
            ProbeRequest, group, listener, in_lane(lane, concurrency=1)
        )
        for number in range(3):
            await bus.publish(request(lane, number))
        await listener.until_running(1)
        closing = asyncio.ensure_future(subscription.close())
        await asyncio.wait({closing}, timeout=0.05)
        listener.let_go()
        await closing
        assert len(listener.got) == 1

    async def test_drain_says_whether_something_is_left(self, bus: Bus, lane: str, group: str) -> None:
        listener = Listener[ProbeRequest]()
        listener.hold()
        await bus.subscribe_requests(ProbeRequest, group, listener, in_lane(lane))
        await bus.publish(request(lane, 1))
        await listener.until_running(1)
        assert not await bus.drain(0.01)
        listener.let_go()
        assert await bus.drain(30)
        assert len(listener.done) == 1

    async def test_other_deliveries_and_messages_without_topic_are_refused(
        self, bus: Bus, lane: str, group: str
    ) -> None:
        with pytest.raises(TypeError, match=r"ProbeEvent travels as EVENT, not as REQUEST"):
            await bus.subscribe_requests(ProbeEvent, group, Listener[ProbeEvent](), in_lane(lane))
        with pytest.raises(TypeError, match=r"ProbeState travels as STATE, not as REQUEST"):
            await bus.subscribe_requests(ProbeState, group, Listener[ProbeState](), in_lane(lane))
        with pytest.raises(TypeError, match=r"UnaryRequest has no topic"):
            await bus.publish(UnaryRequest(text="x"))

    async def test_a_place_holder_without_value_is_refused(self, bus: Bus, group: str) -> None:
        with pytest.raises(ValueError, match=r"ProbeRequest\.lane is ''"):
            await bus.publish(ProbeRequest(id="1"))
        with pytest.raises(ValueError, match=r"takes the fields: lane; given: none"):
            await bus.subscribe_requests(ProbeRequest, group, Listener[ProbeRequest](), Options())

    async def test_a_closed_bus_takes_nothing(self, bus: Bus, lane: str, group: str) -> None:
        await bus.close()
        with pytest.raises(RuntimeError, match="closed"):
            await bus.publish(request(lane, 1))
        with pytest.raises(RuntimeError, match="closed"):
            await bus.subscribe_requests(ProbeRequest, group, Listener[ProbeRequest](), in_lane(lane))
