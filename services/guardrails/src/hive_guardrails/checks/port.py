"""What a check promises: what it finds in one text, how sure it is, and how far back an open end may matter."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol

from hive_runtime.guarding import Origin

__all__ = ["Check", "Finding", "Origin"]


class Finding(NamedTuple):
    """Characters [start, end) of a text. category: a short word, such as `email`. score: 0 to 1."""

    category: str
    start: int
    end: int
    score: float = 1.0


class Check(Protocol):
    """One guard. Pure and thread-safe: the same text and threshold always give the same findings.

    name: as in `x-hive-guard`. version: another one wherever the same text may be judged otherwise.
    threshold: scores from here on are findings, where a policy names no other. reads: whose words it looks at.
    redacts: whether what it finds can be taken out of a text, or is a judgement of the whole of it.
    overlap: characters of context that it wants to read again when a text goes on.
    """

    name: str
    version: str
    threshold: float
    reads: Collection[Origin]
    redacts: bool
    overlap: int

    def find(self, text: str, threshold: float) -> list[Finding]:
        """In the order of their starts, and not overlapping. A judgement of the whole text spans all of it."""
        ...

    def open(self, text: str) -> int:
        """Characters at the end of a text that goes on which may still become part of a finding: they are not final.

        At most `overlap` and at most the text.
        """
        ...

    def score(self, text: str) -> float:
        """How sure it is of the worst that it sees, 0 to 1."""
        ...
