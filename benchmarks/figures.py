"""Percentiles and medians of measured values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median

import msgspec

Figures = dict[str, float]
"""Named figures of one round; each name ends in its unit."""


class Quantiles(msgspec.Struct, frozen=True):
    """How a set of durations is spread, in milliseconds; all zero where there were none."""

    p50: float = 0.0
    p90: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    worst: float = 0.0


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the ascending values that at least `share` (0 to 1) of them do not exceed."""
    if not ordered:
        raise ValueError("no values, so no percentile")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def quantiles(seconds: Iterable[float]) -> Quantiles:
    """The spread of durations given in seconds."""
    ordered = sorted(each * 1000 for each in seconds)
    if not ordered:
        return Quantiles()
    p50, p90, p95, p99 = (percentile(ordered, share) for share in (0.5, 0.9, 0.95, 0.99))
    return Quantiles(p50, p90, p95, p99, worst=ordered[-1])


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least-squares slope of y over x; 0 with fewer than two different x."""
    if not points:
        return 0.0
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    if not spread:
        return 0.0
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread


def medians(rounds: Sequence[Figures]) -> Figures:
    """Each figure's median over the rounds."""
    return {name: median(each[name] for each in rounds) for name in rounds[0]}
