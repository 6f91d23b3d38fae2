"""Tells every posting on the bus, in order, at least once: the ledger is its own outbox.

What was just written is told from memory; what is not at hand, after a start or while the bus was away for long,
is read from the ledger. A mark says how far the bus has everything.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

import structlog

from hive_billing.ledger import Posting
from hive_billing.messages import posted_of
from hive_billing.store import Store
from hive_billing.writer import Writer
from hive_bus.port import Bus, Retry
from hive_runtime.clock import Clock
from hive_sql import Database

log = structlog.get_logger(__name__)

MARK = "published"
AT_HAND = 20_000
PORTION = 500
MARK_SECONDS = 1.0
TURN = 64
"""So many postings are told at a time; then others get their turn."""


class Publisher:
    """`failure` is what the last attempt ended with; None while all is well."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        writer: Writer,
        clock: Clock,
        retry: Retry = Retry(),
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """check: HiveError where this process may not speak for the books."""
        self.failure: Exception | None = None
        self._database = database
        self._bus = bus
        self._writer = writer
        self._clock = clock
        self._retry = retry
        self._check = check
        self._ready: deque[Posting] = deque()
        self._written = 0
        self._published = 0
        self._marked = 0
        self._woken = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    async def open(self, written: int) -> None:
        """Find out how far everything was told; written: sequence of the last posting."""
        async with self._database.read() as connection:
            self._published = self._marked = await Store(connection).mark(MARK)
        self._written = written
        self._woken.set()

    def put(self, postings: Sequence[Posting]) -> None:
        """These were written: tell them. Costs nothing, may be called from anywhere in the loop's thread."""
        if not postings:
            return
        end = self._ready[-1].sequence if self._ready else self._written
        if end == self._written and len(self._ready) < AT_HAND and postings[0].sequence == end + 1:
            self._ready.extend(postings)
        self._written = postings[-1].sequence
        self._woken.set()

    async def run(self) -> None:
        """Tell until cancelled; after a failure with growing pauses."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._mark(), name="billing publisher's mark")
            group.create_task(self._publish_when_woken(), name="billing publisher")

    async def flush(self) -> None:
        """Tell all that is written now, and write down that it is told. Raises what bus or database raised."""
        await self._publish()
        await self._write_mark()

    async def _publish_when_woken(self) -> None:
        failures = 0
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self._publish()
            except Exception as error:
                self.failure = error
                log.warning("postings wait for the bus", error=repr(error))
                await self._clock.sleep(self._retry.pause_after(failures))
                failures += 1
                self._woken.set()
            else:
                self.failure = None
                failures = 0

    async def _publish(self) -> None:
        async with self._one_at_a_time:
            while self._published < self._written:
                if not self._ready or self._ready[0].sequence != self._published + 1:
                    await self._read()
                while self._ready:
                    self._check()
                    together = [posted_of(each) for each in islice(self._ready, TURN)]
                    for _ in range(await self._bus.publish_all(together)):
                        self._published = self._ready.popleft().sequence
                    await asyncio.sleep(0)

    async def _read(self) -> None:
        """Put the next postings in the place of what is at hand, which is further behind."""
        async with self._database.read() as connection:
            found = await Store(connection).behind(self._published, PORTION)
        if not found:
            raise RuntimeError(
                f"the ledger has no posting behind {self._published} but {self._written} were written"
            )
        self._ready = deque(found)

    async def _mark(self) -> None:
        while True:
            await self._clock.sleep(MARK_SECONDS)
            try:
                await self._write_mark()
            except Exception as error:
                log.warning("how far postings are told was not written down", error=repr(error))

    async def _write_mark(self) -> None:
        published = self._published
        if published > self._marked:
            await self._writer.ask(lambda books, found: books.draft.marks.update({MARK: published}))
            self._marked = published
