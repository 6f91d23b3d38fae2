"""Billing's parts over a real database, on a clock that stands still; they can crash and be started again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection

from hive_billing.accounts import Accounts, ApiKey, Tenant
from hive_billing.audit import Audit
from hive_billing.auditing import audit
from hive_billing.bookkeeper import Bookkeeper
from hive_billing.books import Books, Draft
from hive_billing.leases import Granted, Position, Said, Short, Spans
from hive_billing.ledger import Posting, Usage
from hive_billing.lender import Asked, Given, Lender
from hive_billing.loading import Found
from hive_billing.payments import PaymentProvider, Sandbox
from hive_billing.recharges import Recharger
from hive_billing.rooms import Room, room_of
from hive_billing.service import MIGRATIONS
from hive_billing.store import Store
from hive_billing.writer import Writer
from hive_runtime.tasks import Tasks
from hive_sql import Database, migrate
from hive_testing.servers.postgres import Postgres

T = TypeVar("T")

NOW = 1_795_564_800.0  # Wednesday, 2026-11-25, midnight
DAY = 86_400.0
DOLLAR = 1_000_000_000


class SteppedClock:
    """Time stands still until `advance`."""

    def __init__(self) -> None:
        self.time = NOW
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


class FragileRoom:
    """Fails once where `trouble` says so: `before` the commit, or `after` it, before anybody hears of it."""

    def __init__(self, room: Room) -> None:
        self.trouble = ""
        self._room = room

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._room.read(work)

    async def write(self, work: Callable[[Connection], T], *, durable: bool) -> T:
        def fail_before(connection: Connection) -> T:
            result = work(connection)
            self._fail("before")
            return result

        result = await self._room.write(fail_before, durable=durable)
        self._fail("after")
        return result

    async def close(self) -> None:
        await self._room.close()

    def _fail(self, place: str) -> None:
        if self.trouble == place:
            self.trouble = ""
            raise OSError("the disk is gone")


class FakeHolders:
    """Holders that give back what lies idle. idle: by holder and scope; silent: those that do not answer.

    generation: of what they have; answers: set once those that are silent answer.
    """

    def __init__(self) -> None:
        self.idle: dict[tuple[str, str], int] = {}
        self.silent: set[str] = set()
        self.asked: list[tuple[str, str, int]] = []
        self.generation = 0
        self.answers = asyncio.Event()

    async def recall(self, address: str, holder: str, scope: str, amount: int) -> Given:
        self.asked.append((holder, scope, amount))
        if holder in self.silent:
            await self.answers.wait()
        given = min(amount, self.idle.get((holder, scope), 0))
        if given:
            self.idle[holder, scope] -= given
        return Given({scope: given} if given else {}, self.generation)


class FakePayments:
    """Counts what it charges. trouble: `before` or `after` charging it fails, so often as the list is long."""

    name = "fake"

    def __init__(self) -> None:
        self.charged: dict[str, int] = {}
        self.trouble: list[str] = []
        self.refusal: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def charge(self, idempotency_key: str, tenant_id: str, amount: int) -> str:
        await self.open.wait()
        if self.refusal is not None:
            raise self.refusal
        trouble = self.trouble.pop() if self.trouble else ""
        if trouble == "before":
            raise ConnectionError("nobody there")
        self.charged.setdefault(idempotency_key, amount)
        if trouble == "after":
            raise ConnectionError("the answer was lost")
        return f"pay_{idempotency_key}"


@dataclass
class House:
    """Billing without its doors. Amounts are nano-dollars."""

    url: str
    clock: SteppedClock = field(default_factory=SteppedClock)
    accounts: Accounts = field(default_factory=Accounts)
    holders: FakeHolders = field(default_factory=FakeHolders)
    payments: PaymentProvider | None = None
    posted: list[Posting] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    patience: float = 0.01
    _requests: Iterator[int] = field(default_factory=lambda: count(1))

    async def start(self) -> None:
        self.database = Database(self.url)
        self.room = FragileRoom(room_of(self.url, self.database))
        self.tasks = Tasks(lambda name, error: self.failures.append(error))
        accounts, clock = self.accounts, self.clock
        self.writer = Writer(self.room, accounts, clock, Spans(), self._note)
        self.lender = Lender(
            self.writer,
            accounts,
            self.holders,
            clock,
            self.tasks,
            self.patience,
            recall_seconds=0.05,
            recharge_seconds=5.0,
        )
        payments = self.payments or Sandbox(self.database, clock)
        self.recharger = Recharger(self.writer, accounts, payments, self.lender.recall, clock, self.tasks)
        self.lender.recharger = self.recharger
        self.bookkeeper = Bookkeeper(self.writer, accounts, self.lender.recall, self.patience)
        await self.writer.open()
        self.tasks.spawn(self.writer.run(), "writer")
        await self.recharger.resume()

    async def crash(self) -> None:
        """All memory is lost; the tables stay as they are."""
        await self.tasks.close()
        await self.room.close()
        await self.database.close()

    async def restart(self) -> None:
        await self.crash()
        await self.start()

    async def settled(self) -> None:
        """Wait until no recharge runs; those that wait for another try get it."""
        async with asyncio.timeout(5):
            while len(self.tasks) > 1:
                if self.clock.sleepers:
                    self.clock.advance(1)
                await asyncio.sleep(0)

    # What operators decide

    def tenant(self, id: str = "t", **fields: Any) -> Tenant:
        tenant = Tenant(id, **{"prepaid": True, **fields})
        self.accounts.put_tenant(tenant)
        return tenant

    def key(self, id: str = "k", tenant: str = "t", **fields: Any) -> ApiKey:
        key = ApiKey(id, tenant, **fields)
        self.accounts.put_key(key)
        return key

    # What holders do

    async def acquire(
        self,
        wanted: int = 0,
        *,
        key: str = "k",
        tenant: str = "t",
        holder: str = "h",
        generation: int = 0,
        through: int = 0,
        **wants: int,
    ) -> Granted | Short:
        asked = Asked(holder, f"at/{holder}", tenant, key, wants, wanted, generation, through)
        return await self.lender.acquire(asked)

    async def lent(self, wanted: int = 0, **options: Any) -> dict[str, int]:
        """What the holder gets of each scope; it must get it."""
        answer = await self.acquire(wanted, **options)
        assert isinstance(answer, Granted), answer
        return {each.scope: each.amount for each in answer.slices}

    async def short(self, wanted: int, **options: Any) -> tuple[str, int]:
        """The scope that is short, and what is free of it."""
        answer = await self.acquire(wanted, **options)
        assert isinstance(answer, Short), answer
        return answer.scope, answer.free

    async def reports(self, has: int, **said: int) -> None:
        """The holder `h` renews and says that it has so much of the wallet of `t`."""
        report = Said([Position("wallet:t", has)], **{"generation": 1, **said})
        await self.lender.renew("h", "at/h", report)

    def usage(self, cost: int, **fields: Any) -> Usage:
        """One attempt of a request of its own, held in the wallet of `t` and not carried by a lease."""
        usual = {
            "request_id": f"req_{next(self._requests)}",
            "attempt": 1,
            "call": 1,
            "tenant_id": "t",
            "key_id": "k",
            "occurred_ms": round(self.clock.now() * 1000),
            "provider_cost": 0,
            "provider": "p",
            "model": "m",
            "deployment": "p/m",
            "scopes": ("wallet:t",),
            "holder": "h",
        }
        return Usage(**{**usual, "cost": cost, **fields})

    async def settle(self, *usages: Usage) -> None:
        await self.bookkeeper.settle(usages)

    # How it stands

    async def balances(self) -> dict[str, int]:
        """Every account that is not zero."""
        found = await self.writer.ask(lambda books, found: {a: b.amount for a, b in books.balances.items()})
        return {account: amount for account, amount in found.items() if amount}

    async def balance(self, account: str) -> int:
        return (await self.balances()).get(account, 0)

    async def leases(self) -> dict[tuple[str, str], int]:
        return await self.writer.ask(
            lambda books, found: {
                (holder, scope): amount
                for scope, each in books.leased.items()
                for holder, amount in each.by_holder.items()
            }
        )

    async def free(self, scope: str) -> int:
        def decide(books: Books, found: Found) -> int:
            books.require([scope])
            return books.free(scope)

        return await self.writer.ask(decide)

    async def ledger(self) -> list[Posting]:
        async with self.database.read() as connection:
            return await Store(connection).listed(limit=100_000)

    async def audit(self) -> Audit:
        done, _ = await audit(self.database)
        return done

    def _note(self, draft: Draft, books: Books) -> None:
        self.posted += draft.postings
        self.conflicts += draft.conflicts
        for account in draft.balances:
            self.recharger.start_where_low(books, account)


@asynccontextmanager
async def opened(url: str, **fields: Any) -> AsyncIterator[House]:
    """A house that is sound at its end: the books fit together, and no task was lost."""
    house = House(url, **fields)
    await house.start()
    try:
        yield house
        await house.settled()
        assert (await house.audit()).problems == []
    finally:
        await house.crash()
    assert house.failures == []


class Databases:
    """Makes empty databases with billing's tables, fast: each is a copy of one that was migrated."""

    async def make(self) -> str:
        raise NotImplementedError

    async def clear(self) -> None:
        """Drop what was made so far."""


