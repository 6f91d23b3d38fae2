"""Spans of time, cut so that each piece is read where that is cheapest: whole days, hours and minutes from the
rollups, and what is left at the ends from the rows themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
GRAINS: Final[Mapping[str, int]] = {"minute": MINUTE, "hour": HOUR, "day": DAY}
"""Their lengths in milliseconds. All begin with the Unix epoch: days are those of UTC."""

ROWS: Final = "rows"
END_OF_TIME: Final = 4_102_444_800_000
"""1 January 2100, in Unix milliseconds: no row is later."""

Piece = tuple[int, int]
"""Unix milliseconds; the end is not in it."""


def pieces(start: int, end: int, coarsest: str = "day") -> dict[str, list[Piece]]:
    """What to read where: by grain, `rows` for what no rollup holds. Nothing twice, nothing left out."""
    names = [*GRAINS]
    found: dict[str, list[Piece]] = {}
    _cut(start, end, names[: names.index(coarsest) + 1], found)
    return {grain: sorted(each) for grain, each in found.items()}


def _cut(start: int, end: int, grains: list[str], found: dict[str, list[Piece]]) -> None:
    if start >= end:
        return
    if not grains:
        found.setdefault(ROWS, []).append((start, end))
        return
    *finer, grain = grains
    length = GRAINS[grain]
    first, last = -(-start // length) * length, end // length * length
    if first >= last:
        _cut(start, end, finer, found)
        return
    found.setdefault(grain, []).append((first, last))
    _cut(start, first, finer, found)
    _cut(last, end, finer, found)
