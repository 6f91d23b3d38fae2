"""A database is brought up to date, all or nothing, and never used by an older release."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from hive_sql import Database, SchemaTooNew, migrate, open_database, schema_version

FIRST = """
import sqlalchemy as sa
from alembic import op
revision = "0001"
down_revision = None
def upgrade():
    op.create_table("things", sa.Column("id", sa.Integer, primary_key=True))
"""

SECOND = """
import sqlalchemy as sa
from alembic import op
revision = "0002"
down_revision = "0001"
def upgrade():
    op.add_column("things", sa.Column("name", sa.Text))
    op.execute("INSERT INTO things VALUES (1, 'one')")
"""

BROKEN = SECOND.replace("INSERT INTO things", "INSERT INTO nothing")


def release(folder: Path, *revisions: str) -> Path:
    versions = folder / "versions"
    versions.mkdir(parents=True)
    for number, revision in enumerate(revisions, 1):
        (versions / f"{number:04}_step.py").write_text(revision)
    return folder


async def names(database: Database) -> list[str]:
    async with database.read() as connection:
        return list((await connection.execute(text("SELECT name FROM things"))).scalars())


async def test_a_new_database_gets_every_revision(tmp_path: Path, url: str) -> None:
    async with open_database(url, release(tmp_path / "new", FIRST, SECOND)) as database:
        assert await names(database) == ["one"]
    assert await schema_version(url) == "0002"


async def test_a_database_gets_only_what_it_lacks(tmp_path: Path, url: str) -> None:
    async with open_database(url, release(tmp_path / "old", FIRST)) as database:
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO things VALUES (7)"))
        assert await schema_version(url) == "0001"
    new = release(tmp_path / "new", FIRST, SECOND)
    async with open_database(url, new) as database:
        assert sorted(await names(database), key=str) == [None, "one"]
    assert await migrate(url, new) == "0002"


async def test_a_revision_that_fails_leaves_the_database_as_it_was(tmp_path: Path, url: str) -> None:
    async with open_database(url, release(tmp_path / "old", FIRST)):
        pass
    with pytest.raises(DBAPIError, match="nothing"):
        await migrate(url, release(tmp_path / "broken", FIRST, BROKEN))
    assert await schema_version(url) == "0001"
    async with open_database(url, release(tmp_path / "mended", FIRST, SECOND)) as database:
        assert await names(database) == ["one"]


async def test_a_newer_database_is_refused_with_words_that_help(tmp_path: Path, url: str) -> None:
    async with open_database(url, release(tmp_path / "new", FIRST, SECOND)):
        pass
    with pytest.raises(SchemaTooNew, match=r"/\S+ has schema '0002'; the newest .* is '0001'"):
        await migrate(url, release(tmp_path / "old", FIRST))
    assert await schema_version(url) == "0002"


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_processes_and_services_that_start_together_take_turns(tmp_path: Path, url: str) -> None:
    folder = release(tmp_path / "new", FIRST, SECOND)
    other = url.replace("test.db", "other.db")
    async with open_database(url, release(tmp_path / "old", FIRST)):
        pass
    done = await asyncio.gather(*(migrate(target, folder) for target in (url, other, url, other)))
    assert done == ["0002"] * 4


async def test_an_unused_database_has_no_version(url: str) -> None:
    assert await schema_version(url) is None
