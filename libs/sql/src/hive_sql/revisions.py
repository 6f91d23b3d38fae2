"""Which revisions a folder holds. They are read from the files' text: a start that has nothing to bring up to date, as
nearly all have, needs no Alembic, which is a tenth of a second and nine megabytes with what it imports.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

_LINE = re.compile(r'^(revision|down_revision) = (?:"(.+)"|None)$', re.MULTILINE)
_VERSION = Table("alembic_version", MetaData(), Column("version_num", String(32)))


@dataclass(frozen=True, slots=True)
class Revisions:
    """Of one service. newest: the one that no other builds on; None where there are none."""

    known: frozenset[str]
    newest: str | None


def revisions_in(folder: Path) -> Revisions:
    """Those of `folder/versions/*.py`; ValueError where they are no single line of them."""
    before: dict[str, str | None] = {}
    for path in sorted((folder / "versions").glob("*.py")):
        said = {match[1]: match[2] for match in _LINE.finditer(path.read_text())}
        if said.keys() != {"revision", "down_revision"} or said["revision"] is None:
            raise ValueError(f'{path} does not say `revision = "…"` and `down_revision = "…"`')
        before[said["revision"]] = said["down_revision"]
    ends = before.keys() - set(before.values())
    if len(ends) != min(len(before), 1):
        raise ValueError(f"the revisions in {folder} have several ends: {', '.join(sorted(ends)) or 'none'}")
    return Revisions(frozenset(before), next(iter(ends), None))


def revision_of(connection: Connection) -> str | None:
    """The revision that a database has; None where it was never migrated."""
    if not inspect(connection).has_table(_VERSION.name):
        return None
    return connection.scalar(select(_VERSION.c.version_num))
