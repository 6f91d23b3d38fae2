"""Purses and the books together, with messages that take as long as they like and processes that sleep.

Whatever is late: no process can spend what is not booked for it, and once everything has arrived, what is booked for
one is exactly what it has.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hive_billing.accounts import Accounts, ApiKey, Tenant
from hive_billing.auditing import audit
from hive_billing.bookkeeper import Bookkeeper
from hive_billing.books import Books
from hive_billing.leases import Granted, Position, Said, Spans
from hive_billing.ledger import Usage
from hive_billing.lender import Asked, Given, Lender
from hive_billing.rooms import ThreadRoom
from hive_billing.service import MIGRATIONS
from hive_billing.writer import Writer
from hive_routing.holds import Hold, Lease, Lent, Purse, Renewed, Terms
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks
from hive_sql import Database, migrate

T = TypeVar("T")
LENT, BOOKED = 5.0, 15.0
CREDIT = 1000
HOLDERS = ("a", "b")
KEYS = {"k": ("wallet:t",), "b": ("budget:b",)}
WHICH = st.integers(0, 30)


class StillClock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return 1_795_564_800.0 + self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody has to sleep here")


class Post:
    """Where messages lie until they are delivered, in whatever order. at_once: they do not lie there at all."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []
        self.at_once = False

    async def way(self) -> None:
        if self.at_once:
            return
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        await future

    def deliver(self, which: int) -> None:
        self.waiting.pop(which % len(self.waiting)).set_result(None)


@dataclass
class PostedBank:
    """A `Bank`: each question and each answer lies in the post."""

    lender: Lender
    holder: str
    post: Post
    clock: StillClock
    closed: Counter[str]

    async def lend(
        self, tenant_id: str, key_id: str, wanted: int, wants: Mapping[str, int] | None, generation: int
    ) -> Lent:
        until, through = self.clock.monotonic() + LENT, self.closed[self.holder]
        await self.post.way()
        asked = Asked(
            self.holder, f"at/{self.holder}", tenant_id, key_id, wants or {}, wanted, generation, through
        )
        answer = await self.lender.acquire(asked)
        await self.post.way()
        terms = Terms(tuple(answer.terms.scopes), False, 1, until)
        if isinstance(answer, Granted):
            slices = {each.scope: each.amount for each in answer.slices}
            return Lent(terms, slices, generation=answer.generation)
        return Lent(terms, {}, answer.scope, answer.free, answer.generation)

    async def renew(
        self, leases: Mapping[str, Lease], generation: int, number: int, last_exact: int
    ) -> Renewed:
        until = self.clock.monotonic() + LENT
        positions = [Position(scope, lease.amount) for scope, lease in leases.items()]
        said = Said(positions, generation, self.closed[self.holder], number, last_exact)
        await self.post.way()
        known, now = await self.lender.renew(self.holder, f"at/{self.holder}", said)
        await self.post.way()
        return Renewed(until if known else None, now)

    async def give_back(self, slices: Mapping[str, int], last: bool, generation: int) -> None:
        await self.post.way()
        await self.lender.give_back(self.holder, slices, last=last, settled=False, generation=generation)


@dataclass
class PostedHolders:
    post: Post
    purses: dict[str, Purse] = field(default_factory=dict)

    async def recall(self, address: str, holder: str, scope: str, amount: int) -> Given:
        await self.post.way()
        purse = self.purses[holder]
        given = Given(purse.recall({scope: amount}), purse.generation)
        await self.post.way()
        return given


