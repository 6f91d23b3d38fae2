"""The network adapter keeps the port's contract between processes, and survives what networks do."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

import pytest

from hive_rpc.conformance import RpcConformance
from hive_rpc.port import Network
from hive_rpc.remote import RemoteNetwork
from hive_rpc.remote.channel import RemoteChannel
from hive_rpc.remote.server import RemoteServer


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody uses."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Cluster:
    """A `Network` whose servers each have a `RemoteNetwork`; channels are those of one more.

    The service `probe` has so many places, that its servers take in the order in which they are made.
    """

    def __init__(self, places: int = 3, **options: Any) -> None:
        ports = free_ports(places + 1)
        self._nobody = ports.pop()
        self._free = list(ports)
        self._peers = {
            "probe": [f"127.0.0.1:{port}" for port in ports],
            "nobody": [f"127.0.0.1:{self._nobody}"],
        }
        self._options = options
        self.failures: list[tuple[str, BaseException]] = []
        self.caller = self._network(0)
        self._networks: list[RemoteNetwork] = []

    def server(self, service: str, instance: str) -> RemoteServer:
        assert service == "probe"
        network = self._network(self._free.pop(0))
        self._networks.append(network)
        return network.server(service, instance)

    def channel(self, target: str) -> RemoteChannel:
        return self.caller.channel(target)

    def reaches_others(self, service: str) -> bool:
        return self.caller.reaches_others(service)

    async def close(self) -> None:
        for network in self._networks:
            await network.close()
        await self.caller.close()

    def _network(self, port: int) -> RemoteNetwork:
        return RemoteNetwork(
            self._note, url="dns:///{service}:9090", peers=self._peers, port=port, **self._options
        )

    def _note(self, name: str, error: BaseException) -> None:
        self.failures.append((name, error))


class TestRemoteNetwork(RpcConformance):
    @pytest.fixture
    async def network(self) -> AsyncIterator[Network]:
        cluster = Cluster()
        yield cluster
        await cluster.close()
