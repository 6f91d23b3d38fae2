"""Analytics over a real store, the memory bus and the local channel; billing is a fake.

The store is chDB in its own process, or a ClickHouse over HTTP: what asks for `place` or `desk` runs on both.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from google.protobuf.message import Message

from hive_analytics.service import analytics_service
from hive_analytics.settings import AnalyticsSettings
from hive_host import Process
from hive_runtime.errors import HiveError, Kind
from hive_runtime.settings import HostSettings
from hive_testing.servers.clickhouse import ClickHouse
from modelhive.analytics.v1 import questions_pb2 as pb
from modelhive.analytics.v1.questions_pb2_grpc import QuestionsStub
from modelhive.billing.v1 import books_pb2 as books
from modelhive.billing.v1.books_pb2_grpc import BooksServicer, add_BooksServicer_to_server
from modelhive.events.v1.guard_pb2 import GuardDecided
from modelhive.events.v1.ledger_pb2 import LedgerPosted
from modelhive.events.v1.receipts_pb2 import KeptRequest
from modelhive.events.v1.receipts_pb2_grpc import ReceiptsStub
from modelhive.events.v1.usage_pb2 import RequestLogged, UsageRecorded

DAY = 86_400_000
HOUR = 3_600_000
NOON = 1_790_000_000_000 // DAY * DAY + 12 * HOUR
"""Of some Monday, in Unix milliseconds."""
SETTINGS = AnalyticsSettings(analytics_batch_seconds=0.02, analytics_memory_mb=512)


class FakeBooks(BooksServicer):
    """Has postings, budgets and wallets; the service's own rules are billing's."""

    def __init__(self) -> None:
        self.postings: list[LedgerPosted] = []
        self.budgets: list[books.Budget] = []
        self.wallets: list[books.Wallet] = []
        self.asked_after: list[int] = []
        self.away = False

    async def ListPostings(
        self, request: books.ListPostingsRequest, context: Any
    ) -> books.ListPostingsResponse:
        if self.away:
            raise HiveError(Kind.UNAVAILABLE, "billing is away")
        if request.newest_first:
            return books.ListPostingsResponse(postings=self.postings[: -request.limit - 1 : -1])
        self.asked_after.append(request.after)
        behind = [posting for posting in self.postings if posting.sequence > request.after]
        return books.ListPostingsResponse(
            postings=behind[: request.limit], has_more=len(behind) > request.limit
        )

    async def ListBudgets(self, request: books.ListBudgetsRequest, context: Any) -> books.ListBudgetsResponse:
        return books.ListBudgetsResponse(
            budgets=(
                budget
                for budget in self.budgets
                if request.tenant_id in ("", budget.tenant_id)
                and (not request.key_ids or budget.key_id in request.key_ids)
            )
        )

    async def GetWallet(self, request: books.GetWalletRequest, context: Any) -> books.GetWalletResponse:
        for wallet in self.wallets:
            if wallet.tenant_id == request.tenant_id:
                return books.GetWalletResponse(wallet=wallet)
        raise HiveError(Kind.NOT_FOUND, "no such tenant")


class Desk:
    """A running analytics as operators and other services see it."""

    def __init__(self, process: Process) -> None:
        channel = process.network.channel("analytics")
        self.process = process
        self.questions = QuestionsStub(channel)
        self.receipts = ReceiptsStub(channel)

    async def hear(self, *events: Message) -> None:
        """Publish, and return when it is visible."""
        for event in events:
            await self.process.bus.publish(event)
        await self.flush()

    async def flush(self) -> None:
        await self.questions.Flush(pb.FlushRequest())

    async def ask(
        self,
        question: str,
        *by: str,
        start: int = 0,
        end: int = 0,
        step: str = "",
        limit: int = 0,
        **filters: list[str],
    ) -> list[tuple[Any, ...]]:
        answer = await self.answer(question, *by, start=start, end=end, step=step, limit=limit, **filters)
        return [tuple(map(value, row.cells)) for row in answer.rows]

    async def answer(
        self,
        question: str,
        *by: str,
        start: int = 0,
        end: int = 0,
        step: str = "",
        limit: int = 0,
        **filters: list[str],
    ) -> pb.AskResponse:
        return await self.questions.Ask(
            pb.AskRequest(
                question=question,
                by=by,
                from_unix_ms=start,
                to_unix_ms=end,
                step=step,
                limit=limit,
                filters=(pb.Filter(dimension=name, values=values) for name, values in filters.items()),
            )
        )

    async def totals(self, through: int = 0) -> pb.TotalsResponse:
        return await self.questions.Totals(pb.TotalsRequest(through_sequence=through))

    async def kept(self, holder: str) -> int:
        return (await self.receipts.Kept(KeptRequest(holder=holder))).through_sequence


def value(cell: pb.Cell) -> Any:
    name = cell.WhichOneof("value")
    return None if name is None else getattr(cell, name)


@asynccontextmanager
async def analytics(
    folder: Path, fake: FakeBooks | None = None, settings: AnalyticsSettings = SETTINGS
) -> AsyncIterator[Desk]:
    """Started over the folder; what an earlier one left there is found again."""
    async with Process(HostSettings(data_dir=folder)) as process:
        billing = process.host("billing")
        billing.serve(add_BooksServicer_to_server, fake or FakeBooks())  # type: ignore[abstract]
        async with billing.running(), analytics_service(process.host("analytics"), settings):
            yield Desk(process)


def workers() -> list[psutil.Process]:
    """The store's processes that were started from here, and live."""
    return [child for child in psutil.Process(os.getpid()).children() if _is_worker(child)]


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "hive_analytics.olap.worker" in process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def usage(number: int, **fields: Any) -> UsageRecorded:
    """The only call of a request that was answered after 100 ms; `number` is its sequence too."""
    given: dict[str, Any] = {
        "request_id": f"req_{number}",
        "attempt": 1,
        "call": 1,
        "tenant_id": "acme",
        "key_id": "key_a",
        "endpoint": "chat/completions",
        "model": "gpt",
        "provider": "openai",
        "deployment": "openai/gpt-5",
        "started_unix_ms": NOON,
        "duration_us": 100_000,
        "outcome": 1,
        "last": True,
        "holder": "routing-1",
        "sequence": number,
    }
    return UsageRecorded(**(given | fields))


