"""Revisions are read from the files' text as Alembic reads them, and a start that lacks none does without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from hive_sql import open_database
from hive_sql.revisions import revisions_in

ROOT = Path(__file__).parents[3]
FOLDERS = [path.parent for path in sorted(ROOT.glob("services/*/src/**/migrations/versions"))]

START = """
import asyncio, sys
from pathlib import Path
from hive_sql import open_database

async def start():
    async with open_database(sys.argv[1], Path(sys.argv[2])):
        print("alembic" in sys.modules)

asyncio.run(start())
"""


def folder_of(tmp_path: Path, *heads: str) -> Path:
    (tmp_path / "versions").mkdir()
    for number, head in enumerate(heads):
        (tmp_path / "versions" / f"{number}.py").write_text(f"{head}\ndef upgrade():\n    pass\n")
    return tmp_path


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_they_are_those_that_alembic_finds(folder: Path) -> None:
    scripts, found = ScriptDirectory(folder), revisions_in(folder)
    assert found.newest == scripts.get_current_head()
    assert found.known == {script.revision for script in scripts.walk_revisions()}


def test_a_folder_without_revisions_has_no_newest(tmp_path: Path) -> None:
    found = revisions_in(folder_of(tmp_path))
    assert (found.known, found.newest) == (frozenset(), None)


@pytest.mark.parametrize(
    "heads",
    [
        ("revision = '0001'\ndown_revision = None",),
        ('revision = "0001"',),
        ('revision = "0001"\ndown_revision = None', 'revision = "0002"\ndown_revision = None'),
        ('revision = "0001"\ndown_revision = "0001"',),
    ],
    ids=["other quotes", "half", "two ends", "a circle"],
)
def test_what_is_no_single_line_of_them_is_refused(tmp_path: Path, heads: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="revision"):
        revisions_in(folder_of(tmp_path, *heads))


async def test_a_start_without_missing_revisions_does_not_import_alembic(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 'revision = "0001"\ndown_revision = None')
    url = f"sqlite+aiosqlite:///{tmp_path / 'test.db'}"

    def start() -> str:
        command = [sys.executable, "-c", START, url, str(folder)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert [start(), start()] == ["True", "False"]
    async with open_database(url, folder, migrate=False):
        pass
