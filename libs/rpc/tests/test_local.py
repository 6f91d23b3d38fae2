"""The local adapter keeps the port's contract, by reference, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from hive_rpc.conformance import RpcConformance
from hive_rpc.conformance.base import Stub, eventually, refused, serve, soon, stands_still, stub_of
from hive_rpc.conformance.probe import ProbeServicer
from hive_rpc.local import LocalNetwork
from hive_rpc.local.server import LocalServer
from hive_runtime.errors import HiveError, Kind
from modelhive.probe.v1 import probe_pb2 as pb
from modelhive.probe.v1 import probe_pb2_grpc

BUFFER = 4

HELLO = pb.UnaryRequest(text="hello")
HANG = pb.UnaryRequest(instruction="hang")
COUNT_AND_HANG = pb.CountRequest(count=3, instruction="hang")


class TestLocalNetwork(RpcConformance):
    @pytest.fixture
    async def network(self) -> AsyncIterator[LocalNetwork]:
        network = LocalNetwork(lambda name, error: None)
        yield network
        await network.close()


@pytest.fixture
def failures() -> list[tuple[str, BaseException]]:
    """What the network reported."""
    return []


@pytest.fixture
async def network(failures: list[tuple[str, BaseException]]) -> AsyncIterator[LocalNetwork]:
    network = LocalNetwork(lambda name, error: failures.append((name, error)), BUFFER)
    yield network
    await network.close()


@pytest.fixture
def probe() -> ProbeServicer:
    return ProbeServicer()


@pytest.fixture
async def stub(network: LocalNetwork, probe: ProbeServicer) -> Stub:
    await serve(network, probe)
    return stub_of(network, "probe")


class Custom(ProbeServicer):
    """A probe whose `Unary` is what a test makes of it."""

    def __init__(self, unary: Any) -> None:
        super().__init__()
        self._unary = unary

    async def Unary(self, request: pb.UnaryRequest, context: Any) -> pb.UnaryResponse:
        answer: pb.UnaryResponse = await self._unary(request, context)
        return answer


async def custom(network: LocalNetwork, unary: Any) -> Stub:
    await serve(network, Custom(unary))
    return stub_of(network, "probe")


async def test_messages_pass_by_reference(network: LocalNetwork) -> None:
    seen: list[object] = []
    answer = pb.UnaryResponse(text="one and the same")

    async def unary(request: pb.UnaryRequest, context: Any) -> pb.UnaryResponse:
        seen.append(request)
        return answer

    stub = await custom(network, unary)
    assert await soon(stub.Unary(HELLO)) is answer
    assert seen[0] is HELLO


async def test_no_task_is_left_when_the_network_has_closed(network: LocalNetwork) -> None:
    async def requests() -> AsyncIterator[pb.EchoRequest]:
        yield pb.EchoRequest(text="then nothing more")
        await asyncio.Event().wait()

    probes = [ProbeServicer() for _ in range(2)]
    for number, probe in enumerate(probes):
        await serve(network, probe, str(number))
    stub = stub_of(network, "probe")
    calls = [
        *(stub.Unary(HANG, timeout=60) for _ in range(3)),
        *(stub.Echo(requests()) for _ in range(3)),
        *(stub.Count(COUNT_AND_HANG) for _ in range(3)),
    ]
    await eventually(lambda: sum(probe.calls for probe in probes) == len(calls))
    await soon(network.close())
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert all(call.done() for call in calls)


async def test_finished_calls_leave_no_task(network: LocalNetwork, stub: Stub) -> None:
    await soon(stub.Unary(HELLO, timeout=60))
    await soon(stub.Sum(iter([pb.SumRequest(number=1)])))
    assert [answer.number async for answer in stub.Count(pb.CountRequest(count=9))] == [*range(9)]
    await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()})


async def test_a_closed_network_refuses_calls(network: LocalNetwork, stub: Stub) -> None:
    await soon(network.close())
    await refused(stub.Unary(HELLO), Kind.UNAVAILABLE)


async def test_a_writer_waits_when_the_buffer_is_full(stub: Stub, probe: ProbeServicer) -> None:
    probe.go.clear()
    call = stub.Echo()
    for _ in range(BUFFER):
        await soon(call.write(pb.EchoRequest(text="fits")))
    waiting = asyncio.ensure_future(call.write(pb.EchoRequest(text="!end")))
    await soon(probe.started.wait())
    assert not waiting.done()
    probe.go.set()
    await soon(waiting)
    assert [answer.text async for answer in call] == ["fits"] * BUFFER


async def test_a_handler_waits_when_the_buffer_is_full(stub: Stub, probe: ProbeServicer) -> None:
    call = stub.Count(pb.CountRequest(count=100))
    assert await stands_still(lambda: probe.answered) == BUFFER
    assert len([answer async for answer in call]) == 100


async def test_instances_take_turns(network: LocalNetwork) -> None:
    probes = [ProbeServicer() for _ in range(3)]
    for number, probe in enumerate(probes):
        await serve(network, probe, str(number))
    stub = stub_of(network, "probe")
    for _ in range(6):
        await soon(stub.Unary(HELLO))
    assert [probe.calls for probe in probes] == [2, 2, 2]


async def test_an_address_is_given_once_at_a_time(network: LocalNetwork) -> None:
    first = await serve(network, ProbeServicer())
    with pytest.raises(ValueError, match="local:probe/one"):
        await serve(network, ProbeServicer())
    await first.stop(0)
    assert (await serve(network, ProbeServicer())).address == first.address


async def test_a_deadline_that_has_passed_starts_nothing(stub: Stub, probe: ProbeServicer) -> None:
    await refused(stub.Unary(HELLO, timeout=0), Kind.TIMEOUT)
    await refused(stub.Unary(HELLO, timeout=-1), Kind.TIMEOUT)
    await soon(stub.Unary(HELLO))
    assert probe.calls == 1


async def test_a_handler_that_will_not_stop_holds_no_caller(network: LocalNetwork) -> None:
    release = asyncio.Event()

    async def stubborn(request: pb.UnaryRequest, context: Any) -> pb.UnaryResponse:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await release.wait()
        return pb.UnaryResponse()

    stub = await custom(network, stubborn)
    await refused(stub.Unary(HELLO, timeout=0.05), Kind.TIMEOUT)
    release.set()


async def test_an_exception_that_nobody_meant_is_reported(
    stub: Stub, failures: list[tuple[str, BaseException]]
) -> None:
    await refused(stub.Unary(pb.UnaryRequest(instruction="crash")), Kind.INTERNAL)
    await eventually(lambda: len(failures) == 1)
    name, error = failures[0]
    assert name == "/modelhive.probe.v1.Probe/Unary" and isinstance(error, RuntimeError)


@pytest.mark.parametrize("instruction", ["fail:internal", "fail:invalid", "abort", "code"])
async def test_an_error_meant_for_the_caller_is_not_reported(
    network: LocalNetwork, stub: Stub, instruction: str, failures: list[tuple[str, BaseException]]
) -> None:
    with pytest.raises(HiveError):
        await soon(stub.Unary(pb.UnaryRequest(instruction=instruction)))
    await soon(network.close())
    assert failures == []


async def test_the_failure_of_a_request_iterator_is_reported(
    stub: Stub, failures: list[tuple[str, BaseException]]
) -> None:
    def requests() -> Any:
        yield pb.SumRequest(number=1)
        raise ValueError("lost")

    with pytest.raises(asyncio.CancelledError):
        await soon(stub.Sum(requests()))
    await eventually(lambda: len(failures) == 1)
    assert isinstance(failures[0][1], ValueError)


async def test_an_error_of_the_wrong_types_still_ends_the_call(network: LocalNetwork) -> None:
    async def sloppy(request: pb.UnaryRequest, context: Any) -> pb.UnaryResponse:
        raise HiveError(Kind.INVALID, 7)  # type: ignore[arg-type]

    await refused((await custom(network, sloppy)).Unary(HELLO), Kind.INTERNAL)


async def test_a_handler_that_cancels_itself_is_unavailable(network: LocalNetwork) -> None:
    async def gives_up(request: pb.UnaryRequest, context: Any) -> pb.UnaryResponse:
        raise asyncio.CancelledError

    await refused((await custom(network, gives_up)).Unary(HELLO), Kind.UNAVAILABLE)


async def test_one_read_may_wait_at_a_time(stub: Stub) -> None:
    call = stub.Echo()
    reading = asyncio.ensure_future(call.read())
    await asyncio.sleep(0)
    with pytest.raises(asyncio.InvalidStateError):
        await soon(call.read())
    await soon(call.write(pb.EchoRequest(text="for the first")))
    assert await soon(reading) == pb.EchoResponse(text="for the first")


async def test_reading_and_iterating_do_not_mix(stub: Stub) -> None:
    read, iterated = stub.Count(pb.CountRequest(count=2)), stub.Count(pb.CountRequest(count=2))
    await soon(read.read())
    with pytest.raises(grpc.aio.UsageError):
        aiter(read)
    await soon(anext(aiter(iterated)))
    with pytest.raises(grpc.aio.UsageError):
        await soon(iterated.read())


async def test_writing_and_a_request_iterator_do_not_mix(stub: Stub) -> None:
    call = stub.Sum(iter([pb.SumRequest(number=1)]))
    with pytest.raises(grpc.aio.UsageError):
        await soon(call.write(pb.SumRequest(number=2)))
    assert (await soon(call)).sum == 1


async def test_a_method_that_is_not_asynchronous_is_not_served(network: LocalNetwork) -> None:
    class Synchronous(ProbeServicer):
        def Unary(self, request: pb.UnaryRequest, context: Any) -> pb.UnaryResponse:  # type: ignore[override]
            return pb.UnaryResponse()

    await serve(network, Synchronous())
    await refused(stub_of(network, "probe").Unary(HELLO), Kind.INTERNAL)


async def test_a_call_reaches_a_server_or_says_so(network: LocalNetwork, stub: Stub) -> None:
    await soon(stub.Echo().wait_for_connection())
    await refused(stub_of(network, "nobody").Echo().wait_for_connection(), Kind.UNAVAILABLE)


async def test_the_context_has_what_servicers_ask_for(network: LocalNetwork) -> None:
    facts: dict[str, object] = {}
    ended = asyncio.Event()

    async def curious(request: pb.UnaryRequest, context: Any) -> pb.UnaryResponse:
        context.add_done_callback(lambda _: ended.set())
        context.set_compression(grpc.Compression.Gzip)
        context.disable_next_message_compression()
        facts.update(peer=context.peer(), identities=context.peer_identities(), auth=context.auth_context())
        facts.update(key=context.peer_identity_key(), done=context.done(), cancelled=context.cancelled())
        return pb.UnaryResponse()

    stub = await custom(network, curious)
    await soon(stub.Unary(HELLO))
    await soon(ended.wait())
    assert facts == {
        "peer": "local",
        "identities": None,
        "auth": {},
        "key": None,
        "done": False,
        "cancelled": False,
    }


async def test_an_abort_cannot_be_taken_back(network: LocalNetwork) -> None:
    refusals: list[BaseException] = []

    async def undecided(request: pb.UnaryRequest, context: Any) -> pb.UnaryResponse:
        for words in ("first", "second"):
            try:
                await context.abort(grpc.StatusCode.ABORTED, words)
            except grpc.aio.BaseError as refusal:
                refusals.append(refusal)
        return pb.UnaryResponse()

    error = await refused((await custom(network, undecided)).Unary(HELLO), Kind.CONFLICT)
    assert error.message == "first"
    await eventually(lambda: len(refusals) == 2)
    assert [type(refusal) for refusal in refusals] == [grpc.aio.AbortError, grpc.aio.UsageError]


async def test_an_abort_with_a_status_brings_its_metadata(network: LocalNetwork) -> None:
    class Taken(grpc.Status):
        code = grpc.StatusCode.ALREADY_EXISTS
        details = "taken"
        trailing_metadata = (("why", "first come"),)

    async def abort(request: pb.UnaryRequest, context: Any) -> pb.UnaryResponse:
        await context.abort_with_status(Taken())
        raise AssertionError("abort_with_status returned")

    call = (await custom(network, abort)).Unary(HELLO)
    assert (await refused(call, Kind.CONFLICT)).message == "taken"
    assert (await soon(call.trailing_metadata()))["why"] == "first come"


async def test_initial_metadata_is_sent_once(network: LocalNetwork) -> None:
    async def twice(request: pb.UnaryRequest, context: Any) -> pb.UnaryResponse:
        await context.send_initial_metadata((("a", "1"),))
        await context.send_initial_metadata((("a", "2"),))
        return pb.UnaryResponse()

    call = (await custom(network, twice)).Unary(HELLO)
    await refused(call, Kind.INTERNAL)
    assert tuple(await soon(call.initial_metadata())) == (("a", "1"),)


async def test_the_server_takes_the_generated_registration_unchanged(network: LocalNetwork) -> None:
    server: LocalServer = network.server("other", "one")
    probe_pb2_grpc.add_ProbeServicer_to_server(ProbeServicer(), server)  # type: ignore[arg-type]
    await server.start()
    assert (await soon(stub_of(network, server.address).Unary(HELLO))).text == "hello"
