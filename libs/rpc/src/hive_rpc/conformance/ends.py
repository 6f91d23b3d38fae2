"""Calls that end before their time: deadlines, cancellation, streams that nobody reads any more.

A handler that waits for anything but a request must see CancelledError. One that waits for a request may
see the end of the stream instead: over a network the two race.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from hive_rpc.conformance.base import NetworkTests, Stub, refused, soon
from hive_rpc.conformance.probe import ProbeServicer
from hive_rpc.conformance.streams import write_until_it_fails
from hive_runtime.errors import Kind
from modelhive.probe.v1 import probe_pb2 as pb

HANG = pb.UnaryRequest(instruction="hang")
COUNT_AND_HANG = pb.CountRequest(count=3, instruction="hang")

DEADLINES = (0.2, 1.0, 5.0)
"""Seconds; the next one is tried where a call had not come to its point when the one before had passed."""


async def numbers_until_timeout(call: Any) -> list[int]:
    """What a stream of `Count` gave until its deadline ended it."""
    numbers: list[int] = []

    async def read_on() -> None:
        while True:
            numbers.append((await call.read()).number)

    await refused(read_on(), Kind.TIMEOUT)
    return numbers


async def write_and_wait(call: Any) -> None:
    await call.write(pb.SumRequest(number=1))
    await call


class EndTests(NetworkTests):
    async def test_the_servicer_sees_the_time_that_is_left(self, stub: Stub) -> None:
        answer = await soon(stub.Unary(pb.UnaryRequest(), timeout=30))
        # gRPC rounds a deadline up by some hundredths to send it in few digits.
        assert 5 < answer.seconds_left < 31

    async def test_without_a_deadline_no_time_is_left_to_see(self, stub: Stub) -> None:
        assert (await soon(stub.Unary(pb.UnaryRequest()))).seconds_left == -1

    async def test_the_caller_sees_the_time_that_is_left(self, stub: Stub) -> None:
        call = stub.Unary(pb.UnaryRequest(), timeout=30)
        left = call.time_remaining()
        await soon(call)
        assert left is not None and 5 < left <= 30

    async def test_a_deadline_lets_the_caller_go_and_cancels_the_handler(
        self, stub: Stub, probe: ProbeServicer
    ) -> None:
        for seconds in DEADLINES:
            await refused(stub.Unary(HANG, timeout=seconds), Kind.TIMEOUT)
            if probe.started.is_set():
                break
        await soon(probe.cancelled.wait())

    async def test_a_deadline_ends_a_stream_in_the_middle(self, stub: Stub, probe: ProbeServicer) -> None:
        for seconds in DEADLINES:
            numbers = await numbers_until_timeout(stub.Count(COUNT_AND_HANG, timeout=seconds))
            if len(numbers) == 3:
                break
        await soon(probe.cancelled.wait())
        assert numbers == [0, 1, 2]

    async def test_a_deadline_ends_a_wait_for_the_end_of_requests(
        self, stub: Stub, probe: ProbeServicer
    ) -> None:
        for seconds in DEADLINES:
            await refused(write_and_wait(stub.Sum(timeout=seconds)), Kind.TIMEOUT)
            if probe.started.is_set():
                break
        await soon(probe.finished.wait())

    async def test_a_deadline_lets_a_held_writer_go(self, stub: Stub, probe: ProbeServicer) -> None:
        probe.go.clear()
        await refused(write_until_it_fails(stub.Echo(timeout=0.5)), Kind.TIMEOUT)

    async def test_cancelling_a_call_cancels_the_handler(self, stub: Stub, probe: ProbeServicer) -> None:
        call = stub.Unary(HANG)
        await soon(probe.started.wait())
        assert call.cancel() and not call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await soon(call)
        await soon(probe.cancelled.wait())
        assert call.cancelled() and call.done()

    async def test_cancelling_the_waiting_task_cancels_the_handler(
        self, stub: Stub, probe: ProbeServicer
    ) -> None:
        async def wait() -> None:
            await stub.Unary(HANG)

        waiting = asyncio.get_running_loop().create_task(wait())
        await soon(probe.started.wait())
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await soon(waiting)
        await soon(probe.cancelled.wait())

    async def test_cancelling_a_read_cancels_the_stream(self, stub: Stub, probe: ProbeServicer) -> None:
        call = stub.Echo()
        reading = asyncio.ensure_future(call.read())
        await soon(probe.started.wait())
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await soon(reading)
        await soon(probe.finished.wait())
        assert call.cancelled()

    async def test_cancelling_a_stream_ends_its_reader(self, stub: Stub, probe: ProbeServicer) -> None:
        call = stub.Count(COUNT_AND_HANG)
        for _ in range(3):
            await soon(call.read())
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await soon(call.read())
        await soon(probe.cancelled.wait())

    async def test_dropping_a_stream_cancels_the_handler(self, stub: Stub, probe: ProbeServicer) -> None:
        async def read_one() -> int:
            async for answer in stub.Count(COUNT_AND_HANG):
                return answer.number
            return -1

        assert await soon(read_one()) == 0
        await soon(probe.finished.wait())

    async def test_dropping_a_call_that_nobody_awaits_cancels_the_handler(
        self, stub: Stub, probe: ProbeServicer
    ) -> None:
        call = stub.Echo()
        await soon(probe.started.wait())
        del call
        await soon(probe.finished.wait())

    async def test_closing_the_iterator_cancels_the_handler(self, stub: Stub, probe: ProbeServicer) -> None:
        call = stub.Count(COUNT_AND_HANG)
        answers = cast(Any, aiter(call))
        assert (await soon(anext(answers))).number == 0
        await soon(answers.aclose())
        await soon(probe.finished.wait())

    async def test_a_request_iterator_that_fails_cancels_the_call(
        self, stub: Stub, probe: ProbeServicer
    ) -> None:
        async def requests() -> Any:
            yield pb.SumRequest(number=1)
            await probe.started.wait()
            raise ValueError("the caller has lost its thread")

        with pytest.raises(asyncio.CancelledError):
            await soon(stub.Sum(requests()))
        await soon(probe.finished.wait())

    async def test_the_end_of_a_call_ends_its_request_iterator(
        self, stub: Stub, probe: ProbeServicer
    ) -> None:
        closed = asyncio.Event()

        async def requests() -> Any:
            try:
                yield pb.EchoRequest(text="!fail:invalid")
                await asyncio.Event().wait()
            finally:
                closed.set()

        await refused(stub.Echo(requests()).read(), Kind.INVALID)
        await soon(closed.wait())
