"""Billing's tables as its doors read them; gives domain values, never rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import func, select, text

from hive_billing import ledger
from hive_billing.accounts import Accounts
from hive_billing.books import Books, Draft, LeaseChange
from hive_billing.leases import Spans
from hive_billing.ledger import Posting, PostingKind
from hive_billing.loading import load
from hive_billing.rows import encode, posting_of
from hive_billing.tables import (
    days,
    lease_changes,
    marks,
    postings,
)
from hive_billing.windows import DAY_MS
from hive_billing.writing import write
from hive_sql import AsyncConnection, Database


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[AsyncConnection]:
    """A connection that sees one moment in all its queries."""
    async with database.read() as connection:
        if connection.dialect.name == "postgresql":
            await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        yield connection


class Store:
    """The tables as one transaction sees them."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def write(self, draft: Draft, books: Books) -> None:
        """All that the draft changes; `books` says how it stands now."""
        await self._connection.run_sync(write, draft, books)

    async def load(self, accounts: Accounts, now_ms: int, monotonic: float, spans: Spans) -> Books:
        """The books as they stand."""
        return await self._connection.run_sync(load, accounts, now_ms, monotonic, spans)

    async def last_sequence(self) -> int:
        """0 where nothing was posted yet."""
        found = await self._connection.execute(select(func.max(postings.c.sequence)))
        return int(found.scalar() or 0)

    async def mark(self, name: str) -> int:
        found = await self._connection.execute(select(marks.c.value).where(marks.c.name == name))
        return int(found.scalar() or 0)

    # Reading the ledger

    async def of_requests(self, ids: Collection[str]) -> list[Posting]:
        """All postings of these requests, in order."""
        return await self._postings(select(postings).where(postings.c.request_id.in_(ids)))

    async def of_causes(self, causes: Collection[str]) -> dict[str, Posting]:
        found = await self._postings(select(postings).where(postings.c.cause.in_(causes)))
        return {posting.cause: posting for posting in found}

    async def behind(self, sequence: int, limit: int) -> list[Posting]:
        """The next postings after this one, in order."""
        return await self._postings(select(postings).where(postings.c.sequence > sequence).limit(limit))

    async def listed(
        self,
        *,
        after: int = 0,
        limit: int,
        newest_first: bool = False,
        account: str = "",
        tenant_id: str = "",
        key_id: str = "",
        request_id: str = "",
    ) -> list[Posting]:
        """Postings behind `after`, or before it where the newest come first (0: from the end)."""
        query = select(postings)
        for column, value in (
            (postings.c.tenant_id, tenant_id),
            (postings.c.key_id, key_id),
            (postings.c.request_id, request_id),
        ):
            if value:
                query = query.where(column == value)
        if account.startswith((*ledger.OWN, "funding:")):
            query = query.where((postings.c.account == account) | (postings.c.counter == account))
        if account:
            named = f"[{encode(account).decode()},"
            query = query.where(postings.c.entries.contains(named, autoescape=True))
        order = postings.c.sequence
        if newest_first:
            query = query.where(order < after) if after else query
            return await self._postings(query.limit(limit), order.desc())
        return await self._postings(query.where(order > after).limit(limit))

    async def usage(
        self, *, after: int, limit: int, from_ms: int, to_ms: int, tenant_id: str = "", model: str = ""
    ) -> list[Posting]:
        """Postings of attempts that occurred in [from, to), behind the sequence `after`, in order."""
        query = select(postings).where(
            postings.c.sequence > after,
            postings.c.kind == PostingKind.USAGE,
            postings.c.occurred_ms >= from_ms,
            postings.c.occurred_ms < to_ms,
        )
        if tenant_id:
            query = query.where(postings.c.tenant_id == tenant_id)
        if model:
            query = query.where(postings.c.model == model)
        return await self._postings(query.limit(limit))

    async def changes_behind(self, id: int, limit: int) -> list[tuple[int, LeaseChange]]:
        """The next lease changes after this one, in order, with their ids."""
        query = select(lease_changes).where(lease_changes.c.id > id).order_by(lease_changes.c.id).limit(limit)
        return [(row[0], LeaseChange(*row[1:])) for row in (await self._connection.execute(query)).all()]

    async def totals(self, through: int) -> list[tuple[str, str, int, int, int, int]]:
        """Of all postings up to a sequence, from the ledger itself.

        Tenant, key, day, spent, provider cost, number of postings.
        """
        day = (postings.c.occurred_ms - postings.c.occurred_ms % DAY_MS).label("day")
        place = (postings.c.tenant_id, postings.c.key_id, day)
        sums = (func.sum(postings.c.spent), func.sum(postings.c.provider_cost), func.count())
        query = select(*place, *sums).where(postings.c.sequence <= through)
        rows = (await self._connection.execute(query.group_by(*place).order_by(*place))).all()
        return [(r[0], r[1], int(r[2]) // DAY_MS, int(r[3]), int(r[4]), int(r[5])) for r in rows]

    async def day_totals(self) -> list[tuple[str, str, int, int, int, int]]:
        """Of usage and its corrections, as they are kept along the way."""
        query = select(days).order_by(days.c.tenant_id, days.c.key_id, days.c.day)
        return [(r[0], r[1], r[2], r[3], r[4], r[5]) for r in (await self._connection.execute(query)).all()]

    async def _postings(self, query: Any, order: Any = postings.c.sequence) -> list[Posting]:
        rows = (await self._connection.execute(query.order_by(order))).all()
        return [posting_of(row) for row in rows]
