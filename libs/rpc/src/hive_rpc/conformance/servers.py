"""Servers: found late or never, several of one service, stopped with and without grace."""

from __future__ import annotations

import asyncio

from hive_rpc.conformance.base import NetworkTests, Stub, eventually, refused, serve, soon, stub_of
from hive_rpc.conformance.probe import ProbeServicer
from hive_rpc.conformance.streams import write_until_it_fails
from hive_rpc.port import Network, Server
from hive_runtime.errors import HiveError, Kind
from modelhive.probe.v1 import probe_pb2 as pb

HANG = pb.UnaryRequest(instruction="hang")
WAIT = pb.UnaryRequest(text="worth waiting for", instruction="wait")
HELLO = pb.UnaryRequest(text="hello")


async def answered(stub: Stub) -> bool:
    """Whether a call is answered at once; an adapter may need a moment to find or leave a server."""
    try:
        await soon(stub.Unary(HELLO, timeout=5))
    except HiveError as error:
        assert error.kind is Kind.UNAVAILABLE
        return False
    return True


async def refuses(stub: Stub) -> bool:
    return not await answered(stub)


class ServerTests(NetworkTests):
    async def test_a_target_that_nobody_serves_is_unavailable(self, network: Network) -> None:
        stub = stub_of(network, "nobody")
        await refused(stub.Unary(HELLO), Kind.UNAVAILABLE)
        await refused(stub.Count(pb.CountRequest(count=1)).read(), Kind.UNAVAILABLE)
        await refused(stub.Sum(iter([pb.SumRequest(number=1)])), Kind.UNAVAILABLE)
        await refused(stub.Echo().read(), Kind.UNAVAILABLE)

    async def test_a_server_that_has_not_started_is_unavailable(
        self, network: Network, probe: ProbeServicer
    ) -> None:
        network.server("probe", "one")
        await refused(stub_of(network, "probe").Unary(HELLO), Kind.UNAVAILABLE)

    async def test_a_channel_may_be_older_than_the_server(
        self, network: Network, probe: ProbeServicer
    ) -> None:
        stub = stub_of(network, "probe")
        await refused(stub.Unary(HELLO), Kind.UNAVAILABLE)
        await serve(network, probe)
        await eventually(lambda: answered(stub))

    async def test_a_channel_leads_to_the_next_server_of_the_service(
        self, network: Network, server: Server, stub: Stub, probe: ProbeServicer
    ) -> None:
        await soon(stub.Unary(HELLO))
        await soon(server.stop(0))
        await refused(stub.Unary(HELLO), Kind.UNAVAILABLE)
        await serve(network, probe, "two")
        await eventually(lambda: answered(stub))

    async def test_an_address_leads_to_that_server_only(
        self, network: Network, server: Server, probe: ProbeServicer
    ) -> None:
        other = ProbeServicer()
        second = await serve(network, other, "two")
        assert server.address != second.address
        stub = stub_of(network, second.address)
        for _ in range(20):
            await soon(stub.Unary(HELLO))
        assert (probe.calls, other.calls) == (0, 20)
        await soon(second.stop(0))
        await refused(stub.Unary(HELLO), Kind.UNAVAILABLE)

    async def test_calls_to_a_service_spread_over_its_instances(
        self, network: Network, server: Server, stub: Stub, probe: ProbeServicer
    ) -> None:
        other = ProbeServicer()
        await serve(network, other, "two")
        async with asyncio.timeout(30):
            while not (probe.calls and other.calls):
                await stub.Unary(HELLO)

    async def test_an_instance_that_stops_leaves_its_work_to_the_others(
        self, network: Network, server: Server, stub: Stub, probe: ProbeServicer
    ) -> None:
        other = ProbeServicer()
        await serve(network, other, "two")
        await soon(stub.Unary(HELLO))
        await soon(server.stop(0))
        await eventually(lambda: answered(stub))
        before = probe.calls
        for _ in range(20):
            await soon(stub.Unary(HELLO))
        assert other.calls >= 20 and probe.calls == before

    async def test_a_stop_ends_what_runs_as_unavailable(
        self, server: Server, stub: Stub, probe: ProbeServicer
    ) -> None:
        unary, stream = stub.Unary(HANG), stub.Echo()
        await eventually(lambda: probe.calls == 2)
        reading = asyncio.ensure_future(stream.read())
        await soon(server.stop(0))
        await refused(unary, Kind.UNAVAILABLE)
        await refused(reading, Kind.UNAVAILABLE)
        await refused(stream.write(pb.EchoRequest(text="too late")), Kind.UNAVAILABLE)
        await soon(probe.cancelled.wait())
        await soon(probe.finished.wait())

    async def test_a_stop_lets_a_held_writer_go(
        self, server: Server, stub: Stub, probe: ProbeServicer
    ) -> None:
        probe.go.clear()
        call = stub.Echo()
        writing = asyncio.ensure_future(write_until_it_fails(call))
        await soon(probe.started.wait())
        await soon(server.stop(0))
        await refused(writing, Kind.UNAVAILABLE)

    async def test_running_calls_end_well_within_the_grace(
        self, server: Server, stub: Stub, probe: ProbeServicer
    ) -> None:
        probe.go.clear()
        unary, stream = stub.Unary(WAIT), stub.Count(pb.CountRequest(count=2, instruction="wait"))
        await eventually(lambda: probe.calls == 2)
        stopping = asyncio.ensure_future(server.stop(60))
        await eventually(lambda: refuses(stub))
        probe.go.set()
        assert (await soon(unary)).text == WAIT.text
        assert [answer.number async for answer in stream] == [0, 1]
        await soon(stopping)

    async def test_the_grace_has_an_end(self, server: Server, stub: Stub, probe: ProbeServicer) -> None:
        call = stub.Unary(HANG)
        await soon(probe.started.wait())
        await soon(server.stop(0.2))
        await refused(call, Kind.UNAVAILABLE)
        await soon(probe.cancelled.wait())

    async def test_a_server_may_be_stopped_twice_or_before_it_starts(
        self, network: Network, server: Server
    ) -> None:
        await soon(network.server("probe", "two").stop(0))
        await soon(server.stop(0))
        await soon(server.stop(0))

    async def test_closing_the_network_ends_what_runs(
        self, network: Network, stub: Stub, probe: ProbeServicer
    ) -> None:
        call = stub.Unary(HANG)
        await soon(probe.started.wait())
        await soon(network.close())
        await refused(call, Kind.UNAVAILABLE)
