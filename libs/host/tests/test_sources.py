"""The owner of a state is heard over a real network, and found again after its death."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from hive_bus import Retry, StateChange
from hive_bus.memory import MemoryBus
from hive_bus.snapshots import SnapshotBus
from hive_bus.snapshots.snapshot import Patience
from hive_host.sources import OWNERS, rpc_source, sources
from hive_rpc.local import LocalNetwork
from hive_rpc.remote import RemoteNetwork
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from modelhive.control.v1.control_pb2 import ApiKey, ControlChanged
from modelhive.control.v1.state_pb2 import StateRecord, WatchRequest, WatchResponse
from modelhive.control.v1.state_pb2_grpc import StateServicer, add_StateServicer_to_server
from modelhive.events.v1.ledger_pb2 import PriceListed

QUICK = Patience(start=0.2, silence=5.0, owner=Retry(first_pause=0.01, longest_pause=0.1))


class Owner(StateServicer):
    """Tells its keys whole at every change."""

    def __init__(self) -> None:
        self.revision = 0
        self.records: dict[str, StateRecord] = {}

    def put(self, id: str) -> None:
        self.revision += 1
        message = ControlChanged(key=id, revision=self.revision, api_key=ApiKey(id=id)).SerializeToString()
        self.records[id] = StateRecord(key=id, revision=self.revision, message=message)

    def retire(self, id: str) -> None:
        self.revision += 1
        self.records[id] = StateRecord(key=id, revision=self.revision)

    async def Watch(self, request: WatchRequest, context: object) -> AsyncIterator[WatchResponse]:
        assert request.kind == ControlChanged.DESCRIPTOR.full_name
        while True:
            yield WatchResponse(records=self.records.values())
            yield WatchResponse(through=self.revision)
            await asyncio.sleep(0.01)


def remote(port: int = 0, **peers: list[str]) -> RemoteNetwork:
    return RemoteNetwork(lambda name, error: None, url="dns:///{service}:9090", peers=peers, port=port)


async def serve(network: RemoteNetwork, owner: Owner) -> str:
    server = network.server("console", "0")
    server.add(add_StateServicer_to_server, owner)
    await server.start()
    return server.address


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_an_owner_that_dies_is_found_again(tmp_path: Path) -> None:
    owner, alive = Owner(), remote()  # type: ignore[abstract]
    owner.put("a")
    owner.put("b")
    address = await serve(alive, owner)
    caller = remote(console=[address])
    clock, failures = SystemClock(), list[BaseException]()
    bus = SnapshotBus(
        MemoryBus(clock, lambda name, error: failures.append(error)),
        tmp_path,
        {ControlChanged: rpc_source(caller.channel("console"), ControlChanged)},
        clock,
        lambda name, error: failures.append(error),
        QUICK,
    )
    live: set[str] = set()

    async def take(change: StateChange[ControlChanged]) -> None:
        if change.message is None:
            live.discard(change.key)
        else:
            live.add(change.key)

    subscription = await bus.subscribe_state(ControlChanged, take)
    await asyncio.wait_for(subscription.caught_up(), 30)
    assert live == {"a", "b"}
    owner.retire("a")
    await until(lambda: live == {"b"})
    await alive.close()
    await until(lambda: failures)
    assert live == {"b"}
    owner.retire("b")
    owner.put("c")
    alive = remote(int(address.rpartition(":")[2]))
    await serve(alive, owner)
    await until(lambda: live == {"c"})
    assert {error.kind for error in failures if isinstance(error, HiveError)} == {Kind.UNAVAILABLE}
    await bus.close()
    await caller.close()
    await alive.close()


async def test_a_service_does_not_ask_itself() -> None:
    network = LocalNetwork(lambda name, error: None)
    assert sources(network, but="routing").keys() == {ControlChanged, PriceListed}
    assert sources(network, but="console").keys() == {PriceListed}
    assert sources(network, but="billing").keys() == {ControlChanged}
    assert set(OWNERS.values()) == {"console", "billing"}
    await network.close()


async def test_messages_are_ordered_by_what_their_owner_counts() -> None:
    network = LocalNetwork(lambda name, error: None)
    found = sources(network, but="edge")
    assert found[ControlChanged].revision(ControlChanged(revision=7)) == 7
    assert found[PriceListed].revision(PriceListed(version=8)) == 8
    assert (found[ControlChanged].reused, found[PriceListed].reused) == (False, True)
    await network.close()
