"""What the tests of the suite share: a network to be given, a served probe, stubs, bounded waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import pytest

from hive_rpc.conformance.probe import ProbeServicer
from hive_rpc.port import Network, Server
from hive_runtime.errors import HiveError, Kind
from modelhive.probe.v1 import probe_pb2_grpc

if TYPE_CHECKING:
    Stub: TypeAlias = probe_pb2_grpc.ProbeAsyncStub
else:
    Stub = probe_pb2_grpc.ProbeStub

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds after which something that should come soon is taken for lost."""


class NetworkTests:
    """Base of all: a subclass gives `network` and closes it."""

    @pytest.fixture
    async def network(self) -> Network:
        raise NotImplementedError("the adapter's test class gives the network")

    @pytest.fixture
    def probe(self) -> ProbeServicer:
        return ProbeServicer()

    @pytest.fixture
    async def server(self, network: Network, probe: ProbeServicer) -> Server:
        return await serve(network, probe)

    @pytest.fixture
    def stub(self, network: Network, server: Server) -> Stub:
        return stub_of(network, "probe")


async def serve(network: Network, probe: ProbeServicer, instance: str = "one") -> Server:
    """A running server of the service `probe`."""
    server = network.server("probe", instance)
    server.add(probe_pb2_grpc.add_ProbeServicer_to_server, probe)
    await server.start()
    return server


def stub_of(network: Network, target: str) -> Stub:
    return probe_pb2_grpc.ProbeStub(network.channel(target))


async def soon(awaitable: Awaitable[T]) -> T:
    """Wait for what must come within `PATIENCE`."""
    async with asyncio.timeout(PATIENCE):
        return await awaitable


async def eventually(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until the condition holds, at most `PATIENCE`."""
    async with asyncio.timeout(PATIENCE):
        while not await _holds(condition):  # noqa: ASYNC110 - what it looks at has no event
            await asyncio.sleep(0.01)


async def _holds(condition: Callable[[], bool | Awaitable[bool]]) -> bool:
    holds = condition()
    return holds if isinstance(holds, bool) else await holds


async def stands_still(count: Callable[[], int]) -> int:
    """What a counter shows once it has not moved for a fifth of a second."""
    seen, looks = count(), 0
    async with asyncio.timeout(PATIENCE):
        while looks < 20:
            await asyncio.sleep(0.01)
            now = count()
            seen, looks = (now, looks + 1) if now == seen else (now, 0)
    return seen


async def refused(awaitable: Awaitable[object], kind: Kind) -> HiveError:
    """The error of this kind that awaiting must raise soon."""
    with pytest.raises(HiveError) as raised:
        await soon(awaitable)
    assert raised.value.kind is kind
    return raised.value
