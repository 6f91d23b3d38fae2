"""What is kept: four families of rows, the dimensions they can be asked by, and the measures that are rolled up.

A measure is made from the rows once, per minute, and folded from there: minutes into hours, hours into days, and
any of them into the answer of a question. So every measure is a sum, or the state of an exact quantile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hive_runtime.money import UNITS

COLUMNS: Final[Mapping[str, str]] = {
    "tenant": "tenant_id",
    "key": "key_id",
    "model": "model",
    "provider": "provider",
    "deployment": "deployment",
    "tag": "tags",
    "guard": "guard",
    "stage": "stage",
}
"""The dimensions in the order of their columns, and the column that holds each. `tags` is an array."""

LEVELS: Final = (0.5, 0.95, 0.99)
_LEVELS = ", ".join(map(str, LEVELS))
QUANTILES: Final = f"AggregateFunction(quantilesExact({_LEVELS}), UInt32)"
LONGEST_US: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Measure:
    """raw: the aggregate over rows. sums: False where it is the state of a quantile, in microseconds."""

    name: str
    raw: str
    sums: bool = True

    @property
    def type(self) -> str:
        return "Int64" if self.sums else QUANTILES

    @property
    def folded(self) -> str:
        """The aggregate over rollups that gives what stands in a rollup."""
        return f"sum({self.name})" if self.sums else f"quantilesExactMergeState({_LEVELS})({self.name})"


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of row. `time` is the column by which a row belongs to an hour; it has milliseconds."""

    name: str
    time: str
    dimensions: tuple[str, ...]
    measures: tuple[Measure, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(COLUMNS[dimension] for dimension in self.dimensions)

    @property
    def additive(self) -> tuple[Measure, ...]:
        return tuple(measure for measure in self.measures if measure.sums)

    def rollup(self, grain: str) -> str:
        """The table with the rollups of a grain."""
        return f"{self.name}_{grain}"


def _count(name: str, condition: str = "") -> Measure:
    return Measure(name, f"toInt64(countIf({condition}))" if condition else "toInt64(count())")


def _quantile(name: str, column: str, condition: str) -> Measure:
    """Of microseconds; what is longer than 71 minutes counts as that long."""
    bounded = f"toUInt32(least(greatest(ifNull({column}, 0), 0), {LONGEST_US}))"
    return Measure(name, f"quantilesExactStateIf({_LEVELS})({bounded}, {condition})", sums=False)


def _decisions(name: str, condition: str = "1") -> Measure:
    # An event that tells of no number tells of one.
    return Measure(name, f"sumIf(if(decisions = 0, 1, decisions), {condition})")


_MODEL_CALL = ("tenant", "key", "model", "provider", "deployment", "tag")

_CALLED = "(cache != 'hit')"
"""An attempt that the response cache answered is no call to a deployment: it has neither its latency nor its errors."""
_ANSWERED = f"outcome = 'answered' AND {_CALLED}"
_TIMED = f"first_content_us IS NOT NULL AND {_CALLED}"

USAGE: Final = Family(
    "usage",
    "started",
    _MODEL_CALL,
    (
        _count("calls", _CALLED),
        _count("requests", "last"),
        _count("from_cache", "last AND cache = 'hit'"),
        _count("failed", f"failed AND {_CALLED}"),
        _count("answered", _ANSWERED),
        _quantile("latency", "duration_us", _ANSWERED),
        _count("timed", _TIMED),
        _quantile("ttft", "first_content_us", _TIMED),
        *(Measure(unit, f"sum(units['{unit}'])") for unit in UNITS),
    ),
)
LEDGER: Final = Family(
    "ledger",
    "occurred",
    _MODEL_CALL,
    (
        _count("postings"),
        Measure("spent", "sum(spent_nanos)"),
        Measure("provider_cost", "sum(provider_cost_nanos)"),
    ),
)
GUARD: Final = Family(
    "guard",
    "decided",
    ("tenant", "key", "model", "guard", "stage"),
    (
        _decisions("verdicts"),
        _decisions("allowed", "verdict = 'allowed'"),
        _decisions("flagged", "verdict = 'flagged'"),
        _decisions("redacted", "verdict = 'redacted'"),
        _decisions("blocked", "verdict = 'blocked'"),
    ),
)
REQUESTS: Final = Family(
    "requests",
    "started",
    _MODEL_CALL,
    (
        _count("received"),
        _count("hits", "cache = 'hit'"),
        _count("misses", "cache = 'miss'"),
        _count("bypasses", "cache = 'bypass'"),
        _count("replays", "replayed"),
        _count("guarded", "notEmpty(guards)"),
        _count("refused", "guard_verdict = 'blocked'"),
    ),
)
FAMILIES: Final[Mapping[str, Family]] = {family.name: family for family in (USAGE, LEDGER, GUARD, REQUESTS)}


def measures_of(families: Iterable[Family]) -> Mapping[str, Measure]:
    """By name; no two families have one of the same name."""
    return {measure.name: measure for family in families for measure in family.measures}