class SqliteDatabases(Databases):
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()

    async def make(self) -> str:
        template = self._folder / "template.db"
        if not template.exists():
            await migrate(f"sqlite+aiosqlite:///{template}", MIGRATIONS)
        copy = self._folder / f"{next(self._numbers)}.db"
        await asyncio.to_thread(shutil.copy, template, copy)
        return f"sqlite+aiosqlite:///{copy}"


class PostgresDatabases(Databases):
    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._template = ""
        self._made: list[str] = []

    async def make(self) -> str:
        if not self._template:
            self._template = self._server.create_database()
            await migrate(self._template, MIGRATIONS)
        made = await asyncio.to_thread(self._server.create_database, template=self._template)
        self._made.append(made)
        return made

    async def clear(self) -> None:
        await asyncio.to_thread(self._server.drop_databases, self._made)
        self._made.clear()

    def drop_template(self) -> None:
        if self._template:
            self._server.drop_databases([self._template])


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> Databases:
    return SqliteDatabases(tmp_path_factory.mktemp("billing"))


@pytest.fixture(scope="session")
def postgres_databases(postgres: Postgres) -> Iterator[Databases]:
    databases = PostgresDatabases(postgres)
    yield databases
    databases.drop_template()


@pytest.fixture(params=["sqlite", "postgres"])
async def databases(request: pytest.FixtureRequest) -> AsyncIterator[Databases]:
    """Every test that asks for it runs on both."""
    found: Databases = request.getfixturevalue(f"{request.param}_databases")
    yield found
    await found.clear()


@pytest.fixture
def open_house(databases: Databases) -> Callable[..., AbstractAsyncContextManager[House]]:
    """Opens an empty house over a database of its own, or over the one of `url`; fields are those of `House`."""

    @asynccontextmanager
    async def opening(url: str = "", **fields: Any) -> AsyncIterator[House]:
        async with opened(url or await databases.make(), **fields) as house:
            yield house

    return opening


@pytest.fixture
def charges() -> FakePayments:
    return FakePayments()


@pytest.fixture
async def house(databases: Databases) -> AsyncIterator[House]:
    """Prepaid tenant `t` with the key `k`, which spends from its wallet of $10."""
    async with opened(await databases.make()) as house:
        house.tenant()
        house.key()
        await house.bookkeeper.credit("t", 10 * DOLLAR, "first", "manual")
        yield house
