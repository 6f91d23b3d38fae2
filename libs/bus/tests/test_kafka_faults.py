"""The Kafka bus while its broker is killed, stands still, or cannot be reached, and afterwards."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from hive_bus import Bus, Options, StateChange
from hive_bus.conformance.kafka.rig import (
    SESSION,
    event,
    events_topic,
    in_lane,
    on_topic,
    opened,
    request,
    state,
)
from hive_bus.conformance.suite import PATIENCE, Listener, eventually, unique
from hive_bus.kafka import KafkaBus
from hive_bus.topics import route_of
from hive_runtime.errors import HiveError, Kind
from hive_testing.servers.kafka import Kafka
from modelhive.probe.v1.probe_pb2 import ProbeEvent, ProbeRequest, ProbeState

Change = StateChange[ProbeState]


async def refused(bus: Bus, message: ProbeRequest | ProbeEvent | ProbeState) -> HiveError:
    with pytest.raises(HiveError) as caught:
        await bus.publish(message)
    assert caught.value.kind is Kind.UNAVAILABLE
    assert caught.value.retry_after is None
    return caught.value


async def until_refused(bus: Bus, message: ProbeRequest | ProbeEvent, words: str) -> None:
    heard = ""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while words not in heard:
                heard = (await refused(bus, message)).message
                await asyncio.sleep(0.02)
    assert words in heard


async def until_there(bus: KafkaBus, lane: str) -> None:
    """Publishing to a lane that nobody listens to works again."""
    for _ in range(int(PATIENCE / 0.02)):
        with suppress(HiveError):
            await bus.publish(request(f"{lane}-probe", 0))
            await bus.publish(event(f"{lane}-probe", "key", 0))
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"the bus did not come back: {bus.trouble}")


def bodies(records: list[bytes]) -> list[str]:
    return [ProbeRequest.FromString(record).id for record in records]


class Everything:
    """One subscription of each delivery."""

    def __init__(self, lane: str) -> None:
        self.lane = lane
        self.requests = Listener[ProbeRequest]()
        self.events = Listener[ProbeEvent]()
        self.states = Listener[Change]()

    async def subscribe(self, bus: Bus) -> None:
        options = in_lane(self.lane)
        await bus.subscribe_requests(ProbeRequest, unique("group"), self.requests, options)
        await bus.subscribe_events(ProbeEvent, unique("group"), self.events, options)
        await bus.subscribe_state(ProbeState, self.states, options)

    async def works(self, bus: Bus, number: int) -> None:
        await bus.publish(request(self.lane, number))
        await bus.publish(event(self.lane, "key", number))
        await bus.publish(state(self.lane, f"key-{number}", "value"))
        await eventually(lambda: str(number) in [each.id for each in self.requests.done], "request handled")
        await eventually(lambda: number in [each.sequence for each in self.events.done], "event handled")
        await eventually(lambda: f"key-{number}" in [each.key for each in self.states.done], "state heard")


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_a_broker_that_is_away_is_said_at_once_and_everything_resumes(kafka: Kafka, fault: str) -> None:
    lane = unique("lane")
    async with opened(kafka.url + SESSION) as bus:
        everything = Everything(lane)
        await everything.subscribe(bus)
        await everything.works(bus, 1)
        await until_there(bus, lane)
        assert (bus.trouble, bus.is_away) == (None, False)
        (kafka.kill if fault == "kill" else kafka.pause)()
        await refused(bus, request(lane, 2))
        error = await refused(bus, event(lane, "key", 2))
        await eventually(lambda: bus.is_away, "the bus knows")
        assert "no broker answers at 127.0.0.1:" in str(bus.trouble)
        assert "The bus cannot pass this on" in error.message
        await asyncio.to_thread(kafka.start if fault == "kill" else kafka.resume)
        await until_there(bus, lane)
        await everything.works(bus, 3)
        await eventually(lambda: bus.trouble is None, "all is well")
        if fault == "kill":
            assert [each.id for each in everything.requests.got] == ["1", "3"]
            assert [each.sequence for each in everything.events.got] == [1, 3]
        assert len({each.id for each in everything.requests.got}) == len(everything.requests.got)


async def test_what_was_acknowledged_outlives_a_killed_broker(kafka: Kafka) -> None:
    lane = unique("lane")
    async with opened(kafka.url + SESSION) as bus:
        await asyncio.gather(*(bus.publish(event(lane, f"key-{n % 7}", n)) for n in range(300)))
        kafka.kill()
        await asyncio.to_thread(kafka.start)
        listener = Listener[ProbeEvent]()
        await bus.subscribe_events(ProbeEvent, unique("group"), listener, in_lane(lane))
        await listener.until_done(300)
        assert sorted(record.sequence for record in listener.got) == list(range(300))


async def test_a_process_starts_before_its_broker(kafka: Kafka) -> None:
    lane = unique("lane")
    async with opened(kafka.url + SESSION) as bus:
        await bus.publish(event(lane, "key", 0))
        await bus.publish(state(lane, "key", "value"))
    kafka.kill()
    async with opened(kafka.url + SESSION, wait=0.1) as bus:
        assert bus.is_away
        everything = Everything(lane)
        await everything.subscribe(bus)
        replayed = Listener[Change]()
        subscription = await bus.subscribe_state(ProbeState, replayed, in_lane(lane))
        assert subscription.failure is None
        caught_up = asyncio.ensure_future(subscription.caught_up())
        await refused(bus, request(lane, 1))
        assert not caught_up.done()
        await asyncio.to_thread(kafka.start)
        await asyncio.wait_for(caught_up, PATIENCE)
        assert [change.key for change in replayed.done] == ["key"]
        await eventually(lambda: bus.trouble is None, "all is well")
        await everything.works(bus, 2)
        assert [each.sequence for each in everything.events.got] == [0, 2]


async def test_a_bus_closes_while_its_broker_is_away(kafka: Kafka) -> None:
    lane = unique("lane")
    async with opened(kafka.url + SESSION) as bus:
        everything = Everything(lane)
        await everything.subscribe(bus)
        everything.events.hold()
        await bus.publish(event(lane, "key", 1))
        await everything.events.until_running(1)
        kafka.kill()
        everything.events.let_go()
        await asyncio.wait_for(bus.close(), PATIENCE)


async def test_a_publish_whose_answer_is_lost_happens_once_at_most(kafka: Kafka) -> None:
    lane = unique("lane")
    topic = route_of(ProbeRequest).topic_with({"lane": lane})
    with kafka.proxied() as proxy:
        async with opened(proxy.url + SESSION) as bus:
            await bus.publish(request(lane, 0))
            proxy.delay(to_client=60)
            await refused(bus, request(lane, 1))
            proxy.delay()
            proxy.reset()
            await until_there(bus, lane)
            await bus.publish(request(lane, 2))
    assert sorted(bodies(await on_topic(kafka.bootstrap, topic))) == ["0", "1", "2"]


async def test_what_was_refused_is_not_sent_later(kafka: Kafka) -> None:
    """Neither what waited for a connection that was cut, nor what came while there was none."""
    lane = unique("lane")
    topic = route_of(ProbeRequest).topic_with({"lane": lane})
    with kafka.proxied() as proxy:
        async with opened(proxy.url + SESSION) as bus:
            await bus.publish(request(lane, 0))
            proxy.cut()
            refusals = await asyncio.gather(
                *(bus.publish(request(lane, number)) for number in range(1, 50)), return_exceptions=True
            )
            assert all(isinstance(error, HiveError) for error in refusals)
            proxy.restore()
            await until_there(bus, lane)
            await bus.publish(request(lane, 50))
    assert sorted(bodies(await on_topic(kafka.bootstrap, topic))) == ["0", "50"]


async def test_consumers_come_back_from_a_line_that_fell_silent(kafka: Kafka) -> None:
    lane = unique("lane")
    with kafka.proxied() as proxy:
        async with opened(proxy.url + SESSION) as bus:
            everything = Everything(lane)
            await everything.subscribe(bus)
            await everything.works(bus, 1)
            proxy.stall()
            await refused(bus, request(lane, 2))
            await eventually(lambda: bus.is_away, "the bus knows")
            proxy.reset()
            proxy.restore()
            await until_there(bus, lane)
            await everything.works(bus, 3)


async def test_a_topic_that_is_missing_is_said_and_waited_for(kafka: Kafka) -> None:
    lane = unique("lane")
    async with opened(kafka.url + SESSION, create=False, wait=0.1) as bus:
        for message in (request(lane, 1), event(lane, "key", 1)):
            await until_refused(bus, message, "`modelhive topics` makes what is missing")
        listener = Listener[ProbeEvent]()
        subscription = await bus.subscribe_events(ProbeEvent, unique("group"), listener, in_lane(lane))
        await eventually(lambda: "has no topic" in str(bus.trouble), "it is said")
        assert (subscription.failure, bus.is_away) == (None, False)
        async with opened(kafka.url + SESSION) as other:
            await other.publish(event(lane, "key", 2))
        await listener.until_done(1)


async def test_keys_that_a_topic_has_no_more_are_retired(kafka: Kafka) -> None:
    """A topic that was deleted and made again, as after the loss of a broker's disk."""
    lane = unique("lane")
    topic = route_of(ProbeState).topic_with({"lane": lane})
    async with opened(kafka.url + SESSION) as bus:
        for key in ("a", "b", "c"):
            await bus.publish(state(lane, key, "1"))
        listener = Listener[Change]()
        subscription = await bus.subscribe_state(ProbeState, listener, in_lane(lane))
        await subscription.caught_up()
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        await admin.delete_topics([topic])
        await admin.close()
        async with opened(kafka.url + SESSION) as other:
            await eventually_published(other, state(lane, "b", "2"))
        await eventually(lambda: len(listener.done) >= 6, f"three more changes: {listener.done}")
        last = {change.key: change.message and change.message.value for change in listener.done}
        assert last == {"a": None, "b": "2", "c": None}


