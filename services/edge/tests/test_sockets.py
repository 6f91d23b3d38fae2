"""The door of realtime sessions in front of a routing that a test plays, in this process and over a network."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from hive_bus.memory import MemoryBus
from hive_edge.counters import MemoryLimiter
from hive_edge.keys import ApiKey, Keys, Tenant
from hive_edge.limits import Limits
from hive_edge.request_log import RequestLog
from hive_edge.sockets import Sockets
from hive_rpc import Network, Server
from hive_rpc.local import LocalNetwork
from hive_rpc.remote import RemoteNetwork
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.realtime import PIECE_BYTES
from hive_runtime.tasks import Tasks
from hive_runtime.telemetry import Metrics, Requests
from modelhive.common.v1.common_pb2 import UsageSummary
from modelhive.routing.v1 import realtime_pb2 as pb
from modelhive.routing.v1.realtime_pb2_grpc import RealtimeServicer, add_RealtimeServicer_to_server

KEY = "sk-hive-" + "k" * 43
SECONDS = 20.0


class Routing(RealtimeServicer):
    """Says back what it hears; does what the query says. opened: what it was asked to open."""

    def __init__(self) -> None:
        self.opened: list[pb.Open] = []
        self.closed: asyncio.Queue[pb.Close] = asyncio.Queue()
        self.written = 0

    async def Redeem(self, request: pb.RedeemRequest, context: Any) -> pb.RedeemResponse:
        if request.secret != "ek_good":
            raise HiveError(Kind.UNAUTHENTICATED, "none of ours")
        return pb.RedeemResponse(tenant_id="default", key_id="key_1")

    async def Converse(  # type: ignore[override]
        self, request_iterator: Any, context: Any
    ) -> None:
        opening = (await anext(aiter(request_iterator))).open
        self.opened.append(opening)
        if opening.query == "poor":
            raise HiveError(Kind.BUDGET_EXCEEDED, "Insufficient budget.")
        if opening.query == "flaky" and len(self.opened) < 3:
            raise HiveError(Kind.UNAVAILABLE, "away")
        await context.write(pb.ConverseResponse(opened=pb.Opened()))
        if opening.query == "flood":
            while True:
                piece = pb.Piece(data=bytes(PIECE_BYTES), is_text=True, is_last=True)
                await context.write(pb.ConverseResponse(piece=piece))
                self.written += 1
        code = 1000
        async for request in request_iterator:
            if request.WhichOneof("frame") == "close":
                await self.closed.put(request.close)
                code = request.close.code
                break
            await context.write(pb.ConverseResponse(piece=request.piece))
        usage = UsageSummary(model="voice", prompt_tokens=30, completion_tokens=12)
        close = pb.Close(code=code, reason="bye", usage=usage)
        await context.write(pb.ConverseResponse(close=close))


class Client:
    """ASGI's other side of one WebSocket: what the client says, and what it is sent."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.takes = asyncio.Event()
        self.takes.set()
        self.task: asyncio.Task[None]
        self.said.put_nowait({"type": "websocket.connect"})

    async def send(self, message: Any) -> None:
        await self.takes.wait()
        self.sent.put_nowait(dict(message))

    def say(self, text: str) -> None:
        self.said.put_nowait({"type": "websocket.receive", "text": text})

    def leave(self, code: int = 1000) -> None:
        self.said.put_nowait({"type": "websocket.disconnect", "code": code, "reason": ""})

    async def hears(self, type: str) -> dict[str, Any]:
        message = await asyncio.wait_for(self.sent.get(), SECONDS)
        assert message["type"] == type, message
        return message


class House:
    """The edge's door, and routing behind it. lines: what the request log got."""

    def __init__(self, network: Network, server: Server) -> None:
        """network: that the edge calls by. server: of routing, not started yet."""
        clock = SystemClock()
        self.failures: list[BaseException] = []
        self.routing, self.server = Routing(), server
        self.tasks = Tasks(lambda name, error: self.failures.append(error))
        self.keys = Keys(clock)
        self.keys.put_tenant(Tenant("default", None, False))
        self.limiter = MemoryLimiter(clock)
        self.put_key(Limits())
        metrics = Metrics()
        self.lines: list[Any] = []
        log = RequestLog(MemoryBus(clock, self._fail), clock, metrics.counter("dropped", "Dropped."))
        log.add = self.lines.append  # type: ignore[method-assign, assignment]
        self.sockets = Sockets(
            keys=self.keys,
            limiter=self.limiter,
            channel=network.channel("routing"),
            tasks=self.tasks,
            requests=Requests(metrics, "edge"),
            clock=clock,
            log=log,
        )
        self.server.add(add_RealtimeServicer_to_server, self.routing)

    def _fail(self, name: str, error: BaseException) -> None:
        self.failures.append(error)

    def put_key(self, limits: Limits) -> None:
        digest = hashlib.sha256(KEY.encode()).digest()
        self.keys.put_key(ApiKey("key_1", "default", digest, None, None, limits))

    def connect(self, query: str = "model=voice", key: str = KEY, offers: list[str] | None = None) -> Client:
        client = Client()
        scope = {
            "type": "websocket",
            "path": "/v1/realtime",
            "query_string": query.encode(),
            "headers": [(b"authorization", f"Bearer {key}".encode())] if key else [],
            "subprotocols": offers or [],
        }
        client.task = self.tasks.spawn(self.sockets(scope, client.said.get, client.send), "client")
        return client


