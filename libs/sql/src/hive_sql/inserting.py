"""INSERT with ON CONFLICT, which SQLAlchemy has for each kind of database apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sqlalchemy import Table

from hive_sql.asynchronous import AsyncConnection

if TYPE_CHECKING:
    from sqlalchemy.dialects.sqlite import Insert


def insert_into(connection: AsyncConnection, table: Table) -> Insert:
    """For the kind that the connection is of. The other kind's dialect is not imported: PostgreSQL's takes 3 MB."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return cast("Insert", postgresql.insert(table))  # what both can do, both call the same
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)
