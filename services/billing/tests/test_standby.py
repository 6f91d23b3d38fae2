"""Several processes over one database: one keeps the books, whatever happens to it, and they stay exact."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from hive_billing.auditing import audit
from hive_billing.ledger import PostingKind
from hive_billing.ownership import OwnedDatabase, Shared
from hive_billing.service import MIGRATIONS
from hive_billing.store import Store
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_sql import Database, migrate
from hive_testing.servers.postgres import Postgres
from modelhive.events.v1.usage_pb2 import UsageRecorded

KEEPER = Path(__file__).with_name("keeper.py")
COST = 1000
TELLERS = BORROWERS = 4
START_SECONDS = 90.0


class Keeper:
    """One process of billing."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._numbers = count(1)
        self._up: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._asked = {0: self._up}
        self._reading = asyncio.ensure_future(self._read())

    async def is_up(self) -> None:
        async with asyncio.timeout(START_SECONDS):
            assert await self._up == "up"

    async def ask(self, seconds: float = 10.0, **question: Any) -> str:
        """`silence` where no answer comes in time."""
        id = next(self._numbers)
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._asked[id] = answer
        assert self.process.stdin is not None
        try:
            async with asyncio.timeout(seconds):
                self.process.stdin.write(json.dumps({"id": id, **question}).encode() + b"\n")
                return await answer
        except (TimeoutError, ConnectionError):
            return "silence"

    async def is_at_work(self) -> bool:
        return await self.ask() == "ok"

    async def leave(self) -> None:
        """As on SIGTERM: it finishes, and ends."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        async with asyncio.timeout(30):
            assert await self.process.wait() == 0

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            answer = json.loads(line)
            future = self._asked.pop(answer["id"])
            if not future.done():
                future.set_result(answer["found"])


class Company:
    """Processes over one database, and tellers of usage that go on until somebody has what they tell."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.keepers: list[Keeper] = []
        self.started: list[Keeper] = []
        self.told = 0
        self.strange: set[str] = set()
        self._folder = folder
        self._numbers = count(1)
        self._stop = asyncio.Event()

    async def start(self, name: str) -> Keeper:
        command = [sys.executable, str(KEEPER), self.url, str(self._folder), name]
        with (self._folder / f"{name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=log)
        keeper = Keeper(process)
        self.started.append(keeper)
        await keeper.is_up()
        self.keepers.append(keeper)
        return keeper

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        tellers = [asyncio.ensure_future(self._tell()) for _ in range(TELLERS)]
        tellers += [asyncio.ensure_future(self._borrow(f"h{number}")) for number in range(BORROWERS)]
        try:
            yield
        finally:
            self._stop.set()
            async with asyncio.timeout(60):
                await asyncio.gather(*tellers)

    async def more(self, least: int = 100) -> None:
        """Returns when so many more have been told."""
        await until(lambda known=self.told + least: is_true(self.told >= known))  # type: ignore[misc]

    async def _tell(self) -> None:
        turn = 0
        while not self._stop.is_set():
            number = next(self._numbers)
            event = UsageRecorded(
                request_id=f"req_{number}",
                attempt=1,
                call=1,
                tenant_id="default",
                key_id="key_1",
                model="m",
                provider="p",
                deployment="p/m",
                started_unix_ms=1_795_564_800_000,
                cost_nanos=COST,
                holder="h",
                sequence=number,
                scopes=["wallet:default"],
            )
            turn = await self._until_taken(turn, events=[event.SerializeToString().hex()])
            self.told += 1

    async def _borrow(self, holder: str) -> None:
        turn = 0
        while not self._stop.is_set():
            turn = await self._until_taken(turn, lend=holder)
            turn = await self._until_taken(turn, free=holder)

    async def _until_taken(self, turn: int, **question: Any) -> int:
        """By whoever keeps the books: who that is, is tried."""
        while (found := await self.keepers[turn % len(self.keepers)].ask(1.0, **question)) != "ok":
            turn += 1
            if found not in ("unavailable", "silence"):
                self.strange.add(found)
            await asyncio.sleep(0.02)
        return turn

    async def check(self) -> None:
        """Every event that was taken is on the books once, and the books fit together."""
        assert self.strange == set()
        database = Database(self.url + "?schema=billing")
        done, balances = await audit(database)
        assert done.problems == []
        async with database.read() as connection:
            ledger = await Store(connection).listed(limit=1_000_000)
        await database.close()
        causes = [posting.cause for posting in ledger if posting.kind is PostingKind.USAGE]
        assert len(causes) == len(set(causes)) == self.told
        assert balances["revenue"].amount == COST * self.told
        # Of what borrowers held at that moment the operator paid: told usage is carried by no lease here.
        paid = 1000 * 10**9 - balances["wallet:default"].amount
        by_operator = -balances["overrun"].amount if "overrun" in balances else 0
        assert paid + by_operator == COST * self.told


async def is_true(value: bool) -> bool:
    return value


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


@pytest.fixture
async def company(postgres: Postgres, tmp_path: Path) -> AsyncIterator[Company]:
    url = postgres.create_database()
    await migrate(url + "?schema=billing", MIGRATIONS)
    company = Company(url, tmp_path)
    try:
        yield company
    finally:
        for keeper in company.started:
            await keeper.end()
        if postgres.how == "started here":
            postgres.restore()
        postgres.drop_databases([url])


async def test_the_second_process_stands_by_and_says_so(company: Company) -> None:
    first, second = await company.start("a"), await company.start("b")
    assert await first.ask() == "ok"
    assert await second.ask() == "standby: another process keeps the books"
    assert await second.ask(events=[]) == "unavailable"
    assert await first.ask(events=[]) == "ok"


async def test_a_clean_end_hands_the_books_over(company: Company) -> None:
    """Three times, as a rolling restart does it; nobody waits for the first one's time to pass."""
    keeper = await company.start("a")
    async with company.load():
        for name in "bcd":
            await company.more()
            following = await company.start(name)
            await company.more()
            await keeper.leave()
            company.keepers.remove(keeper)
            await until(following.is_at_work)
            keeper = following
        await company.more()
    await company.check()


async def test_the_death_of_the_keeper_loses_nothing(company: Company) -> None:
    first, second = await company.start("a"), await company.start("b")
    async with company.load():
        await company.more()
        first.process.kill()
        await until(second.is_at_work)
        await company.more()
        again = await company.start("c")
        second.process.kill()
        await until(again.is_at_work)
        await company.more()
    await company.check()


async def test_a_keeper_that_slept_through_its_time_writes_nothing_any_more(company: Company) -> None:
    first, second = await company.start("a"), await company.start("b")
    keepers = {True: first, False: second}
    async with company.load():
        for sleeper in (True, False, True):
            await company.more()
            assert await keepers[sleeper].is_at_work()
            keepers[sleeper].process.send_signal(signal.SIGSTOP)
            await until(keepers[not sleeper].is_at_work)
            await company.more()
            keepers[sleeper].process.send_signal(signal.SIGCONT)
            await until(lambda it=keepers[sleeper]: stands_by(it))  # type: ignore[misc]
            await company.more()
    await company.check()


async def stands_by(keeper: Keeper) -> bool:
    return (await keeper.ask()).startswith("standby")


async def test_a_database_that_is_away_for_a_while_is_waited_for(
    company: Company, postgres: Postgres
) -> None:
    first, second = await company.start("a"), await company.start("b")
    async with company.load():
        await company.more()
        await asyncio.to_thread(postgres.kill)
        await until(lambda: is_refused(first))
        assert await second.ask(events=[]) == "unavailable"
        await asyncio.to_thread(postgres.start)
        await company.more()
        postgres.pause()
        await asyncio.sleep(2)  # longer than the books are anybody's without a sign of life
        postgres.resume()
        await company.more()
    await company.check()


async def is_refused(keeper: Keeper) -> bool:
    return await keeper.ask(events=[UsageRecorded(holder="x", sequence=1).SerializeToString().hex()]) != "ok"


# The row alone


class Row:
    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = SystemClock()
        self.plain = Database(url)
        self.databases = [self.plain]

    def of(self, name: str, seconds: float = 60.0) -> tuple[Shared, OwnedDatabase]:
        ownership = Shared(self.plain, name, seconds, self.clock)
        database = OwnedDatabase(self.url, ownership)
        self.databases.append(database)
        return ownership, database

    async def ends_ms(self) -> int:
        async with self.plain.read() as connection:
            return int((await connection.execute(text("SELECT until_ms FROM ownership"))).scalar_one())

    async def ends_behind(self, moment_ms: int) -> bool:
        return await self.ends_ms() > moment_ms

    async def expire(self) -> None:
        async with self.plain.transaction() as connection:
            await connection.execute(text("UPDATE ownership SET until_ms = 1"))


@pytest.fixture
async def row(postgres: Postgres) -> AsyncIterator[Row]:
    url = postgres.create_database()
    await migrate(url, MIGRATIONS)
    row = Row(url)
    yield row
    for database in row.databases:
        await database.close()
    postgres.drop_databases([url])


def refused(ownership: Shared) -> bool:
    try:
        ownership.check()
    except HiveError as error:
        assert (error.kind, error.retry_after) == (Kind.UNAVAILABLE, 1)
        return True
    return False


async def mark(database: OwnedDatabase, value: int) -> None:
    async with database.transaction() as connection:
        await connection.execute(text(f"INSERT INTO marks VALUES ('m{value}', {value})"))


async def test_one_of_many_gets_the_books(row: Row) -> None:
    all = [row.of(str(number))[0] for number in range(5)]
    taken = await asyncio.gather(*(each.try_to_take() for each in all))
    assert sorted(taken) == [False] * 4 + [True]
    assert [refused(each) for each in all] == [not each for each in taken]


async def test_what_was_released_is_free_at_once(row: Row) -> None:
    (one, ones), (other, others) = row.of("a"), row.of("b")
    assert await one.try_to_take() and not await other.try_to_take()
    await one.release()
    assert refused(one) and await other.try_to_take()
    await mark(others, 1)
    with pytest.raises(HiveError):
        await mark(ones, 2)


async def test_a_former_owner_writes_nothing_and_is_told(row: Row) -> None:
    (one, ones), (other, others) = row.of("a"), row.of("b")
    await one.try_to_take()
    await mark(ones, 1)
    await row.expire()
    await mark(ones, 2)  # nobody else has them yet
    assert await other.try_to_take()
    assert not refused(one)  # it has not heard of it
    with pytest.raises(HiveError) as caught:
        await mark(ones, 3)
    assert caught.value.kind is Kind.UNAVAILABLE
    assert refused(one)
    await mark(others, 4)
    async with row.plain.read() as connection:
        found = await connection.execute(text("SELECT value FROM marks ORDER BY 1"))
        assert found.scalars().all() == [1, 2, 4]


async def test_a_take_over_waits_for_what_is_being_written(row: Row) -> None:
    (one, ones), (other, _) = row.of("a"), row.of("b")
    await one.try_to_take()
    await row.expire()
    async with ones.transaction() as connection:
        taking = asyncio.ensure_future(other.try_to_take())
        await until(lambda: waits(row))
        assert not taking.done()
        await connection.execute(text("INSERT INTO marks VALUES ('m', 1)"))
    assert await taking


async def waits(row: Row) -> bool:
    async with row.plain.read() as connection:
        found = await connection.execute(
            text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        )
        return bool(found.scalar_one())


async def test_an_owner_renews_until_it_is_lost(row: Row) -> None:
    one, _ = row.of("a", seconds=2.0)
    await one.try_to_take()
    began = await row.ends_ms()
    keeping = asyncio.ensure_future(one.keep())
    await until(lambda: row.ends_behind(began))
    assert not refused(one)
    async with row.plain.transaction() as connection:
        await connection.execute(text("UPDATE ownership SET epoch = epoch + 1"))
    async with asyncio.timeout(10):
        await keeping
    assert refused(one)


async def test_an_owner_without_a_sign_of_life_says_nothing_any_more(row: Row) -> None:
    (one, ones), _ = row.of("a", seconds=0.3), None
    await one.try_to_take()
    await until(lambda: is_true(refused(one)))
    await mark(ones, 1)  # but nobody else has written
    keeping = asyncio.ensure_future(one.keep())
    await until(lambda: is_true(not refused(one)))
    keeping.cancel()
