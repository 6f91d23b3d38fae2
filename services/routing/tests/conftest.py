"""The routing service's application, driven as the relay drives it, in front of a simulated provider."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
import uvloop

from hive_bus.port import StateChange
from hive_relay.exchange import Exchange
from hive_routing.breaker import Breaker
from hive_routing.catalogue import Catalogue
from hive_routing.consumers import ControlConsumer
from hive_routing.dispatch import Dispatcher, Policy
from hive_routing.http import RoutingApp
from hive_routing.pipeline import Pipeline
from hive_routing.providers.registry import Providers
from hive_routing.rest import rest_app
from hive_routing.tokens import TokenCounter
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError
from hive_runtime.sealing import SealingKey, seal
from hive_runtime.tasks import Tasks
from hive_testing.simulator import Simulator
from modelhive.common.v1.common_pb2 import ModelList, Principal, UsageSummary
from modelhive.control.v1.control_pb2 import ControlChanged, Deployment, Model, Provider, Timeouts


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Any:
    """The HTTP client runs on both event loops: sockets behave a little differently on them."""
    loops = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return loops if item.path.name == "test_http1.py" else {"asyncio": loops["asyncio"]}


@dataclass
class Answer:
    """What the app sent, how it ended, and what it told its exchange."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    parts: list[tuple[bytes, bool]] = field(default_factory=list)
    """Body messages: bytes, and whether they are content."""
    complete: bool = False
    error: HiveError | None = None
    usage: UsageSummary | None = None

    @property
    def body(self) -> bytes:
        return b"".join(data for data, _ in self.parts)

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def data(self) -> list[str]:
        """The data of every event of a stream."""
        lines = self.body.decode().replace("\r\n", "\n").split("\n")
        return [line[6:] for line in lines if line.startswith("data: ")]

    @property
    def chunks(self) -> list[Any]:
        return [msgspec.json.decode(data) for data in self.data if data != "[DONE]"]

    @property
    def text(self) -> str:
        """What the first choice of a stream says."""
        choices = [chunk["choices"][0] for chunk in self.chunks if chunk["choices"]]
        return "".join(choice["delta"].get("content") or "" for choice in choices if choice["index"] == 0)


class Call:
    """One request to the app; it may be watched and cancelled while it runs."""

    def __init__(self, takes: bool) -> None:
        self.answer = Answer()
        self._takes = takes
        self.went = False
        self.task: asyncio.Task[None]
        self._sent = asyncio.Event()

    async def go(self) -> None:
        self.went = True

    async def send(self, message: Any) -> None:
        answer = self.answer
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.parts.append((bytes(message.get("body", b"")), message.get("hive.content", True)))
            answer.complete = not message.get("more_body", False)
        self._sent.set()
        if not self._takes:
            await asyncio.Event().wait()

    async def until_sent(self, text: bytes) -> None:
        """Wait until something was sent and the body holds `text`."""
        async with asyncio.timeout(5):
            while not self.answer.status or text not in self.answer.body:
                self._sent.clear()
                await self._sent.wait()


class Gateway:
    """The app with a catalogue of its own; `sim` is the provider that every model is deployed at."""

    def __init__(self, sim: Simulator) -> None:
        clock = SystemClock()
        self.sim = sim
        self.failures: list[BaseException] = []
        self.tasks = Tasks(lambda name, error: self.failures.append(error))
        self.key = SealingKey.generate()
        self.catalogue = Catalogue()
        self.providers = Providers(self.key, clock, self.tasks)
        self.consumer = ControlConsumer(self.catalogue, self.providers)
        self.breaker = Breaker(clock)
        policy = Policy(first_pause=0.001, longest_pause=0.05)
        dispatcher = Dispatcher(clock, self.breaker, policy, random.Random(7))
        counter = TokenCounter()
        self.app = RoutingApp(
            Pipeline(self.catalogue, dispatcher, counter, clock), rest_app(self.catalogue, counter)
        )

    async def tell(self, key: str, **entity: Any) -> None:
        """A change on the control topic; without an entity the key is retired."""
        message = ControlChanged(key=key, **entity) if entity else None
        await self.consumer.apply(StateChange(key, message))

    async def add_provider(
        self, name: str = "sim", url: str = "", credential: str = "sk-provider", **fields: Any
    ) -> None:
        timeouts = Timeouts(**fields.pop("timeouts", {"connect": 2, "first_byte": 2, "idle": 2, "total": 10}))
        provider = Provider(
            id=name,
            kind=fields.pop("kind", "openai"),
            base_url=url or self.sim.url,
            sealed_credential=seal(self.key.public, credential.encode()),
            timeouts=timeouts,
            **fields,
        )
        await self.tell(f"provider/{name}", provider=provider)

    async def add_model(
        self, name: str = "gpt-4o", at: tuple[str, ...] = ("sim:gpt-4o-real",), **fields: Any
    ) -> None:
        """at: `provider:model`, or `provider:model:weight`."""
        deployments = []
        for each in at:
            provider, model, weight = (each + ":1").split(":")[:3]
            deployments.append(Deployment(provider_id=provider, model=model, weight=int(weight)))
        usual: dict[str, Any] = {"created_unix": 1715367049, "owned_by": "openai", "mode": "chat"}
        fields = usual | fields
        await self.tell(f"model/{name}", model=Model(id=name, deployments=deployments, **fields))

    def start(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        models: list[str] | None = None,
        seconds: float = 60.0,
        parts: int = 1,
        takes: bool = True,
    ) -> Call:
        """models: the caller's allow-list. parts: how many messages the body comes in.

        takes: whether the client reads the answer's body.
        """
        call = Call(takes)
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body) if body is not None else b""
        size = max(1, -(-len(raw) // parts))
        messages = [raw[start : start + size] for start in range(0, len(raw), size)] or [b""]

        async def receive() -> Any:
            data = messages.pop(0)
            return {"type": "http.request", "body": data, "more_body": bool(messages)}

        principal = Principal(tenant_id="default", key_id="key_1")
        if models is not None:
            principal.models.CopyFrom(ModelList(ids=models))
        exchange = Exchange(
            request_id="req_1",
            attempt=1,
            principal=principal,
            deadline=asyncio.get_running_loop().time() + seconds,
            traceparent="",
            go=call.go,
        )
        sent = {"content-type": "application/json"} | (headers or {})
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "hive": exchange,
        }

        async def run() -> None:
            try:
                await self.app(scope, receive, call.send)
            except HiveError as error:
                call.answer.error = error
            finally:
                call.answer.usage = exchange.usage

        call.task = self.tasks.spawn(run(), f"{method} {path}")
        return call

    async def request(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        call = self.start(method, path, body, **options)
        async with asyncio.timeout(10):
            await call.task
        return call.answer

    async def chat(self, **fields: Any) -> Answer:
        """POST /v1/chat/completions with a usual body and these fields."""
        return await self.request("POST", "/v1/chat/completions", chat_body(**fields))

    async def close(self) -> None:
        await self.tasks.close()
        await self.providers.close()
        assert not self.failures


def chat_body(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello there"}]} | fields


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def gateway(sim: Simulator) -> AsyncIterator[Gateway]:
    """One provider `sim`, one model `gpt-4o` that it calls `gpt-4o-real`."""
    gateway = Gateway(sim)
    await gateway.add_provider()
    await gateway.add_model()
    yield gateway
    await gateway.close()
