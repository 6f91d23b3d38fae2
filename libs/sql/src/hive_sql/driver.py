"""SQLite's own connection beneath SQLAlchemy's: for the few statements that run behind every request.

A statement that SQLAlchemy carries costs about a thousand instructions of the interpreter, and its driver ten.
SQLite itself is 2 MB of a process, and nothing of it is imported where the database is another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    import sqlite3


def driver_of(connection: Connection) -> sqlite3.Connection | None:
    """The driver's connection, in the same transaction; None where the driver is not Python's own `sqlite3`.

    It raises `sqlite3.Error`: see `translated`.
    """
    found: Any = connection.connection.driver_connection
    return found if type(found).__module__ == "sqlite3" else None


@contextmanager
def translated() -> Iterator[None]:
    """Raises SQLAlchemy's error for each of the driver's."""
    import sqlite3

    try:
        yield
    except sqlite3.Error as error:
        raise DBAPIError.instance("", (), error, sqlite3.Error, hide_parameters=True) from error
