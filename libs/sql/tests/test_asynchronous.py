"""What a process imports for its database."""

from __future__ import annotations

import subprocess
import sys

import pytest
import sqlalchemy.ext.asyncio

from hive_sql import asynchronous


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


LOADED = """
import asyncio, sys
from hive_sql import reader_engine
asyncio.run(reader_engine("{url}").dispose())
print([name for name in ("sqlalchemy.orm", *{others}) if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("url", "others"),
    [
        ("sqlite+aiosqlite:///here.db", ("sqlalchemy.dialects.postgresql", "asyncpg")),
        ("postgresql+asyncpg://here/db", ("sqlalchemy.dialects.sqlite", "sqlite3")),
    ],
)
def test_neither_the_orm_nor_the_other_kind_of_database(url: str, others: tuple[str, ...]) -> None:
    assert run(LOADED.format(url=url, others=others)) == "[]"


WHOLE = """
from hive_sql.asynchronous import AsyncEngine
import sqlalchemy.ext.asyncio
print(sqlalchemy.ext.asyncio.AsyncEngine is AsyncEngine, sqlalchemy.ext.asyncio.AsyncSession.__name__)
"""


def test_the_whole_package_can_be_imported_afterwards() -> None:
    assert run(WHOLE) == "True AsyncSession"


def test_it_is_the_package_s_own() -> None:
    assert asynchronous.AsyncConnection is sqlalchemy.ext.asyncio.AsyncConnection
