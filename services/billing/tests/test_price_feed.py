"""What billing tells of prices to those who ask it: over the real door, to a process whose bus is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from hive_billing.price_feed import KIND, PORTION, StateDoor
from hive_billing.price_list import PriceList
from hive_billing.price_store import metadata
from hive_bus import Options, Retry, StateChange, Subscription
from hive_bus.memory import MemoryBus
from hive_bus.port import M
from hive_bus.snapshots import SnapshotBus
from hive_bus.snapshots.snapshot import Patience
from hive_host.sources import rpc_source
from hive_rpc.local import LocalNetwork
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.money import Tariff
from hive_sql import Database
from modelhive.control.v1 import control_pb2 as control
from modelhive.control.v1.control_pb2 import ControlChanged
from modelhive.control.v1.state_pb2 import SnapshotRequest, WatchRequest
from modelhive.control.v1.state_pb2_grpc import StateStub
from modelhive.events.v1.ledger_pb2 import PriceListed

QUICK = Patience(start=0.2, owner=Retry(first_pause=0.005, longest_pause=0.02))


class NoBroker(MemoryBus):
    """Takes nothing and tells nothing."""

    async def publish(self, message: Message) -> None:
        raise HiveError(Kind.UNAVAILABLE, "the broker is away")

    async def subscribe_state(
        self,
        kind: type[M],
        handler: Callable[[StateChange[M]], Awaitable[None]],
        options: Options = Options(),
    ) -> Subscription:
        await asyncio.Event().wait()
        raise AssertionError


class Nothing:
    """No vendor lists anything."""

    def find(self, kind: str, base_url: str, model: str) -> Tariff | None:
        return None


class Desk:
    """A price list that finds no bus, its door, and a process that lives from what the door tells."""

    def __init__(self, prices: PriceList, network: LocalNetwork, folder: Path) -> None:
        self.prices = prices
        self.keeps_the_books = True
        self.door = StateDoor(lambda: prices if self.keeps_the_books else None, SystemClock())
        self.stub: Any = StateStub(network.channel("billing"))
        self.now: dict[str, PriceListed] = {}
        clock = SystemClock()
        source = rpc_source(network.channel("billing"), PriceListed)
        self.bus = SnapshotBus(
            NoBroker(clock, lambda name, error: None),
            folder,
            {PriceListed: source},
            clock,
            lambda name, error: None,
            QUICK,
        )

    async def hear(self, change: StateChange[PriceListed]) -> None:
        if change.message is None:
            self.now.pop(change.key)
        else:
            self.now[change.key] = change.message

    async def model(self, id: str, price: str | None) -> None:
        """Offer the model at this price per token; None: no more."""
        key, message = f"model/{id}", None
        if price is not None:
            told = control.Price(units={"prompt": price}, per=1)
            parts = [control.Deployment(provider_id="p", model="m")]
            message = ControlChanged(key=key, model=control.Model(id=id, deployments=parts, price=told))
        await self.prices.apply(StateChange(key, message))

    async def settle(self) -> None:
        with pytest.raises(HiveError, match="the broker is away"):
            await self.prices.settle()

    async def listed(self) -> dict[str, PriceListed]:
        return {each.subject: each for each in await self.prices.list()}

    async def until_told(self) -> None:
        async with asyncio.timeout(20):
            while self.now != await self.listed():
                await asyncio.sleep(0.005)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/billing.db")
    async with database.transaction() as connection:
        await connection.run_sync(metadata.create_all)
    network = LocalNetwork(lambda name, error: None)
    bus = NoBroker(SystemClock(), lambda name, error: None)
    desk = Desk(PriceList(database, bus, SystemClock(), listing=Nothing()), network, tmp_path / "state")
    provider = control.Provider(id="p", kind="openai", base_url="http://p.test")
    await desk.prices.apply(StateChange("provider/p", ControlChanged(key="provider/p", provider=provider)))
    server = network.server("billing", "0")
    server.add(StateDoor.attach, desk.door)
    await server.start()
    yield desk
    await desk.bus.close()
    await network.close()
    await database.close()


async def test_prices_are_heard_while_the_bus_is_away(desk: Desk) -> None:
    await desk.model("one", "0.5")
    await desk.model("two", "0.5")
    await desk.settle()
    subscription = await desk.bus.subscribe_state(PriceListed, desk.hear)
    await asyncio.wait_for(subscription.caught_up(), 20)
    before = await desk.listed()
    assert desk.now == before and {"model/one", "model/two"} <= before.keys()
    await desk.model("one", "0.25")
    await desk.model("two", None)
    await desk.settle()
    await desk.until_told()
    assert desk.now["model/one"].version > before["model/one"].version
    assert "model/two" not in desk.now
    await desk.model("two", "0.5")
    await desk.settle()
    await desk.until_told()
    assert desk.now["model/two"] == before["model/two"]  # at its old price it has its old version


async def test_the_snapshot_is_the_list(desk: Desk) -> None:
    for number in range(PORTION + 1):
        await desk.model(f"m{number}", "0.5")
    await desk.settle()
    answers = [each async for each in desk.stub.Snapshot(SnapshotRequest(kind=KIND))]
    found = [PriceListed.FromString(record.message) for each in answers for record in each.records]
    assert {each.subject: each for each in found} == await desk.listed()
    assert [each.HasField("through") for each in answers] == [False] * (len(answers) - 1) + [True]


async def test_who_does_not_keep_the_books_says_nothing(desk: Desk) -> None:
    await desk.model("one", "0.5")
    with pytest.raises(HiveError, match="not read yet"):
        await desk.stub.Watch(WatchRequest(kind=KIND)).read()
    await desk.settle()
    call = desk.stub.Watch(WatchRequest(kind=KIND))
    await call.read()
    desk.keeps_the_books = False
    with pytest.raises(HiveError, match="stands by") as refused:
        while True:
            await call.read()
    assert refused.value.kind is Kind.UNAVAILABLE
    with pytest.raises(HiveError, match="stands by"):
        await desk.stub.Watch(WatchRequest(kind=KIND)).read()


async def test_kinds_of_others_are_not_billings(desk: Desk) -> None:
    with pytest.raises(HiveError, match="Billing does not own") as refused:
        await desk.stub.Watch(WatchRequest(kind="modelhive.control.v1.ControlChanged")).read()
    assert refused.value.kind is Kind.NOT_FOUND
