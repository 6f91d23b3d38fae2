"""Reads all of the books for an audit, at one moment, a portion at a time."""

from __future__ import annotations

import asyncio

from hive_billing.accounts import Accounts
from hive_billing.audit import Audit
from hive_billing.books import Balance, LeaseChange
from hive_billing.leases import Spans
from hive_billing.store import Store, snapshot
from hive_sql import Database

PORTION = 1000


async def audit(database: Database) -> tuple[Audit, dict[str, Balance]]:
    """The replayed books and the balances that are kept."""
    done = Audit()
    async with snapshot(database) as connection:
        store = Store(connection)
        changes = _Changes(store)
        after = 0
        while postings := await store.behind(after, PORTION):
            for posting in postings:
                await changes.take_until(done, posting.sequence)
                done.take_posting(posting)
            after = postings[-1].sequence
            await asyncio.sleep(0)
        await changes.take_until(done, after + 1)
        books = await store.load(Accounts(), 0, 0, Spans())
        done.compare_balances(books.balances)
        done.compare_days(await store.day_totals())
        leases = {
            (holder, scope): amount
            for scope, each in books.leased.items()
            for holder, amount in each.by_holder.items()
        }
        done.compare_leases(leases)
    return done, books.balances


class _Changes:
    """The lease changes in order, read ahead."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ready: list[tuple[int, LeaseChange]] = []
        self._last = 0
        self._all = False

    async def take_until(self, done: Audit, sequence: int) -> None:
        """Give those that came before this posting."""
        while True:
            if not self._ready and not self._all:
                found = await self._store.changes_behind(self._last, PORTION)
                self._all = len(found) < PORTION
                self._ready = found[::-1]
                self._last = found[-1][0] if found else self._last
            if not self._ready or self._ready[-1][1].after >= sequence:
                return
            done.take_change(self._ready.pop()[1])
