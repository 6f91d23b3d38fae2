"""A prompt handler keeps the port's contract, and inside one process its first part runs in the caller's turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import grpc.aio
import pytest

from hive_rpc import is_near, prompt
from hive_rpc.conformance import RpcConformance
from hive_rpc.conformance.base import Stub, refused, serve, soon, stub_of
from hive_rpc.conformance.probe import ProbeServicer, caller_context, failure
from hive_rpc.local import LocalNetwork
from hive_runtime.errors import Kind
from modelhive.probe.v1 import probe_pb2 as pb

Answer = pb.UnaryResponse | Coroutine[Any, Any, pb.UnaryResponse]


class BegunProbe(ProbeServicer):
    """Everything that `Unary` does is left to its coroutine."""

    @prompt
    def Unary(self, request: pb.UnaryRequest, context: Any) -> Answer:
        return ProbeServicer.Unary(self, request, context)


class PromptProbe(ProbeServicer):
    """`Unary` answers at once, but for `wait`."""

    @prompt
    def Unary(self, request: pb.UnaryRequest, context: Any) -> Answer:
        if request.instruction == "wait":
            caller_context.set("the first part's")
            return self._later(request)
        if request.instruction == "blocked":
            raise failure(Kind.BLOCKED, "no")
        context.set_trailing_metadata((("said", "at once"),))
        seen = caller_context.get()
        return pb.UnaryResponse(text=f"{request.text} {1 // (request.instruction != 'bug')} {seen}")

    async def _later(self, request: pb.UnaryRequest) -> pb.UnaryResponse:
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return pb.UnaryResponse(text=caller_context.get())


class TestBegunHandlers(RpcConformance):
    @pytest.fixture
    async def network(self) -> AsyncIterator[LocalNetwork]:
        network = LocalNetwork(lambda name, error: None)
        yield network
        await network.close()

    @pytest.fixture
    def probe(self) -> ProbeServicer:
        return BegunProbe()


@pytest.fixture
def failures() -> list[tuple[str, BaseException]]:
    """What the network reported."""
    return []


@pytest.fixture
async def network(failures: list[tuple[str, BaseException]]) -> AsyncIterator[LocalNetwork]:
    network = LocalNetwork(lambda name, error: failures.append((name, error)))
    yield network
    await network.close()


@pytest.fixture
def probe() -> PromptProbe:
    return PromptProbe()


@pytest.fixture
async def stub(network: LocalNetwork, probe: PromptProbe) -> Stub:
    await serve(network, probe)
    return stub_of(network, "probe")


async def test_the_answer_is_there_before_the_loop_turns(stub: Stub) -> None:
    caller_context.set("the caller's")
    turned = asyncio.Event()
    asyncio.get_running_loop().call_soon(turned.set)
    call = stub.Unary(pb.UnaryRequest(text="hello"), timeout=5)
    assert call.done()
    assert (await call).text == "hello 1 nothing"
    assert not turned.is_set()
    assert await call.code() is grpc.StatusCode.OK
    assert list(await call.trailing_metadata()) == [("said", "at once")]
    assert caller_context.get() == "the caller's"


async def test_both_parts_share_a_context_that_nobody_else_sees(stub: Stub) -> None:
    call = stub.Unary(pb.UnaryRequest(instruction="wait"))
    assert not call.done()
    assert (await soon(call)).text == "the first part's"
    assert caller_context.get() == "nothing"


async def test_what_the_first_part_raises_arrives(
    stub: Stub, failures: list[tuple[str, BaseException]]
) -> None:
    error = await refused(stub.Unary(pb.UnaryRequest(instruction="blocked")), Kind.BLOCKED)
    assert error.message == "no"
    assert failures == []
    await refused(stub.Unary(pb.UnaryRequest(instruction="bug")), Kind.INTERNAL)
    ((name, unforeseen),) = failures
    assert name.endswith("/Unary") and isinstance(unforeseen, ZeroDivisionError)


async def test_a_deadline_ends_the_second_part(stub: Stub, probe: PromptProbe) -> None:
    probe.go.clear()
    await refused(stub.Unary(pb.UnaryRequest(instruction="wait"), timeout=0.01), Kind.TIMEOUT)
    await soon(probe.cancelled.wait())


async def test_only_calls_within_the_process_are_near(network: LocalNetwork) -> None:
    assert is_near(network.channel("probe"))
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        assert not is_near(channel)
