"""Who answers in the same process is found by the channel to it, as long as calls would reach it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc.aio
import pytest

from hive_rpc import beside
from hive_rpc.conformance.base import serve
from hive_rpc.conformance.probe import ProbeServicer
from hive_rpc.local import LocalNetwork


class Neighbour:
    """What a servicer may be besides."""


class NearProbe(ProbeServicer, Neighbour):
    """Both."""


@pytest.fixture
async def network() -> AsyncIterator[LocalNetwork]:
    network = LocalNetwork(lambda name, error: None)
    yield network
    await network.close()


async def test_it_is_found_while_it_serves(network: LocalNetwork) -> None:
    find, probe = beside(network.channel("probe"), Neighbour), NearProbe()
    assert find() is None
    server = await serve(network, probe)
    assert find() is probe
    assert beside(network.channel(server.address), Neighbour)() is probe
    assert beside(network.channel("another"), Neighbour)() is None
    await server.stop(0)
    assert find() is None


async def test_what_is_no_neighbour_can_only_be_called(network: LocalNetwork) -> None:
    await serve(network, ProbeServicer())
    assert beside(network.channel("probe"), Neighbour)() is None


async def test_several_instances_take_turns_as_with_calls(network: LocalNetwork) -> None:
    probes = [NearProbe(), NearProbe()]
    for number, probe in enumerate(probes):
        await serve(network, probe, str(number))
    find = beside(network.channel("probe"), Neighbour)
    assert {find(), find()} == set(probes)


async def test_nobody_is_beside_where_calls_leave_the_process() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        assert beside(channel, Neighbour)() is None
