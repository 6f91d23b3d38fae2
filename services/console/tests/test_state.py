"""What console tells those who ask it: over the real door, to a process whose bus is away."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hive_bus import Options, Retry, StateChange, Subscription
from hive_bus.memory import MemoryBus
from hive_bus.port import M
from hive_bus.snapshots import SnapshotBus
from hive_bus.snapshots.snapshot import Patience
from hive_console.feed import POLL_SECONDS, PORTION, SIGN_OF_LIFE_SECONDS
from hive_host.sources import rpc_source
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from modelhive.control.v1.control_pb2 import ControlChanged
from modelhive.control.v1.state_pb2 import SnapshotRequest, WatchRequest, WatchResponse
from modelhive.control.v1.state_pb2_grpc import StateStub

KIND = ControlChanged.DESCRIPTOR.full_name
QUICK = Patience(start=0.2, silence=20.0, owner=Retry(first_pause=0.005, longest_pause=0.02))


class NoBroker(MemoryBus):
    """Nothing is heard of it, ever."""

    async def subscribe_state(
        self,
        kind: type[M],
        handler: Callable[[StateChange[M]], Awaitable[None]],
        options: Options = Options(),
    ) -> Subscription:
        await asyncio.Event().wait()
        raise AssertionError


class Edge:
    """A process that lets callers in, as far as it knows the keys."""

    def __init__(self, bus: SnapshotBus) -> None:
        self.bus = bus
        self.now: dict[str, ControlChanged] = {}

    async def take(self, change: StateChange[ControlChanged]) -> None:
        if change.message is None:
            self.now.pop(change.key, None)
        else:
            self.now[change.key] = change.message

    def lets_in(self, secret: str) -> bool:
        sha256 = hashlib.sha256(secret.encode()).digest()
        return any(each.api_key.sha256 == sha256 for key, each in self.now.items() if key.startswith("key/"))

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)


@asynccontextmanager
async def edge_beside(desk: Any, folder: Path) -> AsyncIterator[Edge]:
    """An edge without a bus: it has what console answers, and its own disk."""
    source = rpc_source(desk.host.channel("console"), ControlChanged)
    clock = SystemClock()
    failures: list[BaseException] = []
    inner = NoBroker(clock, lambda name, error: failures.append(error))
    bus = SnapshotBus(
        inner, folder, {ControlChanged: source}, clock, lambda name, error: failures.append(error), QUICK
    )
    edge = Edge(bus)
    subscription = await bus.subscribe_state(ControlChanged, edge.take)
    await asyncio.wait_for(subscription.caught_up(), 20)
    yield edge
    await subscription.close()
    await bus.close()
    assert [error for error in failures if not isinstance(error, HiveError | TimeoutError)] == []


async def snapshot_of(desk: Any) -> dict[str, ControlChanged]:
    """All that console says is live; every portion but the last one has records."""
    found: dict[str, ControlChanged] = {}
    answers = [
        each async for each in StateStub(desk.host.channel("console")).Snapshot(SnapshotRequest(kind=KIND))
    ]
    assert [each.HasField("through") for each in answers] == [False] * (len(answers) - 1) + [True]
    for answer in answers:
        for record in answer.records:
            found[record.key] = ControlChanged.FromString(record.message)
            assert found[record.key].revision == record.revision <= answers[-1].through
    return found


async def test_what_console_answers_is_what_it_tells(desk: Any) -> None:
    await desk.ask("POST", "/tenants", {"id": "acme"})
    key = await desk.ask("POST", "/keys", {"tenant": "acme"})
    gone = await desk.ask("POST", "/keys", {"tenant": "acme"})
    await desk.ask("DELETE", f"/keys/{gone['id']}")
    await desk.ask("POST", "/providers", {"name": "p", "kind": "openai", "base_url": "http://p.test/v1"})
    await desk.ask("POST", "/models", {"id": "m", "deployments": [{"provider": "p", "model": "x"}]})
    await desk.ask("PUT", "/policies/acme", {"guards": []})
    assert await desk.host.bus.drain(5)
    assert await snapshot_of(desk) == desk.records.now
    assert {f"key/{key['id']}", "model/m", "provider/p", "guard/acme"} <= set(desk.records.now)
    await desk.ask("PATCH", "/providers/p", {"enabled": False})
    await desk.ask("DELETE", f"/keys/{key['id']}")
    await desk.ask("DELETE", "/tenants/acme")
    assert await desk.host.bus.drain(5)
    assert await snapshot_of(desk) == desk.records.now
    assert not {"model/m", "provider/p", "guard/acme"} & set(desk.records.now)


async def test_more_than_one_portion_is_told_whole(desk: Any) -> None:
    for number in range(PORTION + 5):
        await desk.ask("POST", "/tenants", {"id": f"t{number}"})
    assert await desk.host.bus.drain(5)
    assert await snapshot_of(desk) == desk.records.now


async def test_a_start_tells_everything_anew_to_those_who_watch_too(start: Any, tmp_path: Path) -> None:
    async with start() as desk:
        await desk.ask("POST", "/tenants", {"id": "acme"})
        async with edge_beside(desk, tmp_path / "edge") as edge:
            before = dict(edge.now)
    async with start() as desk, edge_beside(desk, tmp_path / "edge") as edge:
        await edge.until(lambda: edge.now.keys() == before.keys())
        assert all(edge.now[key].revision > before[key].revision for key in before)


async def test_a_revoked_key_is_refused_at_once_while_the_bus_is_away(desk: Any, tmp_path: Path) -> None:
    desk.host.bus.away = True
    async with edge_beside(desk, tmp_path / "edge") as edge:
        made = await desk.ask("POST", "/keys", {"tenant": "default"})
        # No time passes on console's clock: it does not poll for what it did itself.
        await edge.until(lambda: edge.lets_in(made["key"]))
        await desk.ask("DELETE", f"/keys/{made['id']}")
        await edge.until(lambda: not edge.lets_in(made["key"]))
    assert edge.bus.notes == {}


async def test_console_starts_while_the_bus_is_away(start: Any, clock: Any, tmp_path: Path) -> None:
    async with start(bus_away=True) as desk, edge_beside(desk, tmp_path / "edge") as edge:
        assert edge.lets_in("sk-hive-bootstrap-of-the-tests")
        assert desk.host.health.complaints() == {}
        await desk.until(lambda _: clock.advance(1) or desk.host.health.notes())
        desk.host.bus.away = False
        await desk.until(lambda records: clock.advance(10) or "default" in records.keys("tenant"))


async def test_a_change_by_another_console_on_the_same_tables_is_heard(
    start: Any, clock: Any, tmp_path: Path
) -> None:
    async with start() as one, start() as other, edge_beside(one, tmp_path / "edge") as edge:
        made = await other.ask("POST", "/keys", {"tenant": "default"})
        await edge.until(lambda: clock.advance(POLL_SECONDS) or edge.lets_in(made["key"]))
        await other.ask("DELETE", f"/keys/{made['id']}")
        await edge.until(lambda: clock.advance(POLL_SECONDS) or not edge.lets_in(made["key"]))
    assert POLL_SECONDS <= 0.5


async def test_an_edge_survives_console_and_hears_what_it_missed(start: Any, tmp_path: Path) -> None:
    async with start() as desk:
        kept = await desk.ask("POST", "/keys", {"tenant": "default"})
        gone = await desk.ask("POST", "/keys", {"tenant": "default"})
        async with edge_beside(desk, tmp_path / "edge") as edge:
            assert edge.lets_in(gone["key"])
        await desk.ask("DELETE", f"/keys/{gone['id']}")
    async with edge_beside(desk, tmp_path / "edge") as edge:  # of a console that has left
        assert edge.lets_in(kept["key"]) and edge.lets_in(gone["key"])
        assert next(iter(edge.bus.notes.values())).startswith("stale snapshot of ")
    async with start() as desk, edge_beside(desk, tmp_path / "edge") as edge:
        assert edge.lets_in(kept["key"]) and not edge.lets_in(gone["key"])
        assert edge.bus.notes == {}


async def test_silence_is_broken_by_signs_of_life(desk: Any, clock: Any) -> None:
    call = StateStub(desk.host.channel("console")).Watch(WatchRequest(kind=KIND))
    answers: list[WatchResponse] = []

    async def read() -> None:
        async for answer in call:
            answers.append(answer)

    reading = asyncio.ensure_future(read())
    await desk.until(lambda _: answers and answers[-1].HasField("through"))
    whole = len(answers)
    await desk.until(lambda _: clock.advance(SIGN_OF_LIFE_SECONDS) or len(answers) >= whole + 2)
    assert all(not each.records and each.through == answers[-1].through for each in answers[whole:])
    call.cancel()
    await asyncio.wait({reading})


async def test_watchers_are_told_when_the_tables_cannot_be_read(desk: Any, clock: Any) -> None:
    call = StateStub(desk.host.channel("console")).Watch(WatchRequest(kind=KIND))
    while not (await call.read()).HasField("through"):
        pass
    with sqlite3.connect(desk.host.data_dir / "console.db") as database:
        database.execute("DROP TABLE meta")
    reading = asyncio.ensure_future(call.read())
    with pytest.raises(HiveError) as refused:
        async with asyncio.timeout(20):
            while not reading.done():
                clock.advance(POLL_SECONDS)
                await asyncio.sleep(0.005)
            await reading
    assert refused.value.kind is Kind.UNAVAILABLE


@pytest.mark.parametrize("method", ["Snapshot", "Watch"])
async def test_kinds_of_others_are_not_consoles(desk: Any, method: str) -> None:
    stub, request = StateStub(desk.host.channel("console")), {"kind": "modelhive.events.v1.PriceListed"}
    call = (
        stub.Watch(WatchRequest(**request))
        if method == "Watch"
        else stub.Snapshot(SnapshotRequest(**request))
    )
    with pytest.raises(HiveError, match="Console does not own") as refused:
        await call.read()
    assert refused.value.kind is Kind.NOT_FOUND
