"""A caller and instances of a service `work` in one process, on the memory bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hive_bus import Options
from hive_bus.memory import MemoryBus
from hive_relay import Caller, Request, Responder, exchange_of
from hive_relay.asgi import App, Receive, Scope, Send
from hive_relay.caller import Patience
from hive_relay.principal import Principal
from hive_relay.summary import Summary
from hive_rpc import Network, Server
from hive_rpc.local import LocalNetwork
from hive_runtime.blobs import ObjectBlobs
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks
from modelhive.relay.v1.relay_pb2 import ExecuteRequest, RequestEnvelope


class Instance:
    """One process of the service `work`: it can be frozen (takes nothing) and killed (its server is gone)."""

    def __init__(self, rig: Rig, name: str, app: App) -> None:
        self.name = name
        self.tasks = Tasks(lambda name, error: None)
        self.server: Server = rig.network.server("work", name)
        self.responder = Responder(
            app,
            service="work",
            instance=name,
            server=self.server,
            network=rig.network,
            blobs=rig.blobs,
            clock=rig.clock,
            tasks=self.tasks,
            beside=rig.beside,
        )
        self.server.add(Responder.attach, self.responder)

    async def start(self, bus: MemoryBus) -> None:
        await self.server.start()
        options = Options(fields={"service": "work"}, takes_stand_ins=WAY["beside"])
        await bus.subscribe_requests(RequestEnvelope, "work", self.responder.begin, options)

    async def kill(self) -> None:
        """Everything this process did stops at once, as far as others can see."""
        await self.tasks.close()
        await self.server.stop(0)
        for asker in self.responder._askers.values():
            asker.replies.close()


@dataclass
class Rig:
    network: Network
    bus: MemoryBus
    blobs: ObjectBlobs
    clock: SystemClock
    caller: Caller
    tasks: Tasks
    server: Server
    beside: dict[str, Caller]
    instances: list[Instance] = field(default_factory=list)

    async def instance(self, app: App, *, queue: bool = True) -> Instance:
        made = Instance(self, f"work-{len(self.instances)}", app)
        self.instances.append(made)
        if queue:
            await made.start(self.bus)
        else:
            await made.server.start()
        return made

    async def swallow(self) -> None:
        """Let a process take requests from the queue that never says a word about them."""

        async def take(envelope: RequestEnvelope) -> None:
            pass

        await self.bus.subscribe_requests(RequestEnvelope, "work", take, Options(fields={"service": "work"}))

    async def introduce(self, instance: Instance) -> None:
        """Make an instance known to the caller, by an envelope for which nobody waits."""
        deadline = int((self.clock.now() + 20) * 1000)
        stranger = RequestEnvelope(
            request_id="req_stranger", attempt=1, reply_to=self.server.address, deadline_unix_ms=deadline
        )
        await instance.responder.take(stranger)
        await until(lambda: instance.responder.in_flight == 0)


WAY = {"beside": False}
"""Whether instances reach the caller as neighbours, without rpc; set by the fixture `way`."""


@asynccontextmanager
async def rig_of(folder: Path, patience: Patience = Patience(), few: float = 160.0) -> AsyncIterator[Rig]:
    clock = SystemClock()
    lost: list[str] = []

    def note(name: str, error: BaseException) -> None:
        lost.append(f"{name}: {error!r}")

    tasks = Tasks(note)
    network = LocalNetwork(note)
    bus = MemoryBus(clock, note)
    server = network.server("edge", "edge-0")
    caller = Caller(
        server=server, bus=bus, network=network, clock=clock, tasks=tasks, patience=patience, few=few
    )
    server.add(Caller.attach, caller)
    await server.start()
    beside = {server.address: caller} if WAY["beside"] else {}
    rig = Rig(network, bus, ObjectBlobs.in_folder(folder, clock), clock, caller, tasks, server, beside)
    try:
        yield rig
    finally:
        for instance in rig.instances:
            await instance.kill()
        await bus.close()
        await network.close()
        await tasks.close()
    assert not lost


_numbers = iter(range(10**9))


def request(**changes: object) -> Request:
    values: dict[str, object] = {
        "request_id": f"req_{next(_numbers)}",
        "service": "work",
        "method": "POST",
        "path": "/v1/thing",
        "principal": Principal(tenant_id="t", key_id="k"),
        "seconds": 20.0,
    }
    return Request(**{**values, **changes})  # type: ignore[arg-type]


async def whole(rig: Rig, asked: Request) -> tuple[int, bytes]:
    call = await rig.caller.call(asked)
    status, _ = await call.head()
    return status, b"".join([part async for part in call.body()])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def until_refused(rig: Rig, instance: Instance) -> None:
    """Wait until the instance takes nothing more; what it is asked meanwhile is past its deadline."""
    late = ExecuteRequest(envelope=RequestEnvelope(reply_to=rig.server.address))
    async with asyncio.timeout(10):
        while True:
            try:
                await instance.responder.Execute(late, None)
            except HiveError as error:
                assert error.kind is Kind.UNAVAILABLE
                return
            await asyncio.sleep(0.005)


async def read_all(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message["body"])
        if not message["more_body"]:
            return body


def answers(
    *parts: bytes, status: int = 200, before: Callable[[Scope], Awaitable[None]] | None = None
) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if before is not None:
            await before(scope)
        await exchange_of(scope).go()
        await send({"type": "http.response.start", "status": status, "headers": [(b"x-a", b"b")]})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await read_all(receive)
    await exchange_of(scope).go()
    exchange_of(scope).usage = Summary(prompt_tokens=3)
    text = f"{scope['method']} {scope['path']} {scope['query_string'].decode()} {len(body)}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text})