@pytest.fixture(params=["local", "remote"])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    failures: list[BaseException] = []

    def note(name: str, error: BaseException) -> None:
        failures.append(error)

    networks: list[Network] = [LocalNetwork(note)]
    if request.param == "remote":
        port = free_port()
        networks = [
            RemoteNetwork(note, url="dns:///{service}:1", peers={"routing": [f"127.0.0.1:{port}"]}),
            RemoteNetwork(note, url="dns:///{service}:1", port=port),
        ]
    house = House(networks[0], networks[-1].server("routing", "routing-0"))
    await house.server.start()
    yield house
    await house.tasks.close()
    for network in networks:
        await network.close()
    assert failures == [] and house.failures == []


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


async def test_what_is_said_goes_there_and_back(house: House) -> None:
    client = house.connect()
    await client.hears("websocket.accept")
    for text in ("hello", "", "ü" * PIECE_BYTES, "x" * 3 * PIECE_BYTES):
        client.say(text)
        assert (await client.hears("websocket.send"))["text"] == text
    client.said.put_nowait({"type": "websocket.receive", "bytes": b"\x00\xff"})
    assert (await client.hears("websocket.send"))["bytes"] == b"\x00\xff"
    client.leave(4001)
    await client.hears("websocket.close")
    await client.task
    assert (await house.routing.closed.get()).code == 4001
    (line,) = house.lines
    assert (line.status, line.model, line.key_id) == (101, "voice", "key_1")
    (opening,) = house.routing.opened
    assert (opening.principal.key_id, opening.query, opening.secret) == ("key_1", "model=voice", "")


@pytest.mark.parametrize(
    ("key", "query", "status", "kind"),
    [
        ("", "", 401, "authentication_error"),
        ("sk-nobody", "", 401, "authentication_error"),
        ("ek_bad", "", 401, "authentication_error"),
        ("ek_" + "x" * 20_000, "", 401, "authentication_error"),
        (KEY, "poor", 402, "budget_exceeded"),
    ],
)
async def test_who_is_not_let_in(house: House, key: str, query: str, status: int, kind: str) -> None:
    client = house.connect(query, key)
    assert (await client.hears("websocket.http.response.start"))["status"] == status
    body = (await client.hears("websocket.http.response.body"))["body"]
    assert msgspec.json.decode(body)["error"]["type"] == kind
    await client.task
    assert house.lines[0].status == status


@pytest.mark.parametrize(("key", "secret"), [(KEY, ""), ("ek_good", "ek_good")])
async def test_a_browser_s_key(house: House, key: str, secret: str) -> None:
    client = house.connect(key="", offers=["realtime", f"openai-insecure-api-key.{key}"])
    assert (await client.hears("websocket.accept"))["subprotocol"] == "realtime"
    assert house.routing.opened[0].secret == secret


async def test_a_secret_of_a_key_that_was_revoked(house: House) -> None:
    house.keys.drop_key("key_1")
    client = house.connect(key="ek_good")
    assert (await client.hears("websocket.http.response.start"))["status"] == 401


async def test_a_process_that_is_lost_at_once_costs_another_try(house: House) -> None:
    client = house.connect("flaky")
    await client.hears("websocket.accept")
    assert len(house.routing.opened) == 3


async def test_a_session_takes_a_place_until_it_ends(house: House) -> None:
    house.put_key(Limits(concurrency=1))
    first = house.connect()
    await first.hears("websocket.accept")
    assert (await house.connect().hears("websocket.http.response.start"))["status"] == 429
    first.leave()
    await first.hears("websocket.close")
    await house.connect().hears("websocket.accept")


async def test_a_key_that_is_revoked_ends_its_session(house: House) -> None:
    client = house.connect()
    await client.hears("websocket.accept")
    house.keys.drop_key("key_1")
    client.say("more")
    event = msgspec.json.decode((await client.hears("websocket.send"))["text"])
    assert (event["type"], event["error"]["type"]) == ("error", "authentication_error")
    assert (await client.hears("websocket.close"))["code"] == 1008


async def test_a_routing_that_is_lost_is_told_by_an_event_and_a_close(house: House) -> None:
    client = house.connect()
    await client.hears("websocket.accept")
    client.say("hello")
    await client.hears("websocket.send")
    await house.server.stop(0)
    event = msgspec.json.decode((await client.hears("websocket.send"))["text"])
    assert (event["type"], event["error"]["type"]) == ("error", "upstream_error")
    assert (await client.hears("websocket.close"))["code"] == 1012
    await client.task
    assert house.lines[0].error == "upstream_failed"


async def test_a_client_that_takes_nothing_makes_the_provider_s_side_wait(house: House) -> None:
    client = house.connect("flood")
    await client.hears("websocket.accept")
    client.takes.clear()
    written = -1
    while written != house.routing.written:  # until nothing more goes
        written = house.routing.written
        await asyncio.sleep(0.2)
    assert written < 400, "25 MiB lie between the two"
    client.takes.set()
    while house.routing.written < written + 100:
        await client.hears("websocket.send")