class Together(RuleBasedStateMachine):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock, self.post = StillClock(), Post()
        self.failures: list[BaseException] = []
        self.calls: list[tuple[str, str, Hold]] = []
        self.usages: list[Usage] = []
        self.closed = Counter[str]()
        self.run(self._open(url))

    async def _open(self, url: str) -> None:
        self.database = Database(url)
        self.room = ThreadRoom(url)
        self.tasks = Tasks(lambda name, error: self.failures.append(error))
        accounts = Accounts()
        accounts.put_tenant(Tenant("t", prepaid=True))
        accounts.put_key(ApiKey("k", "t"))
        accounts.put_key(ApiKey("b", "t", has_budget=True))
        self.writer = Writer(self.room, accounts, self.clock, Spans(LENT, BOOKED), lambda draft, books: None)
        holders = PostedHolders(self.post)
        self.lender = Lender(self.writer, accounts, holders, self.clock, self.tasks, fewest_holders=2)
        self.bookkeeper = Bookkeeper(self.writer, accounts, self.lender.recall)
        self.purses = holders.purses
        for name in HOLDERS:
            bank = PostedBank(self.lender, name, self.post, self.clock, self.closed)
            self.purses[name] = Purse(bank, self.clock)
        await self.writer.open()
        self.tasks.spawn(self.writer.run(), "writer")
        await self.bookkeeper.credit("t", 2 * CREDIT, "first", "manual")
        await self.bookkeeper.fund("t", "b", CREDIT, "budget", empty=False)

    def run(self, work: Awaitable[T]) -> T:
        async def main() -> T:
            return await work

        return self.runner.run(main())

    async def _quiet(self) -> None:
        """Until everybody waits for the post, or for nothing."""
        while True:
            before = len(self.post.waiting), len(self.tasks), len(self.calls)
            for _ in range(16):  # of two that wait for the same key, one goes after the other
                await self.writer.drain()
                await asyncio.sleep(0)
            if before == (len(self.post.waiting), len(self.tasks), len(self.calls)):
                return

    def teardown(self) -> None:
        async def close() -> None:
            await self.tasks.close()
            await self.room.close()
            await self.database.close()

        self.run(close())
        self.runner.close()

    # What may happen

    @rule(holder=st.sampled_from(HOLDERS), key=st.sampled_from(sorted(KEYS)), amount=st.integers(0, 250))
    def call(self, holder: str, key: str, amount: int) -> None:
        async def call() -> None:
            purse = self.purses[holder]
            try:
                terms = await purse.terms("t", key, 0)
                self.calls.append((holder, key, await purse.hold("t", key, terms, amount)))
            except HiveError as error:
                assert error.kind in (Kind.BUDGET_EXCEEDED, Kind.UNAVAILABLE), error

        self._spawn(call())

    @precondition(lambda self: self.calls)
    @rule(which=WHICH, part=st.integers(0, 100))
    def end(self, which: int, part: int) -> None:
        """A call ends, and cost a part of what was held for it; the usage is told some time later."""
        holder, key, hold = self.calls.pop(which % len(self.calls))
        cost, scopes = hold.amount * part // 100, hold.scopes
        carried = hold.settle(cost)
        self.closed[holder] += 1
        usage = Usage(
            request_id=f"req_{holder}_{self.closed[holder]}",
            attempt=1,
            call=1,
            tenant_id="t",
            key_id=key,
            occurred_ms=round(self.clock.now() * 1000),
            cost=cost,
            provider_cost=0,
            scopes=scopes,
            holder=holder,
            sequence=self.closed[holder],
            carried=carried,
            generation=self.purses[holder].generation,
        )
        self.usages.append(usage)

    @precondition(lambda self: self.usages)
    @rule(which=WHICH)
    def tell(self, which: int) -> None:
        self.run(self.bookkeeper.settle([self.usages.pop(which % len(self.usages))]))

    @rule(holder=st.sampled_from(HOLDERS))
    def renew(self, holder: str) -> None:
        self._spawn(self.purses[holder].renew())

    @precondition(lambda self: self.post.waiting)
    @rule(which=WHICH, in_time=st.booleans())
    def deliver(self, which: int, in_time: bool) -> None:
        """in_time: whoever waits for what others give back, waits until they have answered."""
        self.lender.recall_seconds = 0.0
        self.post.at_once = in_time
        self.post.deliver(which)
        if in_time:
            self.lender.recall_seconds = 10.0
        self.run(self._quiet())
        self.post.at_once = False

    @rule()
    def deliver_all(self) -> None:
        self._deliver_all()

    @rule(seconds=st.sampled_from([1, 6, 21]), expires=st.booleans(), ended=st.integers(0, 3))
    def time_passes(self, seconds: int, expires: bool, ended: int) -> None:
        """Some calls end before their process hears what billing did meanwhile."""
        self.clock.time += seconds
        if expires:
            self.run(self.lender.expire())
        for which in range(min(ended, len(self.calls))):
            self.end(which, 100)

    @rule()
    def all_arrives(self) -> None:
        """Then nothing is booked for a holder but what it has, and nobody is refused what is free."""
        self._deliver_all()
        if self.usages:
            self.run(self.bookkeeper.settle(self.usages))
            self.usages.clear()
        for holder, purse in self.purses.items():
            self._renew_now(holder)
            for scope in ("wallet:t", "budget:b"):
                has = purse._leases[scope].amount if scope in purse._leases else 0
                assert self.books.lease(holder, scope) == has, (holder, scope)
        found, _ = self.run(audit(self.database))
        assert found.problems == []
        assert self.failures == []

    # What must hold

    @invariant()
    def nobody_can_spend_what_is_not_booked_for_it(self) -> None:
        now, books = self.clock.monotonic(), self.books
        for holder, purse in self.purses.items():
            known = books.holders.get(holder)
            current = known is None or known.generation == purse.generation
            for scope, lease in purse._leases.items():
                told_later = sum(
                    usage.carried
                    for usage in self.usages
                    if usage.holder == holder
                    and usage.generation == purse.generation
                    and scope in usage.scopes
                )
                if current:
                    assert lease.amount + told_later <= books.lease(holder, scope), (holder, scope)
                else:
                    assert lease.amount == 0 or lease.until <= now, (holder, scope)

    # Helpers

    @property
    def books(self) -> Books:
        return self.run(self.writer.ask(lambda books, found: books))

    def _spawn(self, work: Any) -> None:
        async def spawn() -> None:
            self.tasks.spawn(work, "something that a process does")
            await self._quiet()

        self.run(spawn())

    def _deliver_all(self) -> None:
        self.lender.recall_seconds = 10.0
        self.post.at_once = True
        while self.post.waiting:
            self.post.deliver(0)
            self.run(self._quiet())
        self.post.at_once = False

    def _renew_now(self, holder: str) -> None:
        self.post.at_once = True
        self.run(self.purses[holder].renew())
        self.post.at_once = False


def test_whatever_is_late(tmp_path: Path) -> None:
    template = tmp_path / "template.db"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{template}", MIGRATIONS))
    numbers = iter(range(1_000_000))

    def make() -> Together:
        path = tmp_path / f"{next(numbers)}.db"
        path.write_bytes(template.read_bytes())
        return Together(f"sqlite+aiosqlite:///{path}")

    machine: Any = make  # by its types it has to be a class
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=100,
            stateful_step_count=60,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],  # add Phase.shrink for a shorter example
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
