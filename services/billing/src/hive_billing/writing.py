"""Writes a batch's draft into the tables, in few statements of many rows each.

These functions take a plain connection, so that whoever owns the thread decides where they run. Rows go out as
tuples by statements that are made once; in SQLite the ledger's go out many to a statement, since each statement
gives the interpreter away and has to wait for it under load.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Table, delete, tuple_

from hive_billing.books import Books, Draft
from hive_billing.rows import balance_row, holder_row, posting_row
from hive_billing.tables import balances, days, holders, lease_changes, leases, marks, postings, recharges
from hive_sql import driver_of

ROWS = 32
"""So many rows of the ledger make one statement."""


class Known(Enum):
    """What becomes of a row that is there already: an error, or its other columns are replaced, or summed."""

    REFUSED = "refused"
    REPLACED = "replaced"
    SUMMED = "summed"


def write(connection: Connection, draft: Draft, books: Books) -> None:
    """All that the draft changes; `books` says how it stands now."""
    if draft.postings:
        _insert_many(connection, postings, [posting_row(each) for each in draft.postings])
    if draft.balances:
        rows = [(account, *balance_row(books.balances[account])) for account in draft.balances]
        _insert(connection, balances, Known.REPLACED, rows)
    if draft.days:
        sums = [(*place, *amounts) for place, amounts in draft.days.items()]
        _insert(connection, days, Known.SUMMED, sums)
    if draft.leases:
        _write_leases(connection, draft, books)
    if draft.lease_changes:
        _insert(connection, lease_changes, Known.REFUSED, draft.lease_changes)
    if draft.holders:
        _insert(
            connection, holders, Known.REPLACED, [holder_row(books.holders[name]) for name in draft.holders]
        )
    if draft.recharges:
        _insert(connection, recharges, Known.REPLACED, list(draft.recharges.values()))
    if draft.marks:
        _insert(connection, marks, Known.REPLACED, list(draft.marks.items()))


def _write_leases(connection: Connection, draft: Draft, books: Books) -> None:
    rows = [(holder, scope, books.lease(holder, scope)) for holder, scope in draft.leases]
    if kept := [row for row in rows if row[2]]:
        _insert(connection, leases, Known.REPLACED, kept)
    if gone := [row[:2] for row in rows if not row[2]]:
        connection.execute(delete(leases).where(tuple_(leases.c.holder, leases.c.scope).in_(gone)))


def _insert(connection: Connection, table: Table, known: Known, rows: Sequence[tuple[Any, ...]]) -> None:
    if (driver := driver_of(connection)) is not None:
        driver.executemany(_sql(table, known, False), rows)
        return
    numbered = connection.dialect.paramstyle == "numeric_dollar"
    connection.exec_driver_sql(_sql(table, known, numbered), [tuple(row) for row in rows])


def _insert_many(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    start = 0
    if (driver := driver_of(connection)) is not None:
        for start in range(ROWS, len(rows) + 1, ROWS):
            values = tuple(chain.from_iterable(rows[start - ROWS : start]))
            driver.execute(_sql_of_rows(table, ROWS), values)
    if start < len(rows):
        _insert(connection, table, Known.REFUSED, rows[start:])


@lru_cache(maxsize=64)
def _sql(table: Table, known: Known, numbered: bool) -> str:
    """An INSERT with a place for every column that the database does not fill itself, in their order."""
    columns = [column for column in table.columns if column.autoincrement is not True]
    names = ", ".join(f'"{column.name}"' for column in columns)
    places = ", ".join(f"${number}" if numbered else "?" for number in range(1, len(columns) + 1))
    statement = f'INSERT INTO "{table.name}" ({names}) VALUES ({places})'
    if known is Known.REFUSED:
        return statement
    key = ", ".join(f'"{column.name}"' for column in table.primary_key)
    old = f'"{table.name}".' if known is Known.SUMMED else None
    changes = ", ".join(
        f'"{column.name}" = excluded."{column.name}"' + (f' + {old}"{column.name}"' if old else "")
        for column in columns
        if not column.primary_key
    )
    return f"{statement} ON CONFLICT ({key}) DO UPDATE SET {changes}"


@lru_cache(maxsize=64)
def _sql_of_rows(table: Table, rows: int) -> str:
    head, values, places = _sql(table, Known.REFUSED, False).partition(" VALUES ")
    return head + values + ", ".join([places] * rows)
