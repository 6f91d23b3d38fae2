"""The routing service's application, driven as the relay drives it, in front of a simulated provider."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from hive_bus.port import StateChange
from hive_relay.asgi import Sent
from hive_relay.exchange import Exchange
from hive_relay.principal import Principal
from hive_relay.summary import Summary
from hive_routing.attempts import Attempt
from hive_routing.breaker import Breaker
from hive_routing.caching import Cache, Flights, Local, Port
from hive_routing.caching.hive import HiveCache
from hive_routing.caching.terms import TermsBook
from hive_routing.catalogue import Catalogue
from hive_routing.choosing.mirrors import Mirrors
from hive_routing.consumers import ControlConsumer
from hive_routing.dispatch import Dispatcher, Policy
from hive_routing.guarding.port import Asker, Decision, Found, Text, Verdict
from hive_routing.holds import Lease, Lent, Purse, Renewed, Terms
from hive_routing.http import RoutingApp
from hive_routing.idempotency import MIGRATIONS, IdempotencyStore
from hive_routing.model_calls import WatchedLog
from hive_routing.once import Once
from hive_routing.pipeline import Pipeline
from hive_routing.prices import PriceBook, PriceTag
from hive_routing.providers.registry import Providers
from hive_routing.rest import rest_app
from hive_routing.spending import Spending
from hive_routing.stored.opening import open_stored
from hive_routing.tokens import TokenCounter
from hive_runtime.clock import Clock, SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.money import Tariff
from hive_runtime.sealing import SealingKey, seal
from hive_runtime.tasks import Tasks
from hive_runtime.telemetry import Metrics, Requests
from hive_sql import Database, open_database
from hive_testing.simulator import Simulator
from modelhive.control.v1.control_pb2 import ControlChanged, Deployment, Model, Provider, Timeouts


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Any:
    """The HTTP client runs on both event loops: sockets behave a little differently on them."""
    loops = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return loops if item.path.name == "test_http1.py" else {"asyncio": loops["asyncio"]}


class FakeBank:
    """A `Bank` of limits by scope. Keys spend from `scopes`; with none nothing binds them.

    free: nano-dollars that nobody has, by scope. surplus: at most so much is lent beyond what is wanted.
    renewals_answered: set while renewals are answered as soon as they are decided.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.free: dict[str, int] = {}
        self.scopes: tuple[str, ...] = ()
        self.balanced = False
        self.default_max_output = 4096
        self.valid = 60.0
        self.until_ms = 0
        self.surplus = 1 << 60
        self.away = False
        self.generation = 1
        self.lends = 0
        self.renewals = 0
        self.exact: list[int] = []
        self.renewals_answered = asyncio.Event()
        self.renewals_answered.set()
        self.returned: list[tuple[dict[str, int], bool]] = []

    def forget(self) -> None:
        """Nothing that was lent is the process's own any more."""
        self.generation += 1

    async def lend(
        self, tenant_id: str, key_id: str, wanted: int, wants: Mapping[str, int] | None, generation: int
    ) -> Lent:
        self._require()
        self.lends += 1
        until = self.clock.monotonic() + self.valid
        terms = Terms(self.scopes, self.balanced, self.default_max_output, until, self.until_ms)
        asked = dict.fromkeys(self.scopes, wanted) if wants is None else dict(wants)
        for scope, amount in asked.items():
            if self.free.get(scope, 0) < amount:
                return Lent(terms, {}, scope, self.free.get(scope, 0), self.generation)
        slices = {}
        for scope, amount in asked.items():
            slices[scope] = min(self.free.get(scope, 0), amount + self.surplus)
            self.free[scope] = self.free.get(scope, 0) - slices[scope]
        return Lent(terms, slices, generation=self.generation)

    async def renew(
        self, leases: Mapping[str, Lease], generation: int, number: int, last_exact: int
    ) -> Renewed:
        self._require()
        self.renewals += 1
        self.exact.append(last_exact)
        known = generation == self.generation
        renewed = Renewed(self.clock.monotonic() + self.valid if known else None, self.generation)
        await self.renewals_answered.wait()
        return renewed

    async def give_back(self, slices: Mapping[str, int], last: bool, generation: int) -> None:
        self._require()
        self.returned.append((dict(slices), last))
        for scope, amount in slices.items():
            self.free[scope] = self.free.get(scope, 0) + amount

    def _require(self) -> None:
        if self.away:
            raise HiveError(Kind.UNAVAILABLE, "Billing is away.", retry_after=1)


