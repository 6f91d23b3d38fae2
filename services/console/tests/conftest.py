"""A console over a real SQLite file and the memory bus, started and stopped as often as a test likes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx2
import pytest
from google.protobuf.message import Message

from hive_bus.memory import MemoryBus
from hive_bus.port import StateChange
from hive_console.service import Console, console_service
from hive_console.settings import ConsoleSettings
from hive_rpc import Channel
from hive_rpc.local import LocalNetwork
from hive_runtime.errors import HiveError, Kind
from hive_runtime.health import Health
from hive_runtime.money import show_usd
from hive_runtime.sealing import SealingKey
from hive_runtime.settings import HostSettings
from hive_runtime.tasks import Tasks
from modelhive.analytics.v1 import questions_pb2 as analytics
from modelhive.analytics.v1.questions_pb2_grpc import QuestionsServicer, add_QuestionsServicer_to_server
from modelhive.billing.v1 import books_pb2 as billing
from modelhive.billing.v1.books_pb2_grpc import BooksServicer, add_BooksServicer_to_server
from modelhive.control.v1.control_pb2 import ControlChanged
from modelhive.guardrails.v1 import guard_pb2 as guard
from modelhive.guardrails.v1.guard_pb2_grpc import GuardServicer, add_GuardServicer_to_server
from modelhive.routing.v1 import cache_pb2 as cache
from modelhive.routing.v1.cache_pb2_grpc import CacheServicer, add_CacheServicer_to_server

if TYPE_CHECKING:
    from hive_host.host import Host

NOW = 1_790_000_000
ADMIN_TOKEN = "admin-token-of-the-tests"
BOOTSTRAP_KEY = "sk-hive-bootstrap-of-the-tests"
SEALING_KEY = SealingKey.generate()


class SteppedClock:
    """Time stands still until `advance`."""

    def __init__(self) -> None:
        self.time = float(NOW)
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.time + seconds, future))
        await future

    def advance(self, seconds: float) -> None:
        self.time += seconds
        due = [sleeper for sleeper in self.sleepers if sleeper[0] <= self.time]
        self.sleepers = [sleeper for sleeper in self.sleepers if sleeper not in due]
        for _, future in due:
            if not future.done():
                future.set_result(None)


class MoodyBus(MemoryBus):
    """Takes nothing while it is `away`."""

    away = False

    async def publish(self, message: Message) -> None:
        if self.away:
            raise HiveError(Kind.UNAVAILABLE, "the broker is away")
        await super().publish(message)


class FakeHost:
    """The part of a process that console asks for."""

    def __init__(
        self, data_dir: Path, clock: SteppedClock, sql_url: str = "", bus: MoodyBus | None = None
    ) -> None:
        self.failures: list[tuple[str, BaseException]] = []
        self.sql_url = sql_url or f"sqlite+aiosqlite:///{data_dir}/console.db"
        self.data_dir = data_dir
        self.settings = HostSettings(data_dir=data_dir)
        self.clock = clock
        self.tasks = Tasks(lambda name, error: self.failures.append((name, error)))
        self.bus = bus or MoodyBus(clock, lambda name, error: self.failures.append((name, error)))
        self.health = Health()
        self.mounted: dict[tuple[str, str], Any] = {}
        self.network = LocalNetwork(lambda name, error: self.failures.append((name, error)))
        self.server = self.network.server("console", "0")

    def channel(self, service: str) -> Channel:
        return self.network.channel(service)

    def serve(self, register: Any, servicer: object) -> None:
        self.server.add(register, servicer)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.server.start()
        try:
            yield
        finally:
            await self.server.stop(1.0)

    def mount(self, listener: str, prefix: str, app: Any) -> None:
        self.mounted[listener, prefix] = app


class FakeBooks(BooksServicer):
    """Billing's books as far as console asks of them: wallets and budgets that add up, and told answers.

    mute: what is asked is done, and not answered. refusing: raised instead of any answer. recharging: what keys'
    budgets get from the wallet just before they are funded the next time.
    """

    def __init__(self) -> None:
        self.wallets: dict[str, int] = {}
        self.budgets: dict[str, billing.Budget] = {}
        self.causes: dict[str, int] = {}
        self.asked: list[Any] = []
        self.recharging: dict[str, int] = {}
        self.mute = False
        self.refusing: HiveError | None = None
        self.verified = billing.VerifyResponse()
        self.totals = billing.TotalsResponse()
        self.postings: list[Any] = []
        self.prices = billing.ListPricesResponse()
        self.rerated = billing.RerateResponse()

    def held(self, key_id: str, nanos: int) -> None:
        self.budgets[key_id].leased_nanos = nanos

    def spend(self, key_id: str, nanos: int) -> None:
        self.budgets[key_id].balance_nanos -= nanos
        self.budgets[key_id].used_nanos += nanos

    async def Credit(self, request: billing.CreditRequest, context: object) -> billing.CreditResponse:
        self._hear(request)
        before = self.causes.setdefault(request.cause, request.amount_nanos)
        if before != request.amount_nanos:
            raise HiveError(Kind.CONFLICT, "The ledger has another amount for it.", "cause")
        posted = len([each for each in self.asked if getattr(each, "cause", "") == request.cause]) == 1
        if posted:
            self.wallets[request.tenant_id] = self.wallets.get(request.tenant_id, 0) + request.amount_nanos
        return billing.CreditResponse(
            cause=request.cause, posted=posted, wallet=self._wallet(request.tenant_id)
        )

    async def GetWallet(
        self, request: billing.GetWalletRequest, context: object
    ) -> billing.GetWalletResponse:
        self._hear(request)
        return billing.GetWalletResponse(wallet=self._wallet(request.tenant_id))

    async def FundBudget(
        self, request: billing.FundBudgetRequest, context: object
    ) -> billing.FundBudgetResponse:
        self._hear(request)
        key_id, tenant_id = request.key_id, request.tenant_id
        budget = self.budgets.get(key_id) or billing.Budget(key_id=key_id, tenant_id=tenant_id)
        if recharge := self.recharging.pop(key_id, 0):
            self._move(tenant_id, budget, recharge)
        free, wallet = budget.balance_nanos - budget.leased_nanos, self.wallets.get(tenant_id, 0)
        amount = -free if request.empty else request.amount_nanos
        if amount > wallet or -amount > free:
            message = f"The wallet cannot give {show_usd(abs(amount), up=True)}."
            raise HiveError(Kind.BUDGET_EXCEEDED, message, "amount_usd")
        if request.cause not in self.causes:
            self.causes[request.cause] = amount
            self._move(tenant_id, budget, amount)
        if self.mute:
            raise HiveError(Kind.UNAVAILABLE, "the connection broke.")
        return billing.FundBudgetResponse(budget=budget, posted=True)

    async def ListBudgets(
        self, request: billing.ListBudgetsRequest, context: object
    ) -> billing.ListBudgetsResponse:
        self._hear(request)
        found = [
            each
            for each in self.budgets.values()
            if (not request.key_ids or each.key_id in request.key_ids)
            and request.tenant_id in ("", each.tenant_id)
        ]
        return billing.ListBudgetsResponse(budgets=found)

    async def ListPostings(
        self, request: billing.ListPostingsRequest, context: object
    ) -> billing.ListPostingsResponse:
        self._hear(request)
        behind = [each for each in self.postings if each.sequence > request.after]
        return billing.ListPostingsResponse(
            postings=behind[: request.limit], has_more=len(behind) > request.limit
        )

    async def Verify(self, request: billing.VerifyRequest, context: object) -> billing.VerifyResponse:
        self._hear(request)
        return self.verified

    async def Totals(self, request: billing.TotalsRequest, context: object) -> billing.TotalsResponse:
        self._hear(request)
        return self.totals

    async def ListPrices(
        self, request: billing.ListPricesRequest, context: object
    ) -> billing.ListPricesResponse:
        self._hear(request)
        return self.prices

    async def Rerate(self, request: billing.RerateRequest, context: object) -> billing.RerateResponse:
        self._hear(request)
        return self.rerated

    def last(self, kind: type[Message]) -> Any:
        """The last request of this kind."""
        return next(each for each in reversed(self.asked) if isinstance(each, kind))

    def _move(self, tenant_id: str, budget: billing.Budget, amount: int) -> None:
        self.budgets[budget.key_id] = budget
        self.wallets[tenant_id] = self.wallets.get(tenant_id, 0) - amount
        budget.balance_nanos += amount
        budget.funded_nanos += amount

    def _hear(self, request: Message) -> None:
        self.asked.append(request)
        if self.refusing is not None:
            raise self.refusing

    def _wallet(self, tenant_id: str) -> billing.Wallet:
        return billing.Wallet(
            tenant_id=tenant_id, mode="prepaid", balance_nanos=self.wallets.get(tenant_id, 0)
        )


class FakeQuestions(QuestionsServicer):
    """Analytics with told answers."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.refusing: HiveError | None = None
        self.answer = analytics.AskResponse()
        self.listed = analytics.ListResponse()
        self.totals = analytics.TotalsResponse()

    async def Ask(self, request: analytics.AskRequest, context: object) -> analytics.AskResponse:
        self.asked.append(request)
        if self.refusing is not None:
            raise self.refusing
        return self.answer

    async def List(self, request: analytics.ListRequest, context: object) -> analytics.ListResponse:
        return self.listed

    async def Totals(self, request: analytics.TotalsRequest, context: object) -> analytics.TotalsResponse:
        assert isinstance(self.asked[-1], analytics.FlushRequest), "what is under way has to be flushed first"
        return self.totals

    async def Flush(self, request: analytics.FlushRequest, context: object) -> analytics.FlushResponse:
        self.asked.append(request)
        return analytics.FlushResponse()