def posting(number: int, **fields: Any) -> LedgerPosted:
    """What an attempt cost: the tenant 1,000 nano-dollars, its provider charges 700."""
    given: dict[str, Any] = {
        "sequence": number,
        "cause": f"usage:req_{number}:1.1",
        "kind": 4,
        "occurred_unix_ms": NOON,
        "posted_unix_ms": NOON + 5,
        "tenant_id": "acme",
        "key_id": "key_a",
        "request_id": f"req_{number}",
        "model": "gpt",
        "provider": "openai",
        "deployment": "openai/gpt-5",
        "spent_nanos": 1000,
        "provider_cost_nanos": 700,
    }
    return LedgerPosted(**(given | fields))


def decision(number: int, **fields: Any) -> GuardDecided:
    given: dict[str, Any] = {
        "request_id": f"req_{number}",
        "tenant_id": "acme",
        "key_id": "key_a",
        "model": "gpt",
        "guard": "secrets",
        "stage": 1,
        "verdict": 1,
        "decided_unix_ms": NOON,
    }
    return GuardDecided(**(given | fields))


def request(number: int, **fields: Any) -> RequestLogged:
    given: dict[str, Any] = {
        "request_id": f"req_{number}",
        "tenant_id": "acme",
        "key_id": "key_a",
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 200,
        "started_unix_ms": NOON,
        "duration_us": 120_000,
        "model": "gpt",
        "provider": "openai",
        "deployment": "openai/gpt-5",
        "calls": 1,
        "cache": 1,
    }
    return RequestLogged(**(given | fields))


def sums(totals: Iterable[pb.Total]) -> list[tuple[str, str, str, int, int, int]]:
    return [
        (each.tenant_id, each.key_id, each.day, each.spent_nanos, each.provider_cost_nanos, each.postings)
        for each in totals
    ]


@dataclass(frozen=True)
class Place:
    """A store of a test's own. url: of the server; empty: chDB in the folder."""

    folder: Path
    url: str = ""

    def settings(self, **changes: Any) -> AnalyticsSettings:
        return SETTINGS.model_copy(update={"olap_url": self.url, **changes})

    def analytics(self, fake: FakeBooks | None = None, **changes: Any) -> AbstractAsyncContextManager[Desk]:
        """Started over the store; what an earlier one left there is found again."""
        return analytics(self.folder, fake, self.settings(**changes))


@contextmanager
def new_place(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    if kind == "chdb":
        yield Place(folder)
        return
    server: ClickHouse = request.getfixturevalue("clickhouse")
    url = server.create_database()
    yield Place(folder, url)
    server.restore()
    server.drop_database(url)


KIT = SimpleNamespace(
    FakeBooks=FakeBooks,
    DAY=DAY,
    HOUR=HOUR,
    NOON=NOON,
    SETTINGS=SETTINGS,
    analytics=analytics,
    decision=decision,
    new_place=new_place,
    posting=posting,
    request=request,
    sums=sums,
    until=until,
    usage=usage,
    workers=workers,
)


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """What is defined above."""
    return KIT


@pytest.fixture(params=["chdb", "clickhouse"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with new_place(request.param, tmp_path, request) as place:
        yield place


@pytest.fixture(scope="module", params=["chdb", "clickhouse"])
def shared_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """For tests that only ask."""
    with new_place(request.param, tmp_path_factory.mktemp("store"), request) as place:
        yield place


@pytest.fixture
async def desk(place: Place) -> AsyncIterator[Desk]:
    async with place.analytics() as running:
        yield running
