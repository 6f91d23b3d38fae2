"""Requests that one instance alone can answer: they reach it, known or not, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hive_relay import Caller, Request, Responder, exchange_of
from hive_relay.asgi import Receive, Scope, Send
from hive_relay.principal import Principal
from hive_relay.stream_id import tag_of
from hive_rpc import Network
from hive_rpc.local import LocalNetwork
from hive_rpc.remote import RemoteNetwork
from hive_runtime.blobs import ObjectBlobs
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks
from hive_testing.servers.ports import free_port

COUNT = 5


class NoBus:
    """Nothing that has an owner travels through a bus."""

    async def publish(self, message: object) -> None:
        raise AssertionError("published")


class QuickClock(SystemClock):
    """Pauses are short: what is waited for comes at once or never."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.05))


class Worker:
    """A process of the service `work`: says its name, or hangs where the path says so."""

    def __init__(self, name: str, network: Network, folder: Path, note: Callable[..., None]) -> None:
        self.name = name
        self.network = network
        self.tasks = Tasks(note)
        self.server = network.server("work", name)
        self.begun = asyncio.Event()
        clock = SystemClock()
        self.responder = Responder(
            self._answer,
            service="work",
            instance=name,
            server=self.server,
            network=network,
            blobs=ObjectBlobs.in_folder(folder, clock),
            clock=clock,
            tasks=self.tasks,
        )
        self.server.add(Responder.attach, self.responder)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await exchange_of(scope).go()
        self.begun.set()
        if scope["path"].endswith("hang"):
            await asyncio.Event().wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.name.encode()})

    async def kill(self) -> None:
        await self.tasks.close()
        await self.server.stop(0)


class Rig:
    def __init__(self, caller: Caller, workers: list[Worker]) -> None:
        self.caller = caller
        self.workers = workers
        self._number = 0

    async def ask(self, owner: str, path: str = "/v1/thing") -> Any:
        self._number += 1
        request = Request(
            request_id=f"req_{self._number}",
            service="work",
            method="POST",
            path=path,
            principal=Principal(tenant_id="t", key_id="k"),
            seconds=20,
            owner=owner and tag_of(owner),
        )
        return await self.caller.call(request)

    async def hear(self, owner: str) -> str:
        call = await self.ask(owner)
        await call.head()
        return b"".join([part async for part in call.body()]).decode()


@asynccontextmanager
async def rig_of(folder: Path, remote: bool) -> AsyncIterator[Rig]:
    lost: list[str] = []

    def note(name: str, error: BaseException) -> None:
        lost.append(f"{name}: {error!r}")

    count = COUNT if remote else 1
    ports = [free_port() for _ in range(count)]
    peers = {"work": [f"127.0.0.1:{port}" for port in ports]}
    local = LocalNetwork(note)

    def network(port: int) -> Network:
        return RemoteNetwork(note, url="dns:///{service}", peers=peers, port=port) if remote else local

    workers = [Worker(f"work-{number}", network(port), folder, note) for number, port in enumerate(ports)]
    for worker in workers:
        await worker.server.start()
    tasks, edge = Tasks(note), network(0)
    server = edge.server("edge", "edge-0")
    caller = Caller(server=server, bus=NoBus(), network=edge, clock=QuickClock(), tasks=tasks)  # type: ignore[arg-type]
    server.add(Caller.attach, caller)
    await server.start()
    try:
        yield Rig(caller, workers)
    finally:
        for worker in workers:
            await worker.kill()
            await worker.network.close()
        await edge.close()
        await tasks.close()
    assert not lost


async def test_an_owner_is_found_though_nobody_is_known(tmp_path: Path) -> None:
    async with rig_of(tmp_path, remote=True) as rig:
        for number in (3, 0, 4, 3):
            assert await rig.hear(f"work-{number}") == f"work-{number}"
        assert rig.caller.in_flight == 0


@pytest.mark.parametrize("remote", [True, False])
async def test_an_owner_that_is_nobody(tmp_path: Path, remote: bool) -> None:
    async with rig_of(tmp_path, remote) as rig:
        with pytest.raises(HiveError) as lost:
            await rig.ask("work-99")
        assert (lost.value.status, lost.value.reason, lost.value.should_retry) == (502, "stream_lost", False)
        assert not any(worker.begun.is_set() for worker in rig.workers) and rig.caller.in_flight == 0


async def test_an_owner_that_dies_is_answered_for_by_nobody(tmp_path: Path) -> None:
    async with rig_of(tmp_path, remote=True) as rig:
        assert await rig.hear("work-2") == "work-2"
        owner = rig.workers[2]
        owner.begun.clear()
        call = await rig.ask("work-2", "/v1/hang")
        await owner.begun.wait()
        await owner.kill()
        with pytest.raises(HiveError) as lost:
            await call.head()
        assert lost.value.reason == "stream_lost"
        with pytest.raises(HiveError) as gone:
            await rig.ask("work-2")
        assert gone.value.reason == "stream_lost"
        assert not any(worker.begun.is_set() for worker in rig.workers if worker is not owner)


async def test_an_owner_that_goes_down_is_answered_for_by_nobody(tmp_path: Path) -> None:
    async with rig_of(tmp_path, remote=True) as rig:
        assert await rig.hear("work-1") == "work-1"
        await rig.workers[1].responder.drain(1)
        with pytest.raises(HiveError) as gone:
            await (await rig.ask("work-1")).head()
        assert gone.value.kind is Kind.UPSTREAM_FAILED
