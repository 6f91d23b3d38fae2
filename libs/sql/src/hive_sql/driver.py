"""SQLite's own connection beneath SQLAlchemy's: for the few statements that run behind every request.

A statement that SQLAlchemy carries costs about a thousand instructions of the interpreter, and its driver ten.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


def driver_of(connection: Connection) -> sqlite3.Connection | None:
    """The driver's connection, in the same transaction; None where the driver is not Python's own `sqlite3`.

    It raises `sqlite3.Error`: see `translated`.
    """
    found = connection.connection.driver_connection
    return found if isinstance(found, sqlite3.Connection) else None


@contextmanager
def translated() -> Iterator[None]:
    """Raises SQLAlchemy's error for each of the driver's."""
    try:
        yield
    except sqlite3.Error as error:
        raise DBAPIError.instance("", (), error, sqlite3.Error, hide_parameters=True) from error
