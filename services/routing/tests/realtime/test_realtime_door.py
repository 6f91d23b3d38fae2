"""The rpc door of sessions, in this process and over a network: pieces, ends, and processes that go down."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc.aio
import msgspec
import pytest

from hive_routing.attempts import Outcome
from hive_routing.catalogue import Deployment, Model
from hive_routing.prices import PriceTag
from hive_routing.providers.port import Timeouts
from hive_routing.realtime.client_secrets import ClientSecrets, Grant
from hive_routing.realtime.opening import Opener
from hive_routing.realtime.port import Closed, Message, SessionCall
from hive_routing.realtime_door import RealtimeDoor
from hive_rpc import Network
from hive_rpc.local import LocalNetwork
from hive_rpc.remote import RemoteNetwork
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.money import Tariff
from hive_runtime.realtime import PIECE_BYTES
from modelhive.common.v1.common_pb2 import Principal
from modelhive.routing.v1 import realtime_pb2 as pb
from modelhive.routing.v1.realtime_pb2_grpc import RealtimeStub

SECONDS = 20.0
FAR = 1 << 50
"""A deadline that does not come, in Unix milliseconds."""


class Echo:
    """A provider whose one session says back what it hears, and starts a response when it is asked for one."""

    speaks = ("realtime",)

    def __init__(self) -> None:
        self.said: asyncio.Queue[Message | Closed] = asyncio.Queue()
        self.closed = asyncio.Event()
        self.code = 0

    async def open_session(self, call: SessionCall) -> Echo:
        return self

    async def receive(self) -> Message:
        said = await self.said.get()
        if isinstance(said, Closed):
            raise said
        return said

    async def send(self, message: Message) -> None:
        if b"response.create" in message.data:
            delta = {"type": "response.output_text.delta", "response_id": "r", "delta": "x" * 40}
            for event in ({"type": "response.created", "response": {"id": "r"}}, delta):
                self.said.put_nowait(Message(msgspec.json.encode(event)))
        else:
            self.said.put_nowait(message)

    async def close(self, code: int = 0, reason: str = "") -> None:
        self.code = self.code or code
        self.closed.set()


class Edge:
    """The other side of the door. call: the one session of it."""

    def __init__(
        self, gateway: Any, door: RealtimeDoor, stub: Any, provider: Echo, secrets: ClientSecrets
    ) -> None:
        self.gateway, self.door, self.stub, self.provider, self.secrets = (
            gateway,
            door,
            stub,
            provider,
            secrets,
        )
        self.call: Any = None

    async def open(self, query: str = "model=voice", **fields: Any) -> None:
        self.call = self.stub.Converse()
        opening = pb.Open(
            request_id="req_1",
            principal=Principal(tenant_id="default", key_id="key_1"),
            query=query,
            deadline_unix_ms=FAR,
            **fields,
        )
        await self.call.write(pb.ConverseRequest(open=opening))
        response = await self.read()
        assert response.WhichOneof("frame") == "opened"

    async def read(self) -> pb.ConverseResponse:
        response: pb.ConverseResponse = await asyncio.wait_for(self.call.read(), SECONDS)
        return response

    async def say(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE_BYTES):
            part = data[start : start + PIECE_BYTES]
            piece = pb.Piece(data=part, is_text=True, is_last=start + PIECE_BYTES >= len(data))
            await self.call.write(pb.ConverseRequest(piece=piece))

    async def hears(self) -> bytes:
        data = b""
        while True:
            piece = (await self.read()).piece
            data += piece.data
            if piece.is_last:
                return data


@pytest.fixture(params=["local", "remote"])
async def edge(gateway: Any, request: pytest.FixtureRequest) -> AsyncIterator[Edge]:
    failures: list[tuple[str, BaseException]] = []

    def note(name: str, error: BaseException) -> None:
        failures.append((name, error))

    networks: list[Network] = [LocalNetwork(note)]
    if request.param == "remote":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        peers = {"routing": [f"127.0.0.1:{port}"]}
        networks = [
            RemoteNetwork(note, url="dns:///{service}:1", peers=peers),
            RemoteNetwork(note, url="dns:///{service}:1", port=port),
        ]
    provider = Echo()
    gateway.prices.put(PriceTag("model/voice", 1, Tariff(((0, {"prompt": 1000, "completion": 16_000_000}),))))
    at: Any = provider
    deployment = Deployment("live", at, "real", 1, Timeouts(), "")
    gateway.catalogue.put(Model("voice", 0, "", "", None, (deployment,), ()))
    secrets = ClientSecrets("a key", SystemClock())
    opener = Opener(gateway.catalogue, gateway.guards, gateway.spending, gateway.tasks)
    door = RealtimeDoor(opener, secrets, SystemClock())
    server = networks[-1].server("routing", "routing-0")
    server.add(RealtimeDoor.attach, door)
    await server.start()
    yield Edge(gateway, door, RealtimeStub(networks[0].channel("routing")), provider, secrets)
    for network in networks:
        await network.close()
    assert failures == []


async def test_messages_of_any_size_pass_in_pieces(edge: Edge) -> None:
    await edge.open()
    event = msgspec.json.encode({"type": "input_audio_buffer.append", "audio": "A" * 300_000})
    await edge.say(event)
    assert await edge.hears() == event
    await edge.call.write(pb.ConverseRequest(close=pb.Close(code=4000, reason="enough")))
    close = (await edge.read()).close
    assert (close.code, close.reason, edge.provider.code) == (4000, "enough", 4000)
    assert await edge.call.read() is grpc.aio.EOF


@pytest.mark.parametrize(("query", "kind"), [("model=nowhere", Kind.NOT_FOUND), ("", Kind.INVALID)])
async def test_what_keeps_a_client_out_fails_the_call(edge: Edge, query: str, kind: Kind) -> None:
    with pytest.raises(HiveError) as refused:
        await edge.open(query)
    assert refused.value.kind is kind


async def test_an_edge_that_is_lost_ends_the_session_and_what_came_is_paid(edge: Edge) -> None:
    await edge.open()
    await edge.say(b'{"type":"response.create"}')
    await edge.hears()
    await edge.hears()
    edge.call.cancel()
    await asyncio.wait_for(edge.provider.closed.wait(), SECONDS)
    while edge.door.sessions:
        await asyncio.sleep(0)
    (attempt,) = edge.gateway.log.closed
    assert (attempt.outcome, attempt.estimated) == (Outcome.ABANDONED, True)
    assert attempt.units["completion"] == 10


async def test_a_process_that_goes_down_says_so_and_settles(edge: Edge) -> None:
    await edge.open()
    await edge.say(b'{"type":"response.create"}')
    await edge.hears()
    await edge.hears()
    async with edge.door:
        pass
    close = (await edge.read()).close
    assert (close.code, close.usage.completion_tokens, edge.provider.code) == (1012, 10, 1012)
    assert len(edge.gateway.log.closed) == 1
    with pytest.raises(HiveError) as refused:
        await edge.open()
    assert refused.value.kind is Kind.UNAVAILABLE


async def test_a_secret_stands_for_its_key_and_sets_the_session_up(edge: Edge) -> None:
    secret = edge.secrets.made(
        Grant("default", "key_1", "voice", FAR // 1000, b'{"instructions":"Be brief."}')
    )
    redeemed = await edge.stub.Redeem(pb.RedeemRequest(secret=secret))
    assert (redeemed.tenant_id, redeemed.key_id) == ("default", "key_1")
    await edge.open("", secret=secret)
    event = msgspec.json.decode(await edge.hears())
    assert event == {"type": "session.update", "session": {"instructions": "Be brief."}}
    with suppress(HiveError):
        await edge.stub.Redeem(pb.RedeemRequest(secret="ek_x"))
        raise AssertionError("it is none of ours")


async def test_a_client_that_takes_nothing_makes_the_provider_wait(edge: Edge) -> None:
    await edge.open()
    total = 2_000
    for _ in range(total):
        edge.provider.said.put_nowait(Message(b"x" * PIECE_BYTES))
    left = -1
    while left != edge.provider.said.qsize():
        left = edge.provider.said.qsize()
        await asyncio.sleep(0.2)
    assert left > total - 400, "more than 25 MiB lie between the two"
    for _ in range(total):
        await edge.hears()