@dataclass
class FakeLog:
    """A `UsageLog` that remembers. steps: `open`, `progress <delivered>`, `close`, in their order."""

    closed: list[Attempt] = field(default_factory=list)
    opened: list[Attempt] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    full: bool = False

    def open(self, attempt: Attempt) -> None:
        if self.full:
            raise HiveError(Kind.UNAVAILABLE, "The journal cannot be written.", retry_after=1)
        attempt.number = len(self.opened) + 1
        self.opened.append(copy(attempt))
        self.steps.append("open")

    def progress(self, attempt: Attempt) -> None:
        self.steps.append(f"progress {attempt.delivered}")

    def close(self, attempt: Attempt) -> None:
        assert attempt.number, "closed without having been opened"
        assert all(attempt is not other for other in self.closed), "closed twice"
        self.closed.append(attempt)
        self.steps.append("close")


class FakeGuards:
    """`Guards` that find what a test says. words: what has to be taken out, by category. bad: what blocks.

    output: the guards of the output; then `words` and `bad` are looked for there too. away: nobody decides.
    """

    def __init__(self) -> None:
        self.words: dict[str, str] = {}
        self.bad: set[str] = set()
        self.output: tuple[str, ...] = ()
        self.overlap = 12
        self.policy = "policy-1"
        self.locked: tuple[str, ...] = ()
        self.away = False
        self.asked: list[tuple[str, Asker, list[Text]]] = []

    async def on_input(self, asker: Asker, texts: Sequence[Text]) -> Decision:
        return self._decide("input", asker, texts)

    async def on_output(self, asker: Asker, texts: Sequence[Text], *, more: bool) -> Decision:
        return self._decide("output", asker, texts)

    def _decide(self, stage: str, asker: Asker, texts: Sequence[Text]) -> Decision:
        self.asked.append((stage, asker, list(texts)))
        if self.away:
            raise HiveError(Kind.UNAVAILABLE, "The guardrails are away.", retry_after=1)
        usual: dict[str, Any] = {
            "ran": ("words",) if stage == "input" or self.output else (),
            "output": self.output,
            "overlap": self.overlap,
            "locked": self.locked,
            "policy": self.policy,
            "open": [min(len(text.text), self.overlap) for text in texts],
        }
        if any(bad in text.text for text in texts for bad in self.bad):
            return Decision(Verdict.BLOCKED, "words", "bad", **usual)
        found = [
            Found(category, number, at.start(), at.end())
            for number, text in enumerate(texts)
            for word, category in self.words.items()
            for at in re.finditer(re.escape(word), text.text)
            if at.end() > text.known
        ]
        found.sort(key=lambda each: (each.text, each.start))
        return Decision(Verdict.REDACTED if found else Verdict.ALLOWED, found=found, **usual)


