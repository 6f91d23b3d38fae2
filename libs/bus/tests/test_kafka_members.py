"""Consumer groups on a real broker when a process is killed, sleeps through its session, or is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from hive_bus import Batch, Options, Retry
from hive_bus.conformance.kafka.rig import (
    SESSION,
    MemberProcess,
    Reports,
    committed,
    event,
    events_topic,
    in_lane,
    keys_of_one_partition,
    on_topic,
    opened,
    request,
    until_committed,
    write,
)
from hive_bus.conformance.suite import Listener, eventually, unique
from hive_bus.kafka import Hooks
from hive_bus.kafka.hooks import Headers
from hive_bus.kafka.member import Member
from hive_bus.topics import route_of
from hive_testing.servers.kafka import Kafka
from modelhive.events.v1.dead_letter_pb2 import DeadLetter
from modelhive.probe.v1.probe_pb2 import ProbeEvent, ProbeRequest

QUICK = Retry(tries=2, first_pause=0.01)


def ids(records: list[ProbeRequest]) -> list[int]:
    return sorted(int(record.id) for record in records)


def sequences(records: list[ProbeEvent]) -> list[int]:
    return [record.sequence for record in records]


async def test_the_events_of_a_killed_process_are_handled_by_another(kafka: Kafka) -> None:
    lane, group = unique("lane"), unique("group")
    async with opened(kafka.url + SESSION) as bus:
        await bus.publish(event(lane, "key", 0))
        async with MemberProcess.running(kafka.bootstrap, lane, group, "events") as member:
            await member.until("began 0")
            for number in range(1, 10):
                await bus.publish(event(lane, "key", number))
            await member.kill()
            listener = Listener[ProbeEvent]()
            await bus.subscribe_events(ProbeEvent, group, listener, in_lane(lane))
            await listener.until_done(10)
            assert sequences(listener.got) == list(range(10))


async def test_the_requests_that_a_killed_process_has_not_taken_are_handled_by_another(kafka: Kafka) -> None:
    lane, group = unique("lane"), unique("group")
    async with opened(kafka.url + SESSION) as bus:
        await bus.subscribe_requests(ProbeRequest, unique("other"), Listener[ProbeRequest](), in_lane(lane))
        async with MemberProcess.running(kafka.bootstrap, lane, group, "requests") as member:
            for number in range(10):
                await bus.publish(request(lane, number))
            await eventually(lambda: bool(member.began()), "one is taken")
            await member.kill()
            taken = member.began()
            listener = Listener[ProbeRequest]()
            await bus.subscribe_requests(ProbeRequest, group, listener, in_lane(lane))
            await listener.until_done(9)
            assert ids(listener.got) == sorted({*range(10)} - {*taken})


async def test_a_process_that_slept_through_its_session_leaves_events_to_their_new_owner(
    kafka: Kafka,
) -> None:
    lane, group = unique("lane"), unique("group")
    topic = events_topic(lane)
    async with opened(kafka.url + SESSION) as bus:
        await bus.publish(event(lane, "key", 0))
        async with MemberProcess.running(kafka.bootstrap, lane, group, "events") as member:
            await member.until("began 0")
            for number in range(1, 10):
                await bus.publish(event(lane, "key", number))
            member.pause()
            listener = Listener[ProbeEvent]()
            await bus.subscribe_events(ProbeEvent, group, listener, in_lane(lane))
            await listener.until_done(10)
            await until_committed(kafka.bootstrap, group, topic, 10)
            member.resume()
            await member.allow(1_000)
            await member.until("done 0")
            for number in range(10, 30):
                await bus.publish(event(lane, f"key-{number}", number))
            await eventually(
                lambda: {*sequences(listener.done), *member.began()} >= {*range(30)}, "all are handled"
            )
            await until_committed(kafka.bootstrap, group, topic, 30)
            assert {*member.began()} & {*range(1, 10)} == set()
            assert sequences(listener.got)[:10] == list(range(10))
            both = sequences(listener.got) + member.began()
            assert sorted(both) == sorted([0, *range(30)])


async def test_a_process_that_slept_through_its_session_handles_no_request_twice(kafka: Kafka) -> None:
    lane, group = unique("lane"), unique("group")
    async with opened(kafka.url + SESSION) as bus:
        await bus.subscribe_requests(ProbeRequest, unique("other"), Listener[ProbeRequest](), in_lane(lane))
        async with MemberProcess.running(kafka.bootstrap, lane, group, "requests") as member:
            for number in range(20):
                await bus.publish(request(lane, number))
            await eventually(lambda: bool(member.began()), "one is taken")
            member.pause()
            listener = Listener[ProbeRequest]()
            await bus.subscribe_requests(ProbeRequest, group, listener, in_lane(lane))
            await listener.until_done(19)
            member.resume()
            await member.allow(1_000)
            await member.until(f"done {member.began()[0]}")
            for number in range(20, 40):
                await bus.publish(request(lane, number))
            await eventually(lambda: len(listener.done) + len(member.began()) >= 40, "all are handled")
            assert sorted(ids(listener.got) + member.began()) == list(range(40))


@pytest.mark.parametrize("bears_it_twice", [True, False])
async def test_only_what_is_borne_twice_begins_before_it_is_noted(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch, bears_it_twice: bool
) -> None:
    lane, group = unique("lane"), unique("group")
    listener, again = Listener[ProbeRequest](), Listener[ProbeRequest]()
    asked, may_note = asyncio.Event(), asyncio.Event()
    commit = Member.commit

    async def held(member: Member, offsets: Mapping[Any, int]) -> bool:
        asked.set()
        await may_note.wait()
        return await commit(member, offsets)

    async with opened(kafka.url + SESSION) as bus:
        options = Options(fields={"lane": lane}, again=again if bears_it_twice else None)
        await bus.subscribe_requests(ProbeRequest, group, listener, options)
        monkeypatch.setattr(Member, "commit", held)
        await bus.publish(request(lane, 0))
        if bears_it_twice:
            await listener.until_done(1)
        await asked.wait()
        assert len(listener.got) == bears_it_twice
        may_note.set()
        await listener.until_done(1)
        await bus.publish(request(lane, 1))
        await listener.until_done(2)
        assert await bus.drain(30)
        assert (ids(listener.got), again.got) == ([0, 1], [])


async def test_a_process_that_slept_begins_nothing_until_it_knows_that_it_is_a_member_still(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane, group = unique("lane"), unique("group")
    listener, again = Listener[ProbeRequest](), Listener[ProbeRequest]()
    members, commit = list[Member](), Member.commit
    is_unknown = False

    async def asked(member: Member, offsets: Mapping[Any, int]) -> bool:
        members.append(member)
        return not is_unknown and await commit(member, offsets)

    monkeypatch.setattr(Member, "commit", asked)
    async with opened(kafka.url + SESSION) as bus:
        options = Options(fields={"lane": lane}, again=again)
        await bus.subscribe_requests(ProbeRequest, group, listener, options)
        await bus.publish(request(lane, 0))
        await listener.until_done(1)
        await eventually(lambda: bool(members), "it is noted")
        is_unknown, members[0].overslept = True, True
        known = len(members)
        await bus.publish(request(lane, 1))
        await eventually(lambda: len(members) > known + 3, "it is tried again")
        assert (ids(listener.got), again.got) == ([0], [])
        is_unknown = False
        await eventually(lambda: ids(listener.done + again.done) == [0, 1], "it is handled")
        await eventually(lambda: not members[0].overslept, "it knows")
        await bus.publish(request(lane, 2))
        await eventually(lambda: 2 in ids(listener.done), "it is new")
        assert ids(listener.got + again.got) == [0, 1, 2]


async def test_what_was_begun_and_not_noted_comes_again_as_such_and_once(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane, group = unique("lane"), unique("group")
    first, second, again = Listener[ProbeRequest](), Listener[ProbeRequest](), Listener[ProbeRequest]()

    async def lost(member: Member, offsets: Mapping[Any, int]) -> bool:
        return False

    async def none(record: ProbeRequest) -> None:
        raise AssertionError(record)

    with monkeypatch.context() as patched:
        async with opened(kafka.url + SESSION) as bus:
            await bus.subscribe_requests(
                ProbeRequest, group, first, Options(fields={"lane": lane}, again=none)
            )
            patched.setattr(Member, "commit", lost)
            for number in range(6):
                await bus.publish(request(lane, number))
            await first.until_done(6)
            assert await bus.drain(30)
            assert ids(first.got) == [*range(6)]
    async with opened(kafka.url + SESSION) as bus:
        options = Options(fields={"lane": lane}, again=again)
        subscription = await bus.subscribe_requests(ProbeRequest, group, second, options)
        await again.until_done(6)
        for number in range(6, 9):
            await bus.publish(request(lane, number))
        await second.until_done(3)
        assert (ids(again.got), ids(second.got)) == ([*range(6)], [6, 7, 8])
        await subscription.close()
        await bus.subscribe_requests(ProbeRequest, group, first, options)
        await bus.publish(request(lane, 9))
        await first.until_done(7)
        assert len(again.got) == 6


async def test_a_long_call_delays_no_other_key_and_nothing_runs_twice(kafka: Kafka) -> None:
    """The call lasts three times `max_poll_ms`, and a thousand records lie behind it on its partition."""
    lane, group = unique("lane"), unique("group")
    keys = keys_of_one_partition(101)
    long, short = Listener[ProbeEvent](), Listener[ProbeEvent]()
    long.hold()

    async def handler(record: ProbeEvent) -> None:
        await (long if record.key == keys[0] else short)(record)

    async with opened(kafka.url + SESSION) as bus:
        subscription = await bus.subscribe_events(ProbeEvent, group, handler, in_lane(lane))
        await bus.publish(event(lane, keys[0], 0))
        await long.until_running(1)
        begun = asyncio.get_running_loop().time()
        await asyncio.gather(*(bus.publish(event(lane, keys[1 + n % 100], n)) for n in range(1, 1_001)))
        await short.until_done(1_000)
        assert long.running == 1
        assert await committed(kafka.bootstrap, group, events_topic(lane)) == 0
        await asyncio.sleep(max(0, begun + 3.5 - asyncio.get_running_loop().time()))
        long.let_go()
        await until_committed(kafka.bootstrap, group, events_topic(lane), 1_001)
        assert (len(long.got), len(short.got)) == (1, 1_000)
        assert subscription.failure is None


async def test_a_long_call_goes_on_while_others_join_and_leave(kafka: Kafka) -> None:
    lane, group = unique("lane"), unique("group")
    first, second = Listener[ProbeEvent](), Listener[ProbeEvent]()
    first.hold()
    async with opened(kafka.url + SESSION) as bus:
        await bus.subscribe_events(ProbeEvent, group, first, in_lane(lane))
        await bus.publish(event(lane, "long", 0))
        await first.until_running(1)
        other = await bus.subscribe_events(ProbeEvent, group, second, in_lane(lane))
        first.let_go()
        for number in range(1, 40):
            await bus.publish(event(lane, f"key-{number}", number))
        await eventually(lambda: len(first.done) + len(second.done) >= 40, "all are handled")
        assert second.got
        await other.close()
        for number in range(40, 50):
            await bus.publish(event(lane, f"key-{number}", number))
        await until_committed(kafka.bootstrap, group, events_topic(lane), 50)
        assert sorted(sequences(first.got + second.got)) == list(range(50))


async def test_a_new_group_reads_a_topic_from_its_beginning(kafka: Kafka) -> None:
    lane = unique("lane")
    async with opened(kafka.url + SESSION) as bus:
        first, again = Listener[ProbeEvent](), Listener[ProbeEvent]()
        await bus.subscribe_events(ProbeEvent, unique("group"), first, in_lane(lane))
        await asyncio.gather(*(bus.publish(event(lane, f"key-{n % 9}", n)) for n in range(500)))
        await first.until_done(500)
        await bus.subscribe_events(ProbeEvent, unique("group"), again, in_lane(lane))
        await again.until_done(500)
        for remainder in range(9):
            of_key = [record.sequence for record in again.done if record.key == f"key-{remainder}"]
            assert of_key == [record.sequence for record in first.done if record.key == f"key-{remainder}"]
        assert len(again.got) == 500


async def test_bytes_that_no_message_can_be_read_from_are_dead_letters_as_they_are(kafka: Kafka) -> None:
    lane = unique("lane")
    topic = events_topic(lane)
    async with opened(kafka.url + SESSION) as bus:
        single, batched, letters = (
            Listener[ProbeEvent](),
            Listener[Sequence[ProbeEvent]](),
            Listener[DeadLetter](),
        )
        await bus.subscribe_events(
            DeadLetter, unique("dlq"), letters, Options(fields={"source_topic": topic})
        )
        await bus.subscribe_events(ProbeEvent, "single", single, in_lane(lane))
        await bus.publish(event(lane, "key", 0))
        await write(kafka.bootstrap, topic, b"poison", b"\xff\xff poison")
        await bus.publish(event(lane, "key", 1))
        await single.until_done(2)
        await bus.subscribe_batches(ProbeEvent, "batched", batched, Batch(10, 0.05), in_lane(lane))
        await letters.until_done(2)
        await eventually(lambda: sum(map(len, batched.done)) == 2, "the others are handled")
        for letter in letters.got:
            assert (letter.payload, letter.key, letter.attempts) == (b"\xff\xff poison", "poison", 0)
            assert letter.error.startswith("DecodeError")
        assert {letter.group for letter in letters.got} == {"single", "batched"}
        await until_committed(kafka.bootstrap, "single", topic, 3)


async def test_a_request_that_cannot_be_read_is_reported_and_the_others_flow(kafka: Kafka) -> None:
    lane, reports = unique("lane"), Reports()
    async with opened(kafka.url + SESSION, reports=reports) as bus:
        listener = Listener[ProbeRequest]()
        await bus.subscribe_requests(ProbeRequest, unique("group"), listener, in_lane(lane))
        await write(
            kafka.bootstrap, route_of(ProbeRequest).topic_with({"lane": lane}), b"poison", b"\xff\xff"
        )
        await bus.publish(request(lane, 1))
        await listener.until_done(1)
        await eventually(lambda: len(reports.errors) == 1, "it is reported")


async def test_a_dead_letter_keeps_its_record_unfinished_until_it_is_published(kafka: Kafka) -> None:
    lane, group = unique("lane"), unique("group")
    topic = events_topic(lane)
    async with opened(kafka.url + SESSION) as maker:
        await maker.publish(event(lane, "key", 0))
    async with opened(kafka.url + SESSION, create=False) as bus:
        listener = Listener[ProbeEvent](fails=lambda record: True)
        subscription = await bus.subscribe_events(
            ProbeEvent, group, listener, Options(fields={"lane": lane}, retry=QUICK)
        )
        await eventually(lambda: len(listener.got) == 2 and not listener.running, "all tries failed")
        await subscription.close()
        assert await committed(kafka.bootstrap, group, topic) == 0
    async with opened(kafka.url + SESSION) as bus:
        await bus.subscribe_events(ProbeEvent, group, listener, Options(fields={"lane": lane}, retry=QUICK))
        await until_committed(kafka.bootstrap, group, topic, 1)
    assert len(await on_topic(kafka.bootstrap, f"{topic}.dlq")) == 1


async def test_a_trace_travels_in_the_headers_of_a_record(kafka: Kafka) -> None:
    lane = unique("lane")
    around: ContextVar[str] = ContextVar("around", default="nothing")
    seen: list[str] = []

    @contextmanager
    def context_of(headers: Headers) -> Iterator[None]:
        token = around.set(dict(headers)["traceparent"].decode())
        yield
        around.reset(token)

    async def handler(record: ProbeRequest | ProbeEvent) -> None:
        seen.append(around.get())

    hooks = Hooks(lambda: [("traceparent", b"00-trace-span-01")], context_of)
    async with opened(kafka.url + SESSION, hooks=hooks) as bus:
        await bus.subscribe_requests(ProbeRequest, unique("group"), handler, in_lane(lane))
        await bus.subscribe_events(ProbeEvent, unique("group"), handler, in_lane(lane))
        await bus.publish(request(lane, 1))
        await bus.publish(event(lane, "key", 1))
        await eventually(lambda: seen == ["00-trace-span-01"] * 2, "both handled within their trace")


async def test_what_is_not_handled_yet_is_told(kafka: Kafka) -> None:
    lane, group = unique("lane"), unique("group")
    place = events_topic(lane), group
    async with opened(kafka.url + SESSION) as bus:
        listener = Listener[ProbeEvent]()
        listener.hold()
        await bus.subscribe_events(ProbeEvent, group, listener, in_lane(lane, concurrency=2))
        assert bus.lags() == {place: 0}
        await asyncio.gather(*(bus.publish(event(lane, f"key-{n}", n)) for n in range(50)))
        await eventually(lambda: bus.lags() == {place: 50}, f"all wait: {bus.lags()}")
        listener.let_go()
        await eventually(lambda: bus.lags() == {place: 0}, f"none waits: {bus.lags()}")