class FakeGuard(GuardServicer):
    """Guardrails with a told answer."""

    def __init__(self) -> None:
        self.asked: list[guard.TestRequest] = []
        self.refusing: HiveError | None = None
        self.answer = guard.TestResponse()

    async def Test(self, request: guard.TestRequest, context: object) -> guard.TestResponse:
        self.asked.append(request)
        if self.refusing is not None:
            raise self.refusing
        return self.answer


class FakeCache(CacheServicer):
    """Routing's cache, as the number of entries of each tenant."""

    def __init__(self) -> None:
        self.entries: dict[str, int] = {}
        self.counted = cache.StatsResponse()

    async def Stats(self, request: cache.StatsRequest, context: object) -> cache.StatsResponse:
        return self.counted

    async def Clear(self, request: cache.ClearRequest, context: object) -> cache.ClearResponse:
        gone = [request.tenant_id] if request.tenant_id else list(self.entries)
        return cache.ClearResponse(cleared=sum(self.entries.pop(tenant, 0) for tenant in gone))


class Records:
    """What another service hears: the last record of every key, and the whole story."""

    def __init__(self) -> None:
        self.now: dict[str, ControlChanged] = {}
        self.story: list[tuple[str, ControlChanged | None]] = []

    async def take(self, change: StateChange[ControlChanged]) -> None:
        self.story.append((change.key, change.message))
        if change.message is None:
            self.now.pop(change.key, None)
        else:
            self.now[change.key] = change.message

    def keys(self, kind: str) -> set[str]:
        return {key.removeprefix(f"{kind}/") for key in self.now if key.startswith(f"{kind}/")}


