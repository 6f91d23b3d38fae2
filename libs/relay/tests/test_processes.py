"""The relay between processes over a real network: killed, stopped, cut off, drained, and slow clients."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from hive_relay import Call, Caller, Request, frames
from hive_relay.caller import Patience
from hive_relay.principal import Principal
from hive_rpc.remote import RemoteNetwork
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks
from hive_testing.servers.ports import free_port
from hive_testing.servers.proxy import TcpProxy

PROGRAM = Path(__file__).with_name("process.py")
MIB = 1024 * 1024


class AwayBus:
    """A broker that is away: what is published goes directly."""

    async def publish(self, message: object) -> None:
        raise HiveError(Kind.UNAVAILABLE, "the bus is away")

    def beside(self, kind: object, fields: object) -> Callable[[object], bool]:
        return lambda stand_in: False


class SilentBus:
    """A broker that takes records which nobody will ever read."""

    async def publish(self, message: object) -> None:
        pass

    def beside(self, kind: object, fields: object) -> Callable[[object], bool]:
        return lambda stand_in: False


class Peer:
    """A process of the cluster, and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process, tasks: Tasks) -> None:
        self.heard: list[dict[str, Any]] = []
        self._process = process
        tasks.spawn(self._listen(), "what a process says")

    @property
    def pid(self) -> int:
        return self._process.pid

    def said(self, what: str) -> list[dict[str, Any]]:
        return [each for each in self.heard if each["what"] == what]

    async def address(self) -> str:
        await until(lambda: bool(self.said("ready")))
        return str(self.said("ready")[0]["address"])

    async def facts(self) -> dict[str, Any]:
        before = len(self.said("facts"))
        self.tell("facts")
        await until(lambda: len(self.said("facts")) > before)
        return self.said("facts")[-1]

    def tell(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(command.encode() + b"\n")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    @property
    def is_dead(self) -> bool:
        return self._process.returncode is not None

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.heard.append(json.loads(line))


class Cluster:
    """Processes of the service `work`, and a caller in this one."""

    def __init__(self, places: int) -> None:
        self.ports = [free_port() for _ in range(places)]
        self.work = [f"127.0.0.1:{port}" for port in self.ports]
        self.peers: list[Peer] = []
        self.lost: list[str] = []
        self.tasks = Tasks(self.note)
        self.network = RemoteNetwork(self.note, url="dns:///{service}", peers={"work": self.work})
        self.caller: Caller

    def note(self, name: str, error: BaseException) -> None:
        self.lost.append(f"{name}: {error!r}")

    async def call(self, what: str = "pid", *, bus: object = None, **changes: Any) -> Call:
        values: dict[str, Any] = {
            "request_id": f"req_{next(_numbers)}",
            "service": "work",
            "method": "POST",
            "path": f"/v1/{what}",
            "principal": Principal(tenant_id="t", key_id="k"),
            "seconds": 60.0,
        }
        return await self.caller.call(Request(**{**values, **changes}))

    async def whole(self, call: Call) -> bytes:
        assert (await call.head())[0] == 200
        return b"".join([part async for part in call.body()])

    async def start(self, place: int = 0, kind: str = "work", **settings: Any) -> Peer:
        """Start a process of `work` at one of the places."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, PROGRAM, kind, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        peer = Peer(process, self.tasks)
        self.peers.append(peer)
        port = self.ports[place] if kind == "work" else 0
        values = {"instance": f"work-{place}", "work": self.work, "port": port}
        peer.tell(json.dumps({**values, **settings}))
        await peer.address()
        return peer

    async def introduced(self) -> None:
        """Let every process of `work` have its stream to the caller."""
        pids: set[int] = set()
        async with asyncio.timeout(30):
            while len(pids) < len([peer for peer in self.peers if peer.said("ready")]):
                pids.add(int(await self.whole(await self.call())))


@asynccontextmanager
async def cluster_of(
    places: int, *, bus: object = None, advertise: str = "", port: int = 0, patience: Patience = Patience()
) -> AsyncIterator[Cluster]:
    cluster = Cluster(places)
    network = RemoteNetwork(
        cluster.note, url="dns:///{service}", peers={"work": cluster.work}, port=port, advertise=advertise
    )
    cluster.network = network
    server = network.server("edge", "edge-0")
    cluster.caller = Caller(
        server=server,
        bus=bus or AwayBus(),  # type: ignore[arg-type]
        network=network,
        clock=SystemClock(),
        tasks=cluster.tasks,
        patience=patience,
    )
    server.add(Caller.attach, cluster.caller)
    await server.start()
    try:
        yield cluster
    finally:
        for peer in cluster.peers:
            await peer.kill()
        await network.close()
        await cluster.tasks.close()
    assert not cluster.lost


_numbers = iter(range(10**9))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def went(calls: list[Call], peer: Peer) -> None:
    """Wait until all the calls have been let go on at this process."""
    ids = {call.request_id for call in calls}
    await until(lambda: ids <= {each["request"] for each in peer.said("go")})


async def failure(call: Call) -> HiveError:
    with pytest.raises(HiveError) as caught:
        async with asyncio.timeout(30):
            await call.head()
            while True:
                await call.read()
    return caught.value


async def test_a_killed_process_is_answered_for_by_another(tmp_path: Path) -> None:
    async with cluster_of(2) as cluster:
        killed = await cluster.start(0, hangs=True)
        calls = [await cluster.call() for _ in range(20)]
        await went(calls, killed)
        shown = await cluster.call("show")
        assert (await shown.head())[0] == 200
        other = await cluster.start(1)  # the caller has not heard of it yet
        await killed.kill()
        for call in calls:
            assert int(await cluster.whole(call)) == other.pid
            assert call.attempt > 1 and call.losses == 1
        error = await failure(shown)
        assert error.kind is Kind.UPSTREAM_FAILED and error.reason == "attempt_lost"


async def test_the_next_process_may_come_a_little_later() -> None:
    async with cluster_of(2) as cluster:
        killed = await cluster.start(0, hangs=True)
        call = await cluster.call()
        await went([call], killed)
        await killed.kill()
        other = await cluster.start(1)
        assert int(await cluster.whole(call)) == other.pid


async def test_nobody_comes(tmp_path: Path) -> None:
    async with cluster_of(1, patience=Patience(accepted=0.2, anyone=0.5)) as cluster:
        error = await failure(await cluster.call())
        assert error.kind is Kind.UNAVAILABLE


async def test_a_body_that_kills_takes_two_processes_and_no_more() -> None:
    async with cluster_of(3) as cluster:
        peers = [await cluster.start(place) for place in range(3)]
        await cluster.introduced()
        error = await failure(await cluster.call(body=b"poison"))
        assert error.kind is Kind.UPSTREAM_FAILED and error.should_retry is False
        await until(lambda: sum(peer.is_dead for peer in peers) == 2)
        with pytest.raises(HiveError) as caught:
            await cluster.call(body=b"poison")
        assert caught.value.kind is Kind.UPSTREAM_FAILED and caught.value.should_retry is False
        (survivor,) = [peer for peer in peers if not peer.is_dead]
        assert int(await cluster.whole(await cluster.call(body=b"wholesome"))) == survivor.pid
        assert len([each for peer in peers for each in peer.said("go")]) >= 2


async def test_a_process_that_stands_still_is_given_up_and_gets_nothing_back() -> None:
    async with cluster_of(2) as cluster:
        still = await cluster.start(0, hangs=True)
        call = await cluster.call()
        await went([call], still)
        other = await cluster.start(1)
        still.signal(signal.SIGSTOP)
        assert int(await cluster.whole(call)) == other.pid
        assert call.attempt > 1
        still.signal(signal.SIGCONT)
        await until(lambda: any(each["request"] == call.request_id for each in still.said("cancelled")))
        mine = [each["attempt"] for each in still.said("go") if each["request"] == call.request_id]
        assert mine == [1]


async def test_what_nobody_accepts_is_asked_directly() -> None:
    async with cluster_of(2, bus=SilentBus(), patience=Patience(accepted=0.1, anyone=20)) as cluster:
        still = await cluster.start(0)
        still.signal(signal.SIGSTOP)
        other = await cluster.start(1)
        call = await cluster.call()
        assert int(await cluster.whole(call)) == other.pid
        assert call.attempt > 1 and call.losses == 0


async def test_a_killed_edge_stops_what_runs_for_it() -> None:
    async with cluster_of(1) as cluster:
        worker = await cluster.start(0)
        edge = await cluster.start(kind="edge")
        await until(lambda: bool(worker.said("go")))
        await edge.kill()
        await until(lambda: bool(worker.said("cancelled")))


async def test_an_edge_behind_a_dead_network_stops_what_runs_for_it() -> None:
    port = free_port()
    with TcpProxy(f"127.0.0.1:{port}") as proxy:
        async with cluster_of(1, port=port, advertise=proxy.address) as cluster:
            worker = await cluster.start(0)
            call = await cluster.call("show")
            await call.head()
            proxy.stall()
            await until(lambda: bool(worker.said("cancelled")))
            error = await failure(call)
            assert error.kind is Kind.UPSTREAM_FAILED
            proxy.restore()
            assert int(await cluster.whole(await cluster.call())) == worker.pid


async def test_a_draining_process_gives_back_what_it_will_not_finish() -> None:
    async with cluster_of(2) as cluster:
        leaving = await cluster.start(0, hangs=True)
        calls = [await cluster.call() for _ in range(5)]
        await went(calls, leaving)
        other = await cluster.start(1)
        leaving.tell("drain 0.1")
        for call in calls:
            assert int(await cluster.whole(call)) == other.pid
            assert call.attempt > 1 and call.losses == 0
        await until(lambda: leaving.is_dead)


async def test_a_rolling_restart_loses_nothing() -> None:
    async with cluster_of(2) as cluster:
        peers = [await cluster.start(place) for place in range(2)]
        await cluster.introduced()
        answered = 0
        done = False

        async def go_on() -> None:
            nonlocal answered
            while not done:
                assert int(await cluster.whole(await cluster.call())) > 0
                answered += 1

        async with asyncio.TaskGroup() as callers:
            for _ in range(8):
                callers.create_task(go_on())
            for place, peer in enumerate(peers):
                peer.tell("drain 5")
                await until(lambda peer=peer: peer.is_dead)  # type: ignore[misc]
                again = await cluster.start(place)
                await until(lambda again=again: bool(again.said("go")))  # type: ignore[misc]
            done = True
        assert answered > 0


async def test_a_client_that_does_not_read_fills_nobodys_memory_and_stalls_nobody() -> None:
    size = 100 * MIB
    async with cluster_of(1) as cluster:
        worker = await cluster.start(0)
        assert await cluster.whole(await cluster.call())
        here = psutil.Process()
        before, before_there = here.memory_info().rss, (await worker.facts())["rss"]
        stalled = await cluster.call("much", body=str(size).encode())
        await stalled.head()
        calls = [await cluster.call() for _ in range(50)]
        assert {int(pid) for pid in await asyncio.gather(*map(cluster.whole, calls))} == {worker.pid}
        facts = await worker.facts()
        assert facts["sent"] <= frames.CREDIT_BYTES
        received = 0
        async for part in stalled.body():
            received += len(part)
        assert received == size + len(str(worker.pid))
        assert here.memory_info().rss - before < 24 * MIB
        assert (await worker.facts())["rss"] - before_there < 24 * MIB
