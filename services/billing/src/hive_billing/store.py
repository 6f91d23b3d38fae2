"""Reads billing's tables and writes a batch's draft into them, in few statements; gives domain values, never rows.

What a draft holds goes out as tuples by statements that are compiled once: that is half the cost of a batch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Row, Table, delete, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from hive_billing import ledger
from hive_billing.accounts import Accounts, CapScope
from hive_billing.books import Balance, Books, Draft, LeaseChange, Leased, Recharge
from hive_billing.holders import Holder, Kept
from hive_billing.leases import Spans
from hive_billing.ledger import Posting, PostingKind
from hive_billing.tables import (
    balances,
    days,
    holders,
    lease_changes,
    leases,
    marks,
    postings,
    recharges,
)
from hive_billing.windows import DAY_MS, day_of
from hive_sql import Database

_encode = msgspec.json.Encoder().encode


class _Details(msgspec.Struct, omit_defaults=True):
    """What of a posting no query asks for."""

    units: dict[str, int] = {}
    scopes: tuple[str, ...] = ()
    holder: str = ""
    carried: int = 0
    tags: tuple[str, ...] = ()
    note: str = ""


_decode_details = msgspec.json.Decoder(_Details).decode
_decode_entries = msgspec.json.Decoder(ledger.Entries).decode
_NAMES = [column.name for column in postings.columns]


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

    # Writing

    async def write(self, draft: Draft, books: Books) -> None:
        """All that the draft changes; `books` says how it stands now."""
        rows: list[tuple[Any, ...]]
        if draft.postings:
            await self._many(postings, _Statement.PLAIN, [_posting_row(each) for each in draft.postings])
        if draft.balances:
            rows = [(account, *_balance_row(books.balances[account])) for account in draft.balances]
            await self._many(balances, _Statement.REPLACING, rows)
        if draft.days:
            rows = [(*key, *sums) for key, sums in draft.days.items()]
            await self._many(days, _Statement.ADDING, rows)
        if draft.leases:
            await self._write_leases(draft, books)
        if draft.lease_changes:
            await self._many(lease_changes, _Statement.PLAIN, draft.lease_changes)
        if draft.holders:
            rows = [_holder_row(books.holders[name]) for name in draft.holders]
            await self._many(holders, _Statement.REPLACING, rows)
        if draft.recharges:
            await self._many(recharges, _Statement.REPLACING, list(draft.recharges.values()))
        if draft.marks:
            await self._many(marks, _Statement.REPLACING, list(draft.marks.items()))

    async def _write_leases(self, draft: Draft, books: Books) -> None:
        rows = [(holder, scope, books.lease(holder, scope)) for holder, scope in draft.leases]
        if kept := [row for row in rows if row[2]]:
            await self._many(leases, _Statement.REPLACING, kept)
        if gone := [row[:2] for row in rows if not row[2]]:
            await self._connection.execute(
                delete(leases).where(tuple_(leases.c.holder, leases.c.scope).in_(gone))
            )

    async def _many(self, table: Table, kind: _Statement, rows: Sequence[tuple[Any, ...]]) -> None:
        numbered = self._connection.dialect.paramstyle == "numeric_dollar"
        await self._connection.exec_driver_sql(_sql(table, kind, numbered), list(rows))

    # Reading what the books hold

    async def load(self, accounts: Accounts, now_ms: int, monotonic: float, spans: Spans) -> Books:
        """The books as they stand."""
        books = Books(accounts)
        execute = self._connection.execute
        books.sequence = await self.last_sequence()
        for row in await execute(select(balances)):
            books.balances[row.account] = Balance(
                row.amount, row.funded, row.used, row.tenant_id, row.closing
            )
        for row in await execute(select(holders)):
            books.holders[row.holder] = _holder(row, now_ms, monotonic, spans)
        for row in await execute(select(leases)):
            leased = books.leased.setdefault(row.scope, Leased())
            leased.by_holder[row.holder] = row.amount
            leased.total += row.amount
            books.leasing.add(row.holder)
        today = day_of(now_ms)
        of_today = select(recharges).where((recharges.c.day >= today) | (recharges.c.state == "pending"))
        for row in await execute(of_today):
            recharge = Recharge(*row)
            if recharge.state == "pending":
                books.pending[recharge.account] = recharge
            if recharge.state != "failed":
                place = (recharge.account, recharge.day)
                books.recharged[place] = books.recharged.get(place, 0) + 1
        return books

    async def last_sequence(self) -> int:
        """0 where nothing was posted yet."""
        found = await self._connection.execute(select(func.max(postings.c.sequence)))
        return int(found.scalar() or 0)

    async def spent(self, cap: CapScope) -> int:
        """What was spent in the window of a cap."""
        kind, _, id = cap.owner.partition("/")
        column = days.c.key_id if kind == "key" else days.c.tenant_id
        query = select(func.sum(days.c.spent)).where(
            column == id, days.c.day >= cap.first, days.c.day < cap.end
        )
        return int((await self._connection.execute(query)).scalar() or 0)

    async def mark(self, name: str) -> int:
        found = await self._connection.execute(select(marks.c.value).where(marks.c.name == name))
        return int(found.scalar() or 0)

    async def recharge(self, id: str) -> Recharge | None:
        row = (await self._connection.execute(select(recharges).where(recharges.c.id == id))).one_or_none()
        return None if row is None else Recharge(*row)

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
        elif account:
            named = f"[{_encode(account).decode()},"
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
        return [_posting(row) for row in rows]


def _posting_row(posting: Posting) -> tuple[Any, ...]:
    details = _Details(
        units=posting.units,  # type: ignore[arg-type]
        scopes=posting.scopes,
        holder=posting.holder,
        carried=posting.carried,
        tags=posting.tags,
        note=posting.note,
    )
    return (
        posting.sequence,
        posting.cause,
        int(posting.kind),
        posting.occurred_ms,
        posting.posted_ms,
        posting.tenant_id,
        posting.key_id,
        posting.request_id,
        posting.attempt,
        posting.call,
        posting.model,
        posting.provider,
        posting.deployment,
        posting.account,
        posting.counter,
        posting.cost,
        posting.spent,
        posting.provider_cost,
        posting.price_version,
        posting.estimated,
        posting.corrects,
        _encode(posting.entries).decode(),
        _encode(details).decode(),
    )


def _posting(row: Row[Any]) -> Posting:
    fields = dict(zip(_NAMES, row, strict=True))
    details = _decode_details(fields.pop("details"))
    fields["kind"] = PostingKind(fields["kind"])
    fields["entries"] = _decode_entries(fields["entries"])
    return Posting(**fields, **{name: getattr(details, name) for name in _Details.__struct_fields__})


def _balance_row(balance: Balance) -> tuple[Any, ...]:
    return balance.tenant_id, balance.amount, balance.funded, balance.used, balance.closing


def _holder_row(holder: Holder) -> tuple[Any, ...]:
    strays = _encode(holder.kept.strays).decode()
    return holder.name, holder.address, holder.written, holder.ended, holder.kept.through, strays


def _holder(row: Row[Any], now_ms: int, monotonic: float, spans: Spans) -> Holder:
    """Its time goes on where it stood, but never lasts longer than if it had spoken just now."""
    kept = Kept(row.through, msgspec.json.decode(row.strays, type=list[int]))
    left = min(sum(spans), max(0, row.booked_until_ms - now_ms) / 1000)
    until = monotonic + left
    return Holder(row.holder, row.address, until - spans.booked, until, row.booked_until_ms, row.ended, kept)


class _Statement(Enum):
    """What happens to a row that is there already: an error, or its other columns are replaced, or summed."""

    PLAIN = "plain"
    REPLACING = "replacing"
    ADDING = "adding"


@lru_cache(maxsize=64)
def _sql(table: Table, kind: _Statement, numbered: bool) -> str:
    """An INSERT with a place for every column that the database does not fill itself, in their order."""
    columns = [column for column in table.columns if column.autoincrement is not True]
    names = ", ".join(f'"{column.name}"' for column in columns)
    places = ", ".join(f"${number}" if numbered else "?" for number in range(1, len(columns) + 1))
    statement = f'INSERT INTO "{table.name}" ({names}) VALUES ({places})'
    if kind is _Statement.PLAIN:
        return statement
    key = ", ".join(f'"{column.name}"' for column in table.primary_key)
    old = f'"{table.name}".' if kind is _Statement.ADDING else None
    changes = ", ".join(
        f'"{column.name}" = excluded."{column.name}"' + (f' + {old}"{column.name}"' if old else "")
        for column in columns
        if not column.primary_key
    )
    return f"{statement} ON CONFLICT ({key}) DO UPDATE SET {changes}"
