"""Streams: order, half-close, and a fast side that is held back by a slow one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest

from hive_rpc.conformance.base import NetworkTests, Stub, eventually, refused, soon, stands_still
from hive_rpc.conformance.probe import END, ProbeServicer
from hive_runtime.errors import Kind
from modelhive.probe.v1 import probe_pb2 as pb

BIG = "b" * 65536

MANY = 2000
"""Big messages: 125 MiB, more than any adapter may take in without a reader."""

AHEAD = 256
"""Big messages that may be on their way in one direction: 16 MiB of windows and buffers."""


async def write_until_it_fails(call: Any) -> None:
    """Write big messages to a servicer that does not read, so sooner or later the writer is held."""
    for _ in range(MANY):
        await call.write(pb.EchoRequest(text=BIG))
    raise AssertionError(f"{MANY} big messages were taken in, and nothing held the writer")


class StreamTests(NetworkTests):
    async def test_thousands_of_messages_stay_in_order(self, stub: Stub) -> None:
        texts = [str(number) for number in range(3000)]
        call = stub.Echo(pb.EchoRequest(text=text) for text in texts)
        assert [answer.text async for answer in call] == texts

    async def test_reading_and_writing_go_on_at_the_same_time(self, stub: Stub) -> None:
        async def read_all() -> list[str]:
            return [answer.text async for answer in call]

        call = stub.Echo()
        async with asyncio.timeout(20), asyncio.TaskGroup() as both:
            reading = both.create_task(read_all())
            for number in range(1000):
                await call.write(pb.EchoRequest(text=str(number)))
            await call.done_writing()
        assert reading.result() == [str(number) for number in range(1000)]

    async def test_answers_go_on_after_the_last_request(self, stub: Stub, probe: ProbeServicer) -> None:
        probe.go.clear()
        call = stub.Echo()
        await soon(call.write(pb.EchoRequest(text="only")))
        await soon(call.done_writing())
        probe.go.set()
        assert [answer.text async for answer in call] == ["only"]

    async def test_done_writing_may_be_called_twice(self, stub: Stub) -> None:
        call = stub.Sum()
        await soon(call.done_writing())
        await soon(call.done_writing())
        assert (await soon(call)).sum == 0

    async def test_nothing_can_be_written_after_done_writing(self, stub: Stub, probe: ProbeServicer) -> None:
        probe.go.clear()
        call = stub.Echo()
        await soon(call.done_writing())
        with pytest.raises(asyncio.InvalidStateError):
            await soon(call.write(pb.EchoRequest(text="too late")))
        probe.go.set()
        assert await soon(call.read()) is grpc.aio.EOF

    async def test_nothing_can_be_written_after_the_servicer_has_ended(self, stub: Stub) -> None:
        call = stub.Echo()
        await soon(call.write(END))
        assert await soon(call.read()) is grpc.aio.EOF
        with pytest.raises(asyncio.InvalidStateError):
            await soon(call.write(pb.EchoRequest(text="too late")))

    async def test_a_stream_that_has_failed_says_so_to_its_writer(self, stub: Stub) -> None:
        call = stub.Echo()
        await soon(call.write(pb.EchoRequest(text="!fail:conflict")))
        await refused(call.read(), Kind.CONFLICT)
        await refused(call.write(pb.EchoRequest(text="too late")), Kind.CONFLICT)

    async def test_a_servicer_that_does_not_read_holds_the_caller(
        self, stub: Stub, probe: ProbeServicer
    ) -> None:
        sent = 0

        async def requests() -> AsyncIterator[pb.EchoRequest]:
            nonlocal sent
            for _ in range(MANY):
                yield pb.EchoRequest(text=BIG)
                sent += 1

        probe.go.clear()
        call = stub.Echo(requests())
        await eventually(lambda: sent > 0)
        assert await stands_still(lambda: sent) <= AHEAD
        call.cancel()

    async def test_a_caller_that_does_not_read_holds_the_servicer(
        self, stub: Stub, probe: ProbeServicer
    ) -> None:
        probe.repeat = MANY
        call = stub.Echo(iter([pb.EchoRequest(text=BIG)]))
        read = 0
        await eventually(lambda: probe.answered > 0)
        assert await stands_still(lambda: probe.answered) <= AHEAD
        async for _ in call:
            read += 1
            assert probe.answered - read <= AHEAD
        assert read == MANY