@dataclass
class Answer:
    """What the app sent, how it ended, and what it told its exchange."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    parts: list[tuple[bytes, bool]] = field(default_factory=list)
    """Body messages: bytes, and whether they are content."""
    complete: bool = False
    error: HiveError | None = None
    usage: Summary | None = None

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


class Call(Sent):
    """One request to the app; it may be watched and cancelled while it runs."""

    def __init__(self, takes: bool) -> None:
        self.answer = Answer()
        self._takes = takes
        self.went = False
        self.task: asyncio.Task[None]
        self._sent = asyncio.Event()

    async def go(self) -> None:
        self.went = True

    def send(self, message: Any) -> Awaitable[None]:
        answer = self.answer
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.parts.append((bytes(message.get("body", b"")), message.get("hive.content", True)))
            answer.complete = not message.get("more_body", False)
        self._sent.set()
        return self if self._takes else asyncio.sleep(3600)

    def write(self, body: bytes) -> bool:
        self.answer.parts.append((body, True))
        self._sent.set()
        return True

    async def until_sent(self, text: bytes) -> None:
        """Wait until something was sent and the body holds `text`."""
        async with asyncio.timeout(5):
            while not self.answer.status or text not in self.answer.body:
                self._sent.clear()
                await self._sent.wait()


class Gateway:
    """The app with a catalogue of its own; `sim` is the provider that every model is deployed at."""

    def __init__(
        self, sim: Simulator, database: Database, cache_seconds: float = 0, answers: Port | None = None
    ) -> None:
        clock = SystemClock()
        self.sim = sim
        self.tenant_id = "default"
        self.failures: list[BaseException] = []
        self.tasks = Tasks(lambda name, error: self.failures.append(error))
        self.key = SealingKey.generate()
        self.catalogue = Catalogue()
        self.providers = Providers(self.key, clock, self.tasks)
        self.terms = TermsBook(cache_seconds)
        self.consumer = ControlConsumer(self.catalogue, self.providers, self.terms)
        self.breaker = Breaker(clock)
        self.mirrors = Mirrors(self.catalogue, self.tasks, random.Random(7))
        policy = Policy(first_pause=0.001, longest_pause=0.05)
        dispatcher = Dispatcher(
            clock, self.breaker, policy, random.Random(7), lambda name: self.prices.of_deployment(name)
        )
        counter = TokenCounter()
        self.metrics = Metrics()
        self.bank, self.log, self.prices = FakeBank(clock), FakeLog(), PriceBook()
        self.purse = Purse(self.bank, clock)
        self.spending = Spending(self.purse, self.prices, WatchedLog(self.log, self.metrics), counter, clock)
        self.guards = FakeGuards()
        self.answers = answers or Local(Cache(clock, 1 << 24, 1 << 20))
        self.cache = HiveCache(self.answers, Flights(1 << 20), self.terms, clock)
        self.alive: set[str] = set()
        self.once = Once(IdempotencyStore(database, self.alive.__contains__, clock), "router-1", clock)
        pipeline = Pipeline(
            self.catalogue,
            self.once,
            self.guards,
            self.cache,
            self.spending,
            dispatcher,
            counter,
            clock,
            self.mirrors,
        )
        requests = Requests(self.metrics, "routing")
        self.stored = open_stored(
            pipeline,
            self.once,
            self.catalogue,
            counter,
            database,
            self.key,
            "router-1",
            self._is_alive,
            64,
            clock,
        )
        self.app = RoutingApp(pipeline, self.stored.door, rest_app(self.catalogue, counter), requests, clock)

    async def _is_alive(self, owner: str) -> bool:
        return owner in self.alive

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
        self,
        name: str = "gpt-4o",
        at: tuple[str, ...] = ("sim:gpt-4o-real",),
        price: dict[str, int] | None = None,
        **fields: Any,
    ) -> None:
        """at: `provider:model`, or `provider:model:weight`. price: pico-dollars per unit, for all that is asked."""
        tariff = Tariff(((0, price or {"prompt": 2_500_000, "completion": 10_000_000}),))
        self.prices.put(PriceTag(f"model/{name}", 1, tariff))
        deployments = []
        for each in at:
            provider, model, weight = (each + ":1").split(":")[:3]
            deployments.append(Deployment(provider_id=provider, model=model, weight=int(weight)))
            self.prices.put(PriceTag(f"deployment/{provider}/{model}", 1, tariff))
        usual: dict[str, Any] = {"created_unix": 1715367049, "owned_by": "openai", "mode": "chat"}
        fields = usual | fields
        await self.tell(f"model/{name}", model=Model(id=name, deployments=deployments, **fields))

    def start(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: str = "",
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

        principal = Principal(self.tenant_id, "key_1", None if models is None else frozenset(models))
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
            "query_string": query.encode(),
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
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(f"sqlite+aiosqlite:///{tmp_path / 'routing.db'}", MIGRATIONS) as database:
        yield database


@pytest.fixture
def answers() -> Port | None:
    """Where gateways keep answers; None: in memory, each its own."""
    return None


@pytest.fixture
async def gateway(
    sim: Simulator, database: Database, answers: Port | None, request: pytest.FixtureRequest
) -> AsyncIterator[Gateway]:
    """One provider `sim`, one model `gpt-4o` that it calls `gpt-4o-real`. Without a cache, but for `cached` tests."""
    seconds = 60 if request.node.get_closest_marker("cached") else 0
    gateway = Gateway(sim, database, cache_seconds=seconds, answers=answers)
    await gateway.add_provider()
    await gateway.add_model()
    yield gateway
    await gateway.close()


@pytest.fixture
def fake_bank() -> type[FakeBank]:
    return FakeBank


@pytest.fixture
def fake_tag() -> Any:
    def tag(subject: str, prices: dict[str, int] | None) -> PriceTag:
        return PriceTag(subject, 1, None if prices is None else Tariff(((0, prices),)))

    return tag
