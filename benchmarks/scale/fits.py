"""How a figure grows with x: not at all, by a fixed amount for each, or by a power."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.figures import slope

FLAT = 1.25
"""Largest over smallest value of a figure that does not grow: less is the noise of a shared machine."""
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Fit:
    """y ≈ constant + each · x, and y ~ x^exponent over the whole range."""

    constant: float
    each: float
    exponent: float
    flat: bool
    linear: bool
    """The line rises and is nearer to the points than a power is."""

    def words(self, unit: str, x: str) -> str:
        if self.flat or self.exponent <= 0:
            return f"does not grow with {x}"
        if self.linear:
            return f"{number(self.constant)} {unit}, and {number(self.each)} {unit} for each of the {x}"
        return f"grows as {x} to the power of {self.exponent:.2f}"


def fit(points: Points) -> Fit:
    """Least squares; relative errors count, since points lie orders of magnitude apart. Two points at least."""
    ys = [y for _, y in points]
    constant, each = _line(points)
    logs = [(math.log(x), math.log(y)) for x, y in points if x > 0 and y > 0]
    exponent = slope(logs)
    middle = (
        sum(y for _, y in logs) / len(logs) - exponent * sum(x for x, _ in logs) / len(logs) if logs else 0.0
    )
    by_line = sum(((constant + each * x) / y - 1) ** 2 for x, y in points if y)
    by_power = sum((math.exp(middle + exponent * x - y) - 1) ** 2 for x, y in logs)
    return Fit(
        constant, each, exponent, min(ys) > 0 and max(ys) <= FLAT * min(ys), each > 0 and by_line <= by_power
    )


def _line(points: Points) -> tuple[float, float]:
    """Constant and slope with the least squares of relative errors."""
    weights = [1 / y**2 if y else 1.0 for _, y in points]
    whole = sum(weights)
    middle_x = sum(w * x for w, (x, _) in zip(weights, points, strict=True)) / whole
    middle_y = sum(w * y for w, (_, y) in zip(weights, points, strict=True)) / whole
    spread = sum(w * (x - middle_x) ** 2 for w, (x, _) in zip(weights, points, strict=True))
    if not spread:
        return middle_y, 0.0
    both = sum(w * (x - middle_x) * (y - middle_y) for w, (x, y) in zip(weights, points, strict=True))
    return middle_y - both / spread * middle_x, both / spread


def number(value: float) -> str:
    """Three digits that count."""
    if not value:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"