async def eventually_published(bus: Bus, message: ProbeState) -> None:
    for _ in range(int(PATIENCE / 0.02)):
        with suppress(HiveError):
            return await bus.publish(message)
        await asyncio.sleep(0.02)
    raise AssertionError("it could not be published")


async def test_a_record_that_is_too_large_is_refused_with_its_size(kafka: Kafka) -> None:
    lane = unique("lane")
    async with opened(kafka.url + SESSION) as bus:
        await bus.publish(request(lane, 1, size=900_000))
        with pytest.raises(HiveError, match=r"A record of 1500\d\d\d bytes is too large") as caught:
            await bus.publish(request(lane, 2, size=1_500_000))
        assert caught.value.kind is Kind.TOO_LARGE


async def test_of_many_records_those_before_a_refused_one_are_taken(kafka: Kafka) -> None:
    lane = unique("lane")
    listener = Listener[ProbeEvent]()
    small, large = event(lane, "key", 0), event(lane, "k" * 1_500_000, 1)
    async with opened(kafka.url + SESSION) as bus:
        await bus.subscribe_events(ProbeEvent, unique("group"), listener, Options(fields={"lane": lane}))
        assert await bus.publish_all([small, event(lane, "key", 1), large, small]) == 2
        with pytest.raises(HiveError) as caught:
            await bus.publish_all([large, small])
        assert caught.value.kind is Kind.TOO_LARGE
        assert (bus._durable._pending, bus._durable._bytes) == ({}, 0)
        await bus.publish(event(lane, "key", 2))
        await listener.until_done(3)
        assert [record.sequence for record in listener.done] == [0, 1, 2]
        await bus.publish(request(lane, 3))
        assert events_topic(lane)
