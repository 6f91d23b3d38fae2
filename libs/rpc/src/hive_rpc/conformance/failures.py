"""Errors: every kind with every field arrives, and nothing that was not meant for the caller does."""

from __future__ import annotations

import grpc
import grpc.aio
import pytest

from hive_rpc.conformance.base import NetworkTests, Stub, refused, soon
from hive_rpc.conformance.probe import SECRET, TRAILING, failure
from hive_rpc.errors import FAILURE_KEY
from hive_rpc.port import Network, Server
from hive_runtime.errors import HiveError, Kind
from modelhive.probe.v1 import probe_pb2 as pb


def fields(error: HiveError) -> tuple[object, ...]:
    return (
        error.kind,
        error.message,
        error.param,
        error.reason,
        error.retry_after,
        error.should_retry,
    )


class FailureTests(NetworkTests):
    @pytest.mark.parametrize("kind", Kind)
    async def test_an_error_of_each_kind_arrives_whole(self, stub: Stub, kind: Kind) -> None:
        request = pb.UnaryRequest(text="as the client reads it: ü", instruction=f"fail:{kind.label}")
        error = await refused(stub.Unary(request), kind)
        assert fields(error) == fields(failure(kind, request.text))

    @pytest.mark.parametrize("kind", Kind)
    async def test_an_error_arrives_after_the_answers_before_it(self, stub: Stub, kind: Kind) -> None:
        call = stub.Count(pb.CountRequest(count=3, instruction=f"fail:{kind.label}"))
        numbers = []
        with pytest.raises(HiveError) as raised:
            async for answer in call:
                numbers.append(answer.number)
        assert numbers == [0, 1, 2]
        assert fields(raised.value) == fields(failure(kind, "counted"))

    async def test_fields_that_were_absent_stay_absent(self, stub: Stub) -> None:
        error = await refused(stub.Unary(pb.UnaryRequest(instruction="fail:conflict")), Kind.CONFLICT)
        assert fields(error) == (Kind.CONFLICT, "", None, None, None, None)

    async def test_a_long_text_arrives_shortened_and_leaves_the_kind_alone(self, stub: Stub) -> None:
        request = pb.UnaryRequest(text="漢" * 100_000, instruction="fail:blocked")
        error = await refused(stub.Unary(request), Kind.BLOCKED)
        assert error.message.startswith("漢" * 500)
        assert error.reason == "as_told"

    async def test_an_error_ends_a_stream_in_both_directions(self, stub: Stub) -> None:
        call = stub.Echo()
        await soon(call.write(pb.EchoRequest(text="first")))
        assert await soon(call.read()) == pb.EchoResponse(text="first")
        await soon(call.write(pb.EchoRequest(text="!fail:too_large")))
        error = await refused(call.read(), Kind.TOO_LARGE)
        assert fields(error) == fields(failure(Kind.TOO_LARGE, "echoed"))

    async def test_a_failed_call_tells_its_status_and_metadata(self, stub: Stub) -> None:
        call = stub.Unary(pb.UnaryRequest(text="gone", instruction="fail:not_found"))
        await refused(call, Kind.NOT_FOUND)
        trailing = await soon(call.trailing_metadata())
        assert await soon(call.code()) is grpc.StatusCode.NOT_FOUND
        assert set(TRAILING) <= set(trailing) and trailing.get(FAILURE_KEY)
        assert call.done() and not call.cancelled()

    @pytest.mark.parametrize("text", ["!crash", "!fail:internal"])
    async def test_an_exception_of_a_stream_is_internal(self, stub: Stub, text: str) -> None:
        call = stub.Echo(iter([pb.EchoRequest(text=text)]))
        await refused(call.read(), Kind.INTERNAL)

    async def test_the_text_of_an_exception_stays_inside(self, stub: Stub) -> None:
        call = stub.Unary(pb.UnaryRequest(instruction="crash"))
        error = await refused(call, Kind.INTERNAL)
        told = [*fields(error), await call.details(), *await call.trailing_metadata(), error.__cause__]
        assert error.message
        assert SECRET not in "".join(map(str, told))

    async def test_an_abort_becomes_the_nearest_kind(self, stub: Stub) -> None:
        error = await refused(stub.Unary(pb.UnaryRequest(instruction="abort")), Kind.NOT_FOUND)
        assert error.message == "the probe has no such thing"

    async def test_an_abort_ends_a_stream(self, stub: Stub) -> None:
        call = stub.Count(pb.CountRequest(count=1, instruction="abort"))
        assert await soon(call.read()) == pb.CountResponse(number=0)
        await refused(call.read(), Kind.NOT_FOUND)

    async def test_a_code_set_by_the_servicer_becomes_the_nearest_kind(self, stub: Stub) -> None:
        error = await refused(stub.Unary(pb.UnaryRequest(instruction="code")), Kind.CONFLICT)
        assert error.message == "the probe has it already"

    async def test_a_method_that_nobody_serves_is_our_fault(self, network: Network, server: Server) -> None:
        unknown = network.channel("probe").unary_unary(
            "/modelhive.probe.v1.Probe/Unknown",
            request_serializer=pb.UnaryRequest.SerializeToString,
            response_deserializer=pb.UnaryResponse.FromString,
        )
        await refused(unknown(pb.UnaryRequest()), Kind.INTERNAL)
