"""SQLite's own connection: the same transaction, and errors in SQLAlchemy's words."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

from hive_sql import driver_of, translated


def test_it_stands_in_the_transaction_of_sqlalchemys_connection(tmp_path: Path) -> None:
    with create_engine(f"sqlite:///{tmp_path}/one.db").connect() as connection:
        connection.execute(text("CREATE TABLE things (id INTEGER PRIMARY KEY)"))
        connection.commit()
        driver = driver_of(connection)
        assert driver is not None
        driver.executemany("INSERT INTO things VALUES (?)", [(1,), (2,)])
        assert connection.execute(text("SELECT count(*) FROM things")).scalar() == 2
        connection.rollback()
        assert connection.execute(text("SELECT count(*) FROM things")).scalar() == 0


async def test_there_is_none_where_the_driver_is_another_one(tmp_path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/one.db")
    async with engine.connect() as connection:
        assert await connection.run_sync(driver_of) is None
    await engine.dispose()


@pytest.mark.parametrize(
    ("statement", "error"),
    [("INSERT INTO things VALUES (1)", IntegrityError), ("SELECT * FROM nothing", OperationalError)],
)
def test_errors_are_those_of_sqlalchemy_and_hide_what_was_written(
    tmp_path: Path, statement: str, error: type[Exception]
) -> None:
    with create_engine(f"sqlite:///{tmp_path}/one.db").connect() as connection:
        connection.execute(text("CREATE TABLE things (id INTEGER PRIMARY KEY)"))
        connection.execute(text("INSERT INTO things VALUES (1)"))
        driver = driver_of(connection)
        assert driver is not None
        with pytest.raises(error), translated():
            driver.execute(statement)
