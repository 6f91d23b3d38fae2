"""The public door in front of a small service, its limits on a clock that a test moves."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hive_bus import Options
from hive_bus.memory import MemoryBus
from hive_edge.counters import MemoryLimiter
from hive_edge.gateway import Gateway
from hive_edge.keys import ApiKey, Keys, Tenant
from hive_edge.limits import Limiter, Limits
from hive_edge.request_log import RequestLog
from hive_relay import Caller, Responder, exchange_of
from hive_relay.asgi import Receive, Scope, Send
from hive_relay.summary import Summary
from hive_rpc.local import LocalNetwork
from hive_runtime.blobs import ObjectBlobs
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks
from hive_runtime.telemetry import Metrics, Requests
from hive_testing.asgi import Answered, Client
from modelhive.events.v1.usage_pb2 import RequestLogged
from modelhive.relay.v1.relay_pb2 import RequestEnvelope

KEY = "sk-hive-" + "k" * 43
DIGEST = hashlib.sha256(KEY.encode()).digest()
AUTHORIZED = {"authorization": f"Bearer {KEY}"}


class HeldClock(SystemClock):
    """Its monotonic time stands still until `advance`."""

    def __init__(self) -> None:
        self._time = 1_000_000.0

    def monotonic(self) -> float:
        return self._time

    def advance(self, seconds: float) -> None:
        self._time += seconds


class Service:
    """What stands behind the door: says what it got, or does what the query says.

    usage: what it states at the end of each answer, a refusal too.
    """

    usage: Summary | None = None

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.seen: list[dict[str, Any]] = []
        self.cancelled = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message["body"]), message["more_body"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        exchange = exchange_of(scope)
        models = None if exchange.principal.models is None else list(exchange.principal.models)
        self.seen.append({"path": scope["path"], "headers": headers, "size": size, "models": models})
        await exchange.go()
        exchange.usage = self.usage
        await getattr(self, "do_" + (scope["query_string"].decode() or "answer"))(send)

    async def do_answer(self, send: Send) -> None:
        await self._start(send, b"application/json")
        await send({"type": "http.response.body", "body": b"{}"})

    async def do_refuse(self, send: Send) -> None:
        raise HiveError(Kind.RATE_LIMITED, "slow down", retry_after=7, should_retry=False)

    async def do_block(self, send: Send) -> None:
        raise HiveError(Kind.BLOCKED, "a guard refused it")

    async def do_wait(self, send: Send) -> None:
        await self.released.wait()
        await self.do_answer(send)

    async def do_cut_stream(self, send: Send) -> None:
        await self._start(send, b"text/event-stream; charset=utf-8")
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        raise HiveError(Kind.UPSTREAM_FAILED, "the provider cut the stream")

    async def do_cut_json(self, send: Send) -> None:
        await self._start(send, b"application/json")
        await send({"type": "http.response.body", "body": b'{"half', "more_body": True})
        raise HiveError(Kind.UPSTREAM_FAILED, "the provider cut the answer")

    async def do_hang(self, send: Send) -> None:
        await self._start(send, b"text/event-stream")
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    async def _start(self, send: Send, kind: bytes) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})


class Door:
    digest = DIGEST

    def __init__(
        self,
        gateway: Gateway,
        service: Service,
        keys: Keys,
        limiter: Limiter,
        clock: HeldClock,
        folder: Path,
        logged: list[RequestLogged],
    ) -> None:
        self.gateway = gateway
        self.service = service
        self.keys = keys
        self.limiter = limiter
        self.clock = clock
        self.folder = folder
        self.logged = logged

    async def lines(self, count: int) -> list[RequestLogged]:
        """The lines of the request log, once there are so many."""
        async with asyncio.timeout(5):
            while len(self.logged) < count:
                await asyncio.sleep(0.001)
        return self.logged

    def limit(self, **limits: int) -> None:
        """Give the key these limits and no others."""
        self.keys.put_key(ApiKey("key_1", "t", DIGEST, None, None, Limits(**limits)))

    def client(self, method: str, path: str, **more: Any) -> Client:
        return Client(self.gateway, method, path, **{"headers": AUTHORIZED, **more})

    async def ask(self, method: str, path: str, **more: Any) -> Answered:
        async with asyncio.timeout(20):
            return await self.client(method, path, **more).send()


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with opened(tmp_path) as made:
        yield made


@pytest.fixture
def open_door() -> Any:
    """For a door whose limiter is the test's own."""
    return opened


@asynccontextmanager
async def opened(folder: Path, limiter: Limiter | None = None) -> AsyncIterator[Door]:
    lost: list[str] = []

    def note(name: str, error: BaseException) -> None:
        lost.append(f"{name}: {error!r}")

    clock, tasks, service = SystemClock(), Tasks(note), Service()
    network, bus = LocalNetwork(note), MemoryBus(clock, note)
    blobs = ObjectBlobs.in_folder(folder, clock)
    edge, routing = network.server("edge", "edge-0"), network.server("routing", "routing-0")
    caller = Caller(server=edge, bus=bus, network=network, clock=clock, tasks=tasks)
    responder = Responder(
        service,
        service="routing",
        instance="routing-0",
        server=routing,
        network=network,
        blobs=blobs,
        clock=clock,
        tasks=tasks,
    )
    edge.add(Caller.attach, caller)
    routing.add(Responder.attach, responder)
    await edge.start()
    await routing.start()
    await bus.subscribe_requests(
        RequestEnvelope, "routing", responder.begin, Options(fields={"service": "routing"})
    )
    held = HeldClock()
    keys, limiter = Keys(clock), MemoryLimiter(held) if limiter is None else limiter
    keys.put_tenant(Tenant("t", frozenset({"a", "b"}), disabled=False))
    keys.put_key(ApiKey("key_1", "t", DIGEST, frozenset({"b", "c"}), None))
    metrics = Metrics()
    lines = RequestLog(bus, clock, metrics.counter("dropped", "Lines."))
    tasks.spawn(lines.run(), "request log")
    logged: list[RequestLogged] = []

    async def note_line(line: RequestLogged) -> None:
        logged.append(line)

    await bus.subscribe_events(RequestLogged, "test", note_line)
    gateway = Gateway(
        keys=keys,
        limiter=limiter,
        caller=caller,
        blobs=blobs,
        max_body=1_000_000,
        requests=Requests(metrics, "edge"),
        clock=clock,
        log=lines,
    )
    try:
        yield Door(gateway, service, keys, limiter, held, folder, logged)
        assert caller.in_flight == 0
    finally:
        await tasks.close()
        await bus.close()
        await network.close()
    assert not lost
