"""The network adapter keeps the port's contract: each server is in a process of its own, as far as gRPC can tell."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from hive_rpc.conformance import RpcConformance
from hive_rpc.port import Network
from hive_rpc.remote import RemoteNetwork
from hive_rpc.remote.channel import RemoteChannel
from hive_rpc.remote.server import RemoteServer
from hive_testing.servers.ports import free_port


class Cluster:
    """A `Network` whose servers each have a `RemoteNetwork`; channels are those of one more.

    The service `probe` has so many places, that its servers take in the order in which they are made.
    """

    def __init__(self, places: int = 3, **options: Any) -> None:
        ports = [free_port() for _ in range(places + 1)]
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