class Desk:
    """A running console as its operator and the other services see it."""

    def __init__(self, console: Console, host: FakeHost, client: httpx2.AsyncClient) -> None:
        self.console = console
        self.host = host
        self.client = client
        self.records = Records()

    async def ask(self, method: str, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        """The JSON of the answer; the status must be `status`."""
        sent: dict[str, Any] = {} if body is None else {"json": body}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.client.request(method, f"/api/admin{path}", headers=named, **sent)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def error(self, method: str, path: str, body: Any = None, *, status: int) -> dict[str, Any]:
        """The `error` object of a refusal, its form checked."""
        answer = await self.ask(method, path, body, status)
        assert set(answer) == {"error"}
        assert {"message", "type", "param", "code"} <= set(answer["error"])
        assert answer["error"]["code"] == status
        return cast("dict[str, Any]", answer["error"])

    async def until(self, condition: Callable[[Records], object]) -> None:
        """Wait until the others have heard enough."""
        async with asyncio.timeout(5):
            while not self._holds(condition):
                await asyncio.sleep(0.005)

    def _holds(self, condition: Callable[[Records], object]) -> bool:
        try:
            return bool(condition(self.records))
        except KeyError:
            return False


Start = Callable[..., AbstractAsyncContextManager[Desk]]


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


async def serve(host: FakeHost, servicers: Mapping[str, tuple[Any, Any]]) -> None:
    """servicers: those that are there, with what adds them, by the names of their services."""
    for service, (add, servicer) in servicers.items():
        if servicer is not None:
            server = host.network.server(service, "0")
            server.add(add, servicer)
            await server.start()


@pytest.fixture
def start(tmp_path: Path, clock: SteppedClock) -> Start:
    """Starts console on the same data folder each time, as a process that is restarted.

    file: text of the configuration file. environment: what the process finds there. books, questions, guards,
    answers: who serves billing, analytics, guardrails and routing's cache; nobody does by default. bus_away: from
    before its start. folder, sql_url, bus: those of another process, or shared with one. Others are settings.
    """

    @asynccontextmanager
    async def running(
        file: str | None = None,
        environment: Mapping[str, str] | None = None,
        books: FakeBooks | None = None,
        questions: FakeQuestions | None = None,
        guards: FakeGuard | None = None,
        answers: FakeCache | None = None,
        bus_away: bool = False,
        folder: str = "data",
        sql_url: str = "",
        bus: MoodyBus | None = None,
        **values: Any,
    ) -> AsyncIterator[Desk]:
        path = tmp_path / "modelhive.yaml"
        path.unlink(missing_ok=True)
        if file is not None:
            path.write_text(file)
            values["config"] = path
        settings = settings_of(environment or {}, values)
        host, records = FakeHost(tmp_path / folder, clock, sql_url, bus), Records()
        host.bus.away = bus_away
        servicers = {
            "billing": (add_BooksServicer_to_server, books),
            "analytics": (add_QuestionsServicer_to_server, questions),
            "guardrails": (add_GuardServicer_to_server, guards),
            "routing": (add_CacheServicer_to_server, answers),
        }
        await serve(host, servicers)
        subscription = await host.bus.subscribe_state(ControlChanged, records.take)
        async with console_service(cast("Host", host), settings) as console, desk_of(console, host) as desk:
            desk.records = records
            assert await host.bus.drain(5)
            yield desk
        await subscription.close()
        if bus is None:
            await host.bus.close()
        await host.network.close()
        await host.tasks.close()
        assert host.failures == []

    return running


def settings_of(environment: Mapping[str, str], values: dict[str, Any]) -> ConsoleSettings:
    """The settings of a process whose environment holds nothing else."""
    defaults = {
        "admin_token": ADMIN_TOKEN,
        "bootstrap_key": BOOTSTRAP_KEY,
        "credentials_key": SEALING_KEY.text,
        "discover": False,
        "local_models": False,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("HIVE_") or name.endswith("_API_KEY")]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        return ConsoleSettings(**{**defaults, **values})


@asynccontextmanager
async def desk_of(console: Console, host: FakeHost) -> AsyncIterator[Desk]:
    transport = httpx2.ASGITransport(app=host.mounted["internal", "/api/admin"], raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {console.admin_token}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://console", headers=headers) as client:
        yield Desk(console, host, client)


@pytest.fixture
async def desk(start: Start) -> AsyncIterator[Desk]:
    """A console with nothing but the default tenant and the bootstrap key."""
    async with start() as desk:
        yield desk


@pytest.fixture
def books() -> FakeBooks:
    return FakeBooks()


@pytest.fixture
def questions() -> FakeQuestions:
    return FakeQuestions()


@pytest.fixture
async def till(start: Start, books: FakeBooks, questions: FakeQuestions) -> AsyncIterator[Desk]:
    """The same with billing and analytics beside it, and $20 in the default wallet."""
    books.wallets["default"] = 20_000_000_000
    async with start(books=books, questions=questions) as desk:
        yield desk


@pytest.fixture
def guards() -> FakeGuard:
    return FakeGuard()  # type: ignore[abstract]


@pytest.fixture
def answers() -> FakeCache:
    return FakeCache()


@pytest.fixture
async def guarded(start: Start, guards: FakeGuard, answers: FakeCache) -> AsyncIterator[Desk]:
    """A console with guardrails and routing's cache beside it."""
    async with start(guards=guards, answers=answers) as desk:
        yield desk


@pytest.fixture
def sealing_key() -> SealingKey:
    """The private key, which routing has."""
    return SEALING_KEY
