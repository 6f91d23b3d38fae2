"""Reads what the writer has to know: the books, and what of the ledger a batch is about."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select

from hive_billing.accounts import Accounts, CapScope
from hive_billing.books import Balance, Books, Leased, Posted, Recharge
from hive_billing.leases import Spans
from hive_billing.ledger import Posting
from hive_billing.rows import encode, holder_of, posting_of
from hive_billing.tables import balances, days, holders, leases, postings, recharges
from hive_billing.windows import day_of
from hive_sql import driver_of

_COLUMNS = ", ".join(f'"{column.name}"' for column in postings.columns)
_AMONG = f"SELECT {_COLUMNS} FROM postings WHERE {{}} IN (SELECT value FROM json_each(?)) ORDER BY sequence"


@dataclass(slots=True)
class Found:
    """What of the ledger was looked up for a batch, and what it has added since."""

    requests: dict[str, list[Posting]] = field(default_factory=dict)
    causes: dict[str, Posting] = field(default_factory=dict)


def load(connection: Connection, accounts: Accounts, now_ms: int, monotonic: float, spans: Spans) -> Books:
    """The books as they stand."""
    books = Books(accounts)
    execute = connection.execute
    books.sequence = int(execute(select(func.max(postings.c.sequence))).scalar() or 0)
    for row in execute(select(balances)):
        books.balances[row.account] = Balance(row.amount, row.funded, row.used, row.tenant_id, row.closing)
    for row in execute(select(leases)):
        leased = books.leased.setdefault(row.scope, Leased())
        leased.by_holder[row.holder] = row.amount
        leased.total += row.amount
        books.leasing.add(row.holder)
    for row in execute(select(holders)):
        books.holders[row.holder] = holder_of(row, now_ms, monotonic, spans, row.holder in books.leasing)
    if connection.dialect.name == "sqlite":  # it has ids in Python's order, and the greatest of them at hand
        books.posted = Posted(execute(select(func.max(postings.c.request_id))).scalar() or "")
    _load_recharges(connection, books, day_of(now_ms))
    return books


def _load_recharges(connection: Connection, books: Books, today: int) -> None:
    matters = (recharges.c.day >= today) | (recharges.c.state == "pending")
    for row in connection.execute(select(recharges).where(matters)):
        recharge = Recharge(*row)
        if recharge.state == "pending":
            books.pending[recharge.account] = recharge
        if recharge.state != "failed":
            place = (recharge.account, recharge.day)
            books.recharged[place] = books.recharged.get(place, 0) + 1


def find(connection: Connection, requests: Collection[str], causes: Collection[str]) -> Found:
    """What is posted of these requests, and under these causes."""
    found = Found()
    for posting in _postings(connection, "request_id", requests) if requests else ():
        found.requests.setdefault(posting.request_id, []).append(posting)
    for posting in _postings(connection, "cause", causes) if causes else ():
        found.causes[posting.cause] = posting
    return found


def _postings(connection: Connection, column: str, values: Collection[str]) -> list[Posting]:
    """Those with one of the values, in order."""
    rows: Iterable[Any]
    if (driver := driver_of(connection)) is not None:
        # Once per batch and mostly in vain: a list that grows and shrinks costs more to write into a statement.
        rows = driver.execute(_AMONG.format(column), (encode([*values]).decode(),))
    else:
        query = select(postings).where(postings.c[column].in_(values)).order_by(postings.c.sequence)
        rows = connection.execute(query)
    return [posting_of(row) for row in rows]


def spent(connection: Connection, caps: Iterable[CapScope]) -> list[int]:
    """What was spent in the windows of these caps."""
    sums = []
    for cap in caps:
        kind, _, id = cap.owner.partition("/")
        column = days.c.key_id if kind == "key" else days.c.tenant_id
        query = select(func.sum(days.c.spent)).where(
            column == id, days.c.day >= cap.first, days.c.day < cap.end
        )
        sums.append(int(connection.execute(query).scalar() or 0))
    return sums
