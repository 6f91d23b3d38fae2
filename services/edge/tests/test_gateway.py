"""The public door in front of a small service: what comes back for what goes in."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter

from hive_bus import Options
from hive_bus.memory import MemoryBus
from hive_edge.gateway import Gateway
from hive_edge.keys import ApiKey, Keys, Tenant
from hive_relay import Caller, Responder, exchange_of
from hive_relay.asgi import AnswerCut, Receive, Scope, Send
from hive_rpc.local import LocalNetwork
from hive_runtime.blobs import ObjectBlobs
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks
from hive_testing.asgi import Answered, Client
from modelhive.relay.v1.relay_pb2 import RequestEnvelope

KEY = "sk-hive-" + "k" * 43
AUTHORIZED = {"authorization": f"Bearer {KEY}"}


class Service:
    """What stands behind the door: says what it got, or does what the query says."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.cancelled = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message["body"]), message["more_body"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        exchange = exchange_of(scope)
        models = list(exchange.principal.models.ids) if exchange.principal.HasField("models") else None
        self.seen.append({"path": scope["path"], "headers": headers, "size": size, "models": models})
        await exchange.go()
        await getattr(self, "do_" + (scope["query_string"].decode() or "answer"))(send)

    async def do_answer(self, send: Send) -> None:
        await self._start(send, b"application/json")
        await send({"type": "http.response.body", "body": b"{}"})

    async def do_refuse(self, send: Send) -> None:
        raise HiveError(Kind.RATE_LIMITED, "slow down", retry_after=7, should_retry=False)

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
    def __init__(self, gateway: Gateway, service: Service, keys: Keys, folder: Path) -> None:
        self.gateway = gateway
        self.service = service
        self.keys = keys
        self.folder = folder

    def client(self, method: str, path: str, **more: Any) -> Client:
        return Client(self.gateway, method, path, **{"headers": AUTHORIZED, **more})

    async def ask(self, method: str, path: str, **more: Any) -> Answered:
        async with asyncio.timeout(20):
            return await self.client(method, path, **more).send()


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with opened(tmp_path) as made:
        yield made


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Door]:
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
        RequestEnvelope, "routing", responder.take, Options(fields={"service": "routing"})
    )
    keys = Keys(clock)
    keys.put_tenant(Tenant("t", frozenset({"a", "b"}), disabled=False))
    keys.put_key(ApiKey("key_1", "t", hashlib.sha256(KEY.encode()).digest(), frozenset({"b", "c"}), None))
    requests = Counter("requests", "All.", ("path", "status"), registry=CollectorRegistry())
    gateway = Gateway(
        keys=keys, caller=caller, blobs=blobs, tasks=tasks, max_body=1_000_000, requests=requests
    )
    try:
        yield Door(gateway, service, keys, folder)
        assert caller.in_flight == 0
    finally:
        await tasks.close()
        await bus.close()
        await network.close()
    assert not lost


async def test_an_answer_carries_the_request_id(door: Door) -> None:
    answered = await door.ask("POST", "/v1/chat/completions", parts=[b"{}"])
    assert answered.status == 200 and answered.body == b"{}" and answered.complete
    assert answered.headers["content-length"] == "2"
    number = answered.headers["x-request-id"]
    assert number.startswith("req_")
    assert answered.headers["request-id"] == answered.headers["x-hive-request-id"] == number


async def test_the_service_sees_allowed_headers_and_models_but_no_credential(door: Door) -> None:
    headers = {**AUTHORIZED, "x-hive-guard": "none", "cookie": "secret", "x-api-key": "secret"}
    await door.ask("POST", "/v1/embeddings", headers=headers)
    assert door.service.seen == [
        {"path": "/v1/embeddings", "headers": {"x-hive-guard": "none"}, "size": 0, "models": ["b"]}
    ]


@pytest.mark.parametrize(
    "headers",
    [AUTHORIZED, {"authorization": f"bearer {KEY}"}, {"x-api-key": KEY}, {"api-key": KEY}],
)
@pytest.mark.parametrize("path", ["/v1/models/a%2Fb", "/models/a%2Fb"])
async def test_ways_to_send_a_key(door: Door, headers: dict[str, str], path: str) -> None:
    answered = await door.ask("GET", path, headers=headers)
    assert answered.status == 200
    assert door.service.seen[0]["path"].endswith("/models/a/b")


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer sk-wrong"}, {"authorization": f"Basic {KEY}"}]
)
async def test_no_key_no_entry(door: Door, headers: dict[str, str]) -> None:
    answered = await door.ask("POST", "/v1/chat/completions", headers=headers)
    error = json.loads(answered.body)["error"]
    assert answered.status == 401 and error["code"] == 401 and error["type"] == "authentication_error"
    assert door.service.seen == []


