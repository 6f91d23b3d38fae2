"""The four kinds of calls, and what they have in common: metadata, status, and messages as they were sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc.aio
import pytest

from hive_rpc.conformance.base import NetworkTests, Stub, serve, soon, stub_of
from hive_rpc.conformance.probe import (
    INITIAL,
    TRAILING,
    OtherStyleServicer,
    ProbeServicer,
    caller_context,
)
from hive_rpc.port import Network
from modelhive.probe.v1 import probe_pb2 as pb


async def numbers(*values: int) -> AsyncIterator[pb.SumRequest]:
    for value in values:
        yield pb.SumRequest(number=value)


class CallTests(NetworkTests):
    async def test_one_request_gets_one_answer(self, stub: Stub) -> None:
        answer = await soon(stub.Unary(pb.UnaryRequest(text="hello")))
        assert answer.text == "hello"

    async def test_one_request_gets_many_answers(self, stub: Stub) -> None:
        call = stub.Count(pb.CountRequest(count=5))
        assert [answer.number async for answer in call] == [0, 1, 2, 3, 4]

    async def test_answers_can_be_read_one_by_one(self, stub: Stub) -> None:
        call = stub.Count(pb.CountRequest(count=2))
        answers = [await soon(call.read()) for _ in range(3)]
        assert answers == [pb.CountResponse(number=0), pb.CountResponse(number=1), grpc.aio.EOF]

    async def test_many_requests_get_one_answer(self, stub: Stub) -> None:
        call = stub.Sum()
        for number in (1, 2, 39):
            await soon(call.write(pb.SumRequest(number=number)))
        await soon(call.done_writing())
        assert (await soon(call)).sum == 42

    async def test_requests_can_come_from_an_asynchronous_iterator(self, stub: Stub) -> None:
        assert (await soon(stub.Sum(numbers(1, 2, 3)))).sum == 6

    async def test_requests_can_come_from_a_plain_iterator(self, stub: Stub) -> None:
        requests = iter([pb.SumRequest(number=4), pb.SumRequest(number=5)])
        assert (await soon(stub.Sum(requests))).sum == 9

    async def test_many_requests_get_many_answers(self, stub: Stub) -> None:
        call = stub.Echo()
        for text in ("first", "second"):
            await soon(call.write(pb.EchoRequest(text=text)))
            assert await soon(call.read()) == pb.EchoResponse(text=text)
        await soon(call.done_writing())
        assert await soon(call.read()) is grpc.aio.EOF

    async def test_handlers_of_the_other_style_are_served_as_well(self, network: Network) -> None:
        await serve(network, OtherStyleServicer(), "other")
        stub = stub_of(network, "probe")
        counted = [answer.number async for answer in stub.Count(pb.CountRequest(count=3))]
        echoed = [answer.text async for answer in stub.Echo(iter([pb.EchoRequest(text="back")]))]
        assert (counted, echoed) == ([0, 1, 2], ["back"])

    async def test_the_servicer_sees_the_metadata_of_the_caller(self, stub: Stub) -> None:
        metadata = (("probe-word", "value"), ("probe-raw-bin", b"\x00\xfe"))
        answer = await soon(stub.Unary(pb.UnaryRequest(), metadata=metadata))
        assert answer.metadata["probe-word"] == "value"
        assert answer.metadata["probe-raw-bin"] == "00fe"

    async def test_the_caller_sees_the_metadata_of_the_servicer(self, stub: Stub) -> None:
        call = stub.Unary(pb.UnaryRequest())
        await soon(call)
        assert INITIAL in tuple(await soon(call.initial_metadata()))
        assert set(TRAILING) <= set(await soon(call.trailing_metadata()))

    async def test_initial_metadata_comes_before_the_first_answer(
        self, stub: Stub, probe: ProbeServicer
    ) -> None:
        probe.go.clear()
        call = stub.Echo()
        assert INITIAL in tuple(await soon(call.initial_metadata()))
        probe.go.set()
        await soon(call.done_writing())
        assert await soon(call.read()) is grpc.aio.EOF
        assert set(TRAILING) <= set(await soon(call.trailing_metadata()))

    async def test_a_finished_call_tells_its_status(self, stub: Stub) -> None:
        call = stub.Unary(pb.UnaryRequest())
        await soon(call)
        assert await soon(call.code()) is grpc.StatusCode.OK
        assert call.done() and not call.cancelled() and not call.cancel()

    async def test_a_finished_call_calls_back(self, stub: Stub) -> None:
        ended = asyncio.Event()
        call = stub.Unary(pb.UnaryRequest())
        call.add_done_callback(lambda _: ended.set())
        await soon(call)
        await soon(ended.wait())

    @pytest.mark.parametrize("text", ["", "plain", "nul \0 ümläut 漢字 🐝\r\n", "x" * 2**20])
    async def test_a_message_arrives_as_it_was_sent(self, stub: Stub, text: str) -> None:
        request = pb.UnaryRequest(text=text)
        sent = request.SerializeToString()
        answer = await soon(stub.Unary(request))
        assert pb.UnaryRequest(text=answer.text).SerializeToString() == sent

    async def test_the_handler_inherits_no_context_variable(self, stub: Stub) -> None:
        caller_context.set("of the caller")
        answer = await soon(stub.Unary(pb.UnaryRequest()))
        assert answer.metadata["caller_context"] == "nothing"

    async def test_many_calls_at_once(self, stub: Stub) -> None:
        async def count(length: int) -> int:
            return len([answer async for answer in stub.Count(pb.CountRequest(count=length))])

        unary = [stub.Unary(pb.UnaryRequest(text=str(number))) for number in range(200)]
        lengths = await soon(asyncio.gather(*(count(length) for length in range(50))))
        texts = [(await soon(call)).text for call in unary]
        assert texts == [str(number) for number in range(200)]
        assert lengths == list(range(50))
