"""What an import tells the operator: what was left behind, what is still to do, and what will be different."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum


class Level(Enum):
    """LOST: it has no counterpart. TO_DO: the operator has to do it. DIFFERS: it is here, with a difference."""

    LOST = "not carried over"
    TO_DO = "to do"
    DIFFERS = "different here"


@dataclass(frozen=True, slots=True)
class Line:
    """path: where it stands in the source. meaning: what it did there. instead: what there is here.

    None of them holds a value that could be a secret.
    """

    level: Level
    path: str
    meaning: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}: {self.meaning}. {self.instead}"

    def as_json(self) -> Mapping[str, str]:
        """Its members, with the level in lower case."""
        return {
            "level": self.level.name.lower(),
            "path": self.path,
            "meaning": self.meaning,
            "instead": self.instead,
        }


@dataclass(slots=True)
class Report:
    """Lines in the order in which they were found; the same line once."""

    _lines: dict[Line, None] = field(default_factory=dict)

    def lost(self, path: str, meaning: str, instead: str) -> None:
        self._add(Level.LOST, path, meaning, instead)

    def to_do(self, path: str, meaning: str, instead: str) -> None:
        self._add(Level.TO_DO, path, meaning, instead)

    def differs(self, path: str, meaning: str, instead: str) -> None:
        self._add(Level.DIFFERS, path, meaning, instead)

    def add(self, lines: Iterable[Line]) -> None:
        self._lines |= dict.fromkeys(lines)

    @property
    def lines(self) -> tuple[Line, ...]:
        """The gravest first."""
        return tuple(line for level in Level for line in self._lines if line.level is level)

    @property
    def is_complete(self) -> bool:
        """Whether nothing was left behind and nothing is to do."""
        return all(line.level is Level.DIFFERS for line in self._lines)

    def _add(self, level: Level, path: str, meaning: str, instead: str) -> None:
        self._lines[Line(level, path, meaning.rstrip("."), instead)] = None