async def test_a_revoked_key_and_a_disabled_tenant_are_refused(door: Door) -> None:
    door.keys.put_tenant(Tenant("t", None, disabled=True))
    assert (await door.ask("GET", "/v1/models")).status == 401
    door.keys.put_tenant(Tenant("t", None, disabled=False))
    assert (await door.ask("GET", "/v1/models")).status == 200
    door.keys.drop_key("key_1")
    assert (await door.ask("GET", "/v1/models")).status == 401


async def test_an_expired_key_is_refused(door: Door) -> None:
    digest = hashlib.sha256(KEY.encode()).digest()
    door.keys.put_key(ApiKey("key_1", "t", digest, None, expires_at=1.0))
    answered = await door.ask("GET", "/v1/models")
    assert answered.status == 401 and b"expired" in answered.body


@pytest.mark.parametrize(
    "path", ["/ui", "/sso/x", "/login", "/api/admin/keys", "/metrics", "/", "/v1", "//x"]
)
async def test_what_was_never_promised_does_not_exist(door: Door, path: str) -> None:
    answered = await door.ask("GET", path)
    assert answered.status == 404 and json.loads(answered.body)["error"]["type"] == "not_found_error"


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/v1/images/generations", ["error", "type"]),
        ("/v1/chat/completions/chatcmpl-1", ["error", "type"]),
        ("/v1/messages", ["request_id"]),
        ("/v1beta/models/gemini-2.5-pro:generateContent", ["error", "status"]),
        ("/v1/models/gemini-2.5-pro:generateContent", ["error", "status"]),
        ("/v1/a2a/helper/message/send", ["jsonrpc"]),
    ],
)
async def test_promised_routes_that_come_later_say_so_in_their_dialect(
    door: Door, path: str, word: list[str]
) -> None:
    answered = await door.ask("POST", path)
    found = json.loads(answered.body)
    for each in word:
        found = found[each]
    assert answered.status == 404 and b"not enabled on this deployment" in answered.body and found


async def test_a_large_body_goes_by_claim_check_and_leaves_nothing_behind(door: Door) -> None:
    answered = await door.ask("POST", "/v1/chat/completions", parts=[b"x" * 90_000] * 10)
    assert answered.status == 200 and door.service.seen[0]["size"] == 900_000
    assert [path for path in door.folder.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_above_the_limit_is_refused(door: Door, declared: bool) -> None:
    headers = {**AUTHORIZED, **({"content-length": "1100000"} if declared else {})}
    answered = await door.ask("POST", "/v1/chat/completions", headers=headers, parts=[b"x" * 110_000] * 10)
    assert answered.status == 413 and json.loads(answered.body)["error"]["code"] == 413
    assert [path for path in door.folder.rglob("*") if path.is_file()] == []


async def test_a_refusal_carries_its_headers(door: Door) -> None:
    answered = await door.ask("POST", "/v1/chat/completions?refuse")
    assert answered.status == 429
    assert answered.headers["retry-after"] == "7" and answered.headers["x-should-retry"] == "false"


async def test_a_cut_stream_ends_with_an_error_event(door: Door) -> None:
    answered = await door.ask("POST", "/v1/chat/completions?cut_stream")
    assert answered.status == 200 and answered.complete
    first, event = answered.body.split(b"\n\n\n\n")
    assert first == b"data: 1"
    error = json.loads(event.removeprefix(b"data: "))["error"]
    assert error["message"] == "the provider cut the stream" and error["code"] == 502


async def test_a_cut_answer_that_is_no_stream_cuts_the_connection(door: Door) -> None:
    client = door.client("POST", "/v1/chat/completions?cut_json")
    with pytest.raises(AnswerCut):
        await client.send()
    assert not client.answered.complete


async def test_a_client_that_leaves_stops_the_service(door: Door) -> None:
    client = door.client("POST", "/v1/chat/completions?hang")
    running = asyncio.create_task(client.send())
    await client.until(lambda answered: b"data: 1" in answered.body)
    client.leave()
    async with asyncio.timeout(5):
        await door.service.cancelled.wait()
        await running


async def test_a_client_that_leaves_while_it_sends_leaves_nothing_behind(door: Door) -> None:
    async def gateway(scope: Any, receive: Any, send: Any) -> None:
        first = [{"type": "http.request", "body": b"x" * 300_000, "more_body": True}]

        async def leaving() -> Any:
            return first.pop() if first else {"type": "http.disconnect"}

        await door.gateway(scope, leaving, send)

    answered = await Client(gateway, "POST", "/v1/chat/completions", headers=AUTHORIZED).send()
    assert answered.messages == [] and door.service.seen == []
    assert [path for path in door.folder.rglob("*") if path.is_file()] == []
