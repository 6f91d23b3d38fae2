"""What a run is made of, and its folder: a cell is one scenario of one subject in one round, and one file.

A run that was interrupted goes on with the cells that have no file yet.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.report import RESULTS

PREFIX = "peers-"
SUBJECTS = "subjects.json"


class Cell(NamedTuple):
    round: int
    subject: str
    scenario: str

    @property
    def file(self) -> str:
        return f"{self.round:02d}.{self.subject}.{self.scenario}.json"


class Opening(NamedTuple):
    """A subject that is started once, for some cells of one round."""

    round: int
    subject: str
    scenarios: Sequence[str]


class RunFolder:
    """`path` holds one JSON file per cell."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def has(self, cell: Cell) -> bool:
        return (self.path / cell.file).exists()

    def write(self, cell: Cell, content: dict[str, Any]) -> None:
        """All of it or nothing: an interruption leaves no half a file."""
        path = self.path / cell.file
        half = path.with_suffix(".half")
        half.write_text(json.dumps({**cell._asdict(), **content}, indent=1) + "\n")
        half.replace(path)

    def cells(self) -> list[dict[str, Any]]:
        """What was written, in the order of rounds, subjects and scenarios."""
        return [json.loads(path.read_text()) for path in sorted(self.path.glob("[0-9]*.json"))]

    def tell(self, subjects: dict[str, dict[str, Any]]) -> None:
        """Keep what is known of the subjects, those that could not run included."""
        (self.path / SUBJECTS).write_text(json.dumps(subjects, indent=1) + "\n")

    def subjects(self) -> dict[str, dict[str, Any]]:
        """What was told last: title, version, settings and missing of each, by name."""
        found: dict[str, dict[str, Any]] = json.loads((self.path / SUBJECTS).read_text())
        return found


def new_folder() -> RunFolder:
    return RunFolder(RESULTS / time.strftime(f"{PREFIX}%Y%m%d-%H%M%S", time.gmtime()))


def last_folder() -> RunFolder | None:
    """The one to go on with; None where there is none."""
    found = sorted(path for path in RESULTS.glob(f"{PREFIX}*") if path.is_dir())
    return RunFolder(found[-1]) if found else None


def openings(
    folder: RunFolder, subjects: Sequence[str], scenarios: Sequence[str], rounds: int
) -> Iterator[Opening]:
    """What is still to be measured: round 1 of all subjects, then round 2, so that what changes meets all alike."""
    for number, subject in product(range(1, rounds + 1), subjects):
        left = [each for each in scenarios if not folder.has(Cell(number, subject, each))]
        if left:
            yield Opening(number, subject, left)
