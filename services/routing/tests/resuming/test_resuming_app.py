"""Streams that outlive their connection: who leaves, who comes back, and what becomes of those nobody asks for."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from hive_relay.stream_id import Position, tag_of
from hive_routing.resuming.app import MOST_ALONE_OF_KEY
from hive_routing.resuming.buffer import MOST_BYTES
from hive_routing.resuming.stream import ALONE_BYTES, READER_BYTES
from hive_runtime.errors import HiveError, Kind


def event(number: int) -> bytes:
    return b'data: {"number":%d}\n\n' % number


async def speak(house: Any, start: int, stop: int) -> bytes:
    said = b"".join(event(number) for number in range(start, stop))
    house.script.say(said)
    await house.clock.advance(0)
    return said


async def test_a_request_without_the_headers_is_as_always(house: Any) -> None:
    heard = await house.connect()
    house.script.say(event(1))
    await house.clock.advance(0)
    assert heard.body == event(1)
    assert b"x-hive-request-id" not in heard.headers and b"x-hive-resume" not in heard.headers
    await heard.leave()
    assert house.script.cancelled


async def test_a_stream_that_is_heard_to_its_end(house: Any) -> None:
    heard = await house.begin()
    said = await speak(house, 0, 3)
    house.script.end(b"data: [DONE]\n\n")
    await house.clock.advance(0)
    assert heard.complete and heard.body == said + b"data: [DONE]\n\n"
    assert heard.headers[b"x-hive-resume"] == b"30" and heard.headers[b"x-hive-guard"] == b"none"
    assert heard.stream_id.startswith(f"req_1.{tag_of('routing-0')}")
    assert heard.usage.model == "m"


@pytest.mark.parametrize("seen", range(5))
async def test_who_leaves_hears_the_rest_later(house: Any, seen: int) -> None:
    first = await house.begin()
    said = await speak(house, 0, 2)
    await first.leave()
    said += await speak(house, 2, 4)
    await house.clock.advance(29)
    if seen > 2:
        house.script.say(b": keep-alive\n\n")
    second = await house.resume(first, seen)
    said += await speak(house, 4, 5)
    house.script.end(b"data: [DONE]\n\n")
    await house.clock.advance(0)
    assert not house.script.cancelled and second.complete
    comment = b": keep-alive\n\n" if seen > 2 else b""
    rest = b"".join(event(number) for number in range(seen, 4)) + comment + event(4) + b"data: [DONE]\n\n"
    assert second.body == rest
    assert second.headers[b"x-hive-resumed"] == b"%d" % seen
    assert second.headers[b"x-hive-request-id"] == first.headers[b"x-hive-request-id"]
    assert second.usage is None, "it costs nothing by itself"


async def test_who_stays_away_too_long_has_left(house: Any) -> None:
    first = await house.begin()
    await speak(house, 0, 2)
    await first.leave()
    assert house.resuming.alone == 1
    await house.clock.advance(30)
    assert house.script.cancelled and house.resuming.alone == house.resuming.held_bytes == 0
    error = await house.refused(first, 1)
    assert (error.kind, error.reason) == (Kind.NOT_FOUND, "resume_unknown")


async def test_each_absence_is_counted_anew(house: Any) -> None:
    heard = await house.begin()
    for number in range(3):
        await speak(house, number, number + 1)
        await heard.leave()
        await house.clock.advance(29)
        heard = await house.resume(heard, number + 1)
        await house.clock.advance(100)
    assert not house.script.cancelled
    await heard.leave()
    await house.clock.advance(30)
    assert house.script.cancelled


async def test_what_has_ended_is_kept_for_a_while(house: Any) -> None:
    first = await house.begin()
    said = await speak(house, 0, 4)
    await first.leave()
    house.script.end(b"data: [DONE]\n\n")
    await house.clock.advance(29)
    for seen in (0, 2, 5, 6, 99):
        again = await house.resume(first, seen)
        expected = (said + b"data: [DONE]\n\n").split(b"\n\n")[seen:-1]
        assert again.complete and again.body == b"".join(each + b"\n\n" for each in expected)
        await house.clock.advance(29)
    await house.clock.advance(1)
    assert (await house.refused(first)).reason == "resume_unknown"
    assert house.resuming.held_bytes == 0


async def test_what_broke_off_breaks_off_for_who_resumes(house: Any) -> None:
    first = await house.begin()
    await speak(house, 0, 2)
    await first.leave()
    house.script.fail(HiveError(Kind.UPSTREAM_FAILED, "The provider cut it."))
    await house.clock.advance(1)
    for seen, rest in ((1, event(1)), (2, b""), (3, b"")):
        again = await house.resume(first, seen)
        assert again.body == rest and not again.complete
        assert again.error.message == "The provider cut it."


async def test_a_failure_of_ours_is_reported_and_told(house: Any) -> None:
    heard = await house.begin()
    await speak(house, 0, 1)
    house.script.fail(ValueError("odd"))
    await house.clock.advance(0)
    assert isinstance(heard.error, ValueError) and not house.failures, "the relay words and logs it"
    left = await house.begin()
    await speak(house, 0, 1)
    await left.leave()
    house.script.fail(ValueError("odd"))
    await house.clock.advance(0)
    assert [type(each) for each in house.failures] == [ValueError]
    house.failures.clear()


async def test_the_newer_connection_takes_over(house: Any) -> None:
    first = await house.begin()
    await speak(house, 0, 2)
    second = await house.resume(first, 1)
    assert first.error.kind is Kind.CONFLICT and first.error.should_retry is False
    assert first.body == event(0) + event(1) and second.body == event(1)
    await speak(house, 2, 3)
    assert second.body == event(1) + event(2) and first.body == event(0) + event(1)
    assert not house.script.cancelled


async def test_a_connection_that_is_stuck_is_taken_over(house: Any) -> None:
    first = await house.begin(takes=False)
    await speak(house, 0, 2)
    second = await house.resume(first, 0)
    assert second.body == event(0) + event(1)
    assert first.task.done() and first.error.reason == "resumed_elsewhere"


async def test_nobody_else_gets_it(house: Any) -> None:
    first = await house.begin()
    await speak(house, 0, 2)
    other = await house.refused(first, key="key_2")
    unknown = await house.refused(first.stream_id.replace("req_1", "req_9") + ":0")
    assert (other.kind, other.reason) == (unknown.kind, unknown.reason) == (Kind.NOT_FOUND, "resume_unknown")
    elsewhere = await house.refused(first, path="/v1/messages")
    assert elsewhere.kind is Kind.INVALID and "/v1/chat/completions" in elsewhere.message
    too_far = await house.refused(first, 3)
    assert too_far.kind is Kind.INVALID and "2 events" in too_far.message
    assert first.error is None, "none of them disturbs who listens"


async def test_another_start_of_the_same_instance_has_lost_it(house: Any, small_house: Any) -> None:
    first = await house.begin()
    await speak(house, 0, 1)
    restarted = small_house()
    error = await restarted.refused(first)
    assert (error.status, error.reason, error.should_retry) == (502, "stream_lost", False)


@pytest.mark.parametrize("seconds", ["", "0", "601", "-1", "1.5", "ten", "9" * 50, "000000001234", "\xb2"])
async def test_seconds_that_are_none(house: Any, seconds: str) -> None:
    heard = await house.connect(x_hive_resume=seconds)
    assert (heard.error.kind, heard.error.param) == (Kind.INVALID, "x-hive-resume")


@pytest.mark.parametrize("seconds", ["1", " 600 ", "060"])
async def test_seconds_at_the_bounds(house: Any, seconds: str) -> None:
    heard = await house.connect(x_hive_resume=seconds)
    house.script.end(event(1))
    await house.clock.advance(0)
    assert heard.complete and int(heard.headers[b"x-hive-resume"]) == int(seconds)


@pytest.mark.parametrize(
    "position", ["", "7", "req_1:7", "req_1.0123456789abcdef", "req_1.0123456789abcdef:-1"]
)
async def test_positions_that_are_none(house: Any, position: str) -> None:
    error = await house.refused(position)
    assert (error.kind, error.param) == (Kind.INVALID, "Last-Event-ID")


def test_a_position_says_the_same_as_its_text() -> None:
    position = Position.parse(" req_ab-1.0123abcd4567cdef:12 ")
    assert position is not None
    assert str(position.stream) == "req_ab-1.0123abcd4567cdef"
    assert (position.stream.owner, position.stream.start, position.events) == ("0123abcd", "4567cdef", 12)


async def test_reads_are_no_streams(house: Any) -> None:
    heard = await house.connect(method="GET", x_hive_resume="nonsense", last_event_id="5")
    house.script.end(event(1))
    await house.clock.advance(0)
    assert heard.complete


async def test_who_leaves_what_is_no_stream_has_left(house: Any) -> None:
    house.script.headers = [(b"content-type", b"application/json")]
    heard = await house.begin()
    await heard.leave()
    assert house.script.cancelled and house.resuming.alone == 0


async def test_an_answer_that_is_no_stream_passes_as_it_is(house: Any) -> None:
    house.script.headers = [(b"content-type", b"application/json")]
    heard = await house.begin()
    house.script.end(b'{"a":1}')
    await house.clock.advance(0)
    assert heard.complete and heard.body == b'{"a":1}' and heard.usage.model == "m"
    assert b"x-hive-resume" not in heard.headers
    assert house.resuming.held_bytes == 0


async def test_a_slow_reader_slows_the_provider(house: Any) -> None:
    heard = await house.begin(takes=False)
    piece = b"data: " + b"x" * 50_000 + b"\n\n"
    for _ in range(100):
        house.script.say(piece)
    await house.clock.advance(0)
    bound = READER_BYTES // len(piece)
    assert bound <= house.script.went_on <= bound + 4
    await heard.leave()
    await house.clock.advance(1)
    assert house.script.went_on >= ALONE_BYTES // len(piece)
    assert house.script.went_on <= bound + 4 + ALONE_BYTES // len(piece) + 1
    assert house.script.went_on * len(piece) < MOST_BYTES
    second = await house.resume(heard, 0)
    house.script.end()
    await house.clock.advance(0)
    assert second.complete and second.body == piece * 100


async def test_what_is_gone_says_so(house: Any) -> None:
    heard = await house.begin()
    piece = b"data: " + b"x" * 50_000 + b"\n\n"
    for _ in range(100):
        house.script.say(piece)
    await house.clock.advance(0)
    assert len(heard.body) == 100 * len(piece)
    error = await house.refused(heard, 3)
    assert (error.status, error.reason, error.should_retry) == (409, "resume_gone", False)
    assert heard.error is None
    second = await house.resume(heard, 98)
    assert second.body == piece * 2


async def test_without_room_those_that_ended_go_first(small_house: Any) -> None:
    house = small_house(most_bytes=100_000)
    ended = await house.begin()
    house.script.end(b"data: " + b"x" * 40_000 + b"\n\n")
    await house.clock.advance(0)
    live = await house.begin()
    house.script.say(b"data: " + b"y" * 70_000 + b"\n\n")
    await house.clock.advance(0)
    assert (await house.refused(ended)).reason == "resume_unknown"
    await live.leave()
    for letter in (b"z", b"w"):
        house.script.say(b"data: " + letter * 70_000 + b"\n\n")
    house.script.say(b"data: 4\n\n")
    await house.clock.advance(0)
    assert house.script.went_on == 3, "it waits for room"
    assert (await house.refused(live, 0)).reason == "resume_gone", "it has had that"
    again = await house.resume(live, 1)
    house.script.end()
    await house.clock.advance(0)
    assert again.complete
    assert again.body == b"".join(b"data: %b\n\n" % data for data in (b"z" * 70_000, b"w" * 70_000, b"4"))
    await house.tasks.close()


async def test_one_key_has_only_so_many_without_a_client(house: Any) -> None:
    for _ in range(MOST_ALONE_OF_KEY):
        heard = await house.begin()
        await speak(house, 0, 1)
        await heard.leave()
    assert house.resuming.alone == MOST_ALONE_OF_KEY and not house.script.cancelled
    other = await house.begin(key="key_2")
    await speak(house, 0, 1)
    await other.leave()
    assert not house.script.cancelled
    heard = await house.begin()
    house.script.say(event(1))
    await house.clock.advance(0)
    await heard.leave()
    assert house.script.cancelled and house.resuming.alone == MOST_ALONE_OF_KEY + 1
    assert (await house.refused(heard)).reason == "resume_unknown"


async def test_the_deadline_holds_without_a_client(house: Any) -> None:
    heard = await house.begin(seconds=0.05)
    await speak(house, 0, 1)
    await heard.leave()
    async with asyncio.timeout(5):
        while house.resuming.alone:
            await asyncio.sleep(0.005)
    again = await house.resume(heard, 1)
    assert again.error.kind is Kind.TIMEOUT


async def test_leaving_the_house_stops_what_runs(small_house: Any) -> None:
    house = small_house()
    async with house.resuming:
        left = await house.begin()
        await speak(house, 0, 1)
        await left.leave()
        listening = await house.begin()
        await speak(house, 0, 1)
    assert house.script.cancelled and house.resuming.alone == house.resuming.held_bytes == 0
    await house.clock.advance(0)
    assert listening.error.kind is Kind.UNAVAILABLE
    await house.tasks.close()
    assert not house.failures


@pytest.mark.parametrize("seed", range(12))
async def test_whoever_comes_and_goes_hears_the_one_stream(house: Any, seed: int) -> None:
    """Every connection gets what follows its place, exactly, up to where it left or was replaced."""
    chance = random.Random(seed)
    heard, starts = [await house.begin()], [0]
    whole, count = b"", 0
    for _ in range(60):
        step = chance.random()
        if step < 0.5:
            said = b": comment\n\n" * (chance.random() < 0.2) + event(count) + event(count + 1)
            whole, count = whole + said, count + 2
            house.script.say(said)
        elif step < 0.7:
            await heard[-1].leave()
        elif heard[0].headers:
            await house.clock.advance(0)
            starts.append(chance.randrange(count + 1))
            heard.append(await house.resume(heard[0], starts[-1], takes=chance.random() < 0.8))
        if chance.random() < 0.3:
            await house.clock.advance(chance.choice([0, 1, 20]) if house.resuming.alone else 0)
            if not house.resuming.alone and heard[-1].task.done():
                break
    starts.append(0)
    house.script.end(b"data: [DONE]\n\n")
    heard.append(await house.resume(heard[0], 0))
    await house.clock.advance(0)
    if heard[-1].error is None:
        assert heard[-1].complete and heard[-1].body == whole + b"data: [DONE]\n\n"
    else:
        assert heard[-1].error.reason == "resume_unknown" and house.script.cancelled
    for start, each in zip(starts, heard, strict=True):
        rest = whole + b"data: [DONE]\n\n"
        for number in range(start):
            rest = rest.partition(event(number))[2]
        assert rest.startswith(each.body)
