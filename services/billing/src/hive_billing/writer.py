"""The single writer: takes what is to be decided in order, folds it into transactions, and answers once they stand.

A batch is decided in memory, written, and only then answered. Where writing fails, everybody in the batch is told
so and the books are read anew, so that memory never runs ahead of the tables. What reads the books is a job too:
it never sees what is not written yet.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from hive_billing import funding
from hive_billing.accounts import Accounts, CapScope, is_cap
from hive_billing.books import Books, CapsNotOpen, Draft
from hive_billing.leases import Spans
from hive_billing.loading import Found, find, load, spent
from hive_billing.rooms import Room
from hive_billing.writing import write
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_sql import is_of_data

log = structlog.get_logger(__name__)

T = TypeVar("T")

BATCH = 512
"""Attempts that one transaction settles at most."""


@dataclass(slots=True, eq=False)
class Job(Generic[T]):
    """One thing to decide; it changes the books, or raises HiveError before it does.

    requests, causes: what it has to know of the ledger. scopes: the caps among them are open when it decides.
    durable: it outlives a loss of power. weight: how many of them make a batch, in attempts.
    """

    decide: Callable[[Books, Found], T]
    requests: Sequence[str] = ()
    causes: Sequence[str] = ()
    scopes: Callable[[Found], Iterable[str]] = lambda found: ()
    durable: bool = False
    weight: int = 1
    answer: asyncio.Future[T] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Writer:
    """`run` in a task."""

    def __init__(
        self,
        room: Room,
        accounts: Accounts,
        clock: Clock,
        spans: Spans,
        on_committed: Callable[[Draft, Books], None],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """check: HiveError where this process may not speak for the books; asked where nothing is written."""
        self.failure: Exception | None = None
        self.spans = spans
        self._room = room
        self._accounts = accounts
        self._clock = clock
        self._on_committed = on_committed
        self._check = check
        self._left = False
        self._books: Books | None = None
        self._jobs: deque[Job[Any]] = deque()
        self._woken = asyncio.Event()
        self._kept: dict[str, int] = {}

    async def open(self) -> int:
        """Read the books; the sequence of the last posting."""
        self._books = await self._load()
        return self._books.sequence

    def submit(self, job: Job[T]) -> Awaitable[T]:
        """Raises what the job raises, and HiveError `unavailable` where the tables cannot be written."""
        if self._left:
            job.answer.set_exception(_refused())
            return job.answer
        self._jobs.append(job)
        self._woken.set()
        return job.answer

    async def ask(self, decide: Callable[[Books, Found], T], **needs: Any) -> T:
        return await self.submit(Job(decide, **needs))

    def kept(self, holder: str) -> int:
        """Every attempt up to this number, as the holder counts them, is written."""
        return self._kept.get(holder, 0)

    def live_addresses(self) -> list[str]:
        """Where the holders are reached that may grant from their leases."""
        if self._books is None:
            return []
        now = self._clock.monotonic()
        live = {each.address for each in self._books.holders.values() if each.is_live(now)}
        return sorted(live - {""})

    async def run(self) -> None:
        while True:
            while not self._jobs:
                self._woken.clear()
                await self._woken.wait()
            await self._work(self._next_batch())

    async def drain(self) -> None:
        """Wait until all that was submitted so far is answered."""
        await self.ask(lambda books, found: None)

    def leave(self) -> None:
        """Refuse what was not decided yet, and all that comes; `run` is to be cancelled."""
        self._left = True
        while self._jobs:
            self._answer([self._jobs.popleft()], [_refused()])

    def _next_batch(self) -> list[Job[Any]]:
        jobs: list[Job[Any]] = []
        weight = 0
        while self._jobs and (not jobs or weight + self._jobs[0].weight <= BATCH):
            job = self._jobs.popleft()
            if not job.answer.done():
                jobs.append(job)
                weight += job.weight
        return jobs

    async def _work(self, jobs: Sequence[Job[Any]]) -> None:
        try:
            outcomes = await self._transact(jobs)
        except asyncio.CancelledError:
            self._forget()
            self._answer(jobs, [_refused()] * len(jobs))
            raise
        except (SQLAlchemyError, HiveError, OSError) as error:
            self._forget()
            if is_of_data(error):
                await self._blame(jobs, error)
                return
            self.failure = error
            # A HiveError says that the database is away, or the books another's: that passes, and health tells.
            tell = log.warning if isinstance(error, HiveError) else log.error
            tell(
                "the books cannot be written", error=repr(error), cause=repr(error.__cause__), jobs=len(jobs)
            )
            self._answer(jobs, [_refused()] * len(jobs))
        except Exception as error:
            self._forget()
            await self._blame(jobs, error)
        else:
            self.failure = None
            self._answer(jobs, outcomes)

    async def _blame(self, jobs: Sequence[Job[Any]], error: Exception) -> None:
        """One of the jobs is broken: it alone gets the error."""
        if len(jobs) == 1:
            log.error("a change of the books failed", exc_info=error)
            self._answer(jobs, [error])
        for job in jobs if len(jobs) > 1 else ():
            await self._work([job])

    async def _transact(self, jobs: Sequence[Job[Any]]) -> list[Any]:
        """What each job came to: its result, or the HiveError that it raised."""
        if self._books is None:
            self._books = await self._load()
        books = self._books
        books.now_ms, books.monotonic = round(self._clock.now() * 1000), self._clock.monotonic()
        found = await self._find(jobs, books)
        await self._open_caps(books, {scope for job in jobs for scope in job.scopes(found)})
        outcomes = [await self._decide(job, books, found) for job in jobs]
        funding.sweep(books)
        draft = books.take_draft()
        if not draft.is_empty:
            durable = any(job.durable for job in jobs)
            await self._room.write(lambda connection: write(connection, draft, books), durable=durable)
            self._note_kept(books, draft.holders)
        else:
            self._check()
        self._on_committed(draft, books)
        return outcomes

    async def _find(self, jobs: Sequence[Job[Any]], books: Books) -> Found:
        requests = books.posted.among({id for job in jobs for id in job.requests})
        causes = {cause for job in jobs for cause in job.causes}
        if not requests and not causes:
            return Found()
        return await self._room.read(lambda connection: find(connection, requests, causes))

    async def _decide(self, job: Job[Any], books: Books, found: Found) -> Any:
        while True:
            try:
                before = len(books.draft.postings)
                result = job.decide(books, found)
            except CapsNotOpen as closed:
                await self._open_caps(books, closed.names)
            except HiveError as error:
                return error
            else:
                for posting in books.draft.postings[before:] if job.causes else ():
                    found.causes[posting.cause] = posting
                return result

    async def _open_caps(self, books: Books, scopes: Iterable[str]) -> None:
        closed = [scope for scope in scopes if is_cap(scope) and scope not in books.caps]
        if not closed:
            return
        caps = [CapScope.parse(name) for name in closed]
        sums = await self._room.read(lambda connection: spent(connection, caps))
        for name, cap, posted in zip(closed, caps, sums, strict=True):
            books.open_cap(name, posted + books.draft.spent(cap))

    async def _load(self) -> Books:
        now_ms, monotonic = round(self._clock.now() * 1000), self._clock.monotonic()
        books = await self._room.read(
            lambda connection: load(connection, self._accounts, now_ms, monotonic, self.spans)
        )
        self._note_kept(books, books.holders)
        return books

    def _note_kept(self, books: Books, holders: Iterable[str]) -> None:
        for name in holders:
            self._kept[name] = books.holders[name].kept.through

    def _forget(self) -> None:
        self._books = None

    def _answer(self, jobs: Sequence[Job[Any]], outcomes: Sequence[Any]) -> None:
        for job, outcome in zip(jobs, outcomes, strict=True):
            if job.answer.done():
                continue
            if isinstance(outcome, Exception):
                job.answer.set_exception(outcome)
            else:
                job.answer.set_result(outcome)


def _refused() -> HiveError:
    return HiveError(
        Kind.UNAVAILABLE, "The books cannot be written just now. Try again in a moment.", retry_after=1
    )
