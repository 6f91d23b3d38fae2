"""LiteLLM's budgets, which may begin anew after some time, as budgets and caps here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from typing import Final

from hive_console.importing.fields import Fields
from hive_console.importing.report import Report

_DURATION: Final = re.compile(r"(\d{1,9})(mo|[smhdw])")
_NANO: Final = Decimal("0.000000001")
_DAY: Final = 86_400
_SECONDS: Final[Mapping[str, int]] = {
    "s": 1,
    "m": 60,
    "h": 3_600,
    "d": _DAY,
    "w": 7 * _DAY,
    "mo": 30 * _DAY,
}
_SPANS: Final = (("day_usd", _DAY), ("week_usd", 7 * _DAY), ("month_usd", 31 * _DAY))
_EXACT: Final = (_DAY, 7 * _DAY, 30 * _DAY, 31 * _DAY)
"""Spans that begin there when they do here: at midnight, on Monday, on the first of the month."""


@dataclass(frozen=True, slots=True)
class Money:
    """What may be spent. budget: dollars in all. caps: dollars per day, week or month."""

    budget: str | None = None
    caps: Mapping[str, str] = field(default_factory=dict)


def read_money(of: Fields, report: Report, *, can_fund: bool) -> Money:
    """What a key or a team may spend. can_fund: whether it can have a budget of its own, as keys can."""
    most, spent, span = of.number("max_budget"), of.number("spend") or Decimal(0), of.text("budget_duration")
    if most is None:
        return Money()
    left = _usd(max(Decimal(0), most - spent))
    if not span:
        if can_fund:
            return Money(budget=left)
        report.lost(
            of.at("max_budget"),
            "a budget that never begins anew",
            f"${left} of it is left: make the tenant prepaid and credit its wallet with that.",
        )
        return Money()
    seconds = _seconds(span)
    name = next((name for name, longest in _SPANS if 0 < seconds <= longest), "")
    if name:
        return _capped(of, report, name, most, is_exact=seconds in _EXACT)
    report.lost(
        of.at("budget_duration"),
        f"a budget that begins anew after {span}",
        f"What is left (${left}) is set as a budget that does not."
        if can_fund
        else "Set a cap: `modelhive tenants set`.",
    )
    return Money(budget=left) if can_fund else Money()


def _capped(of: Fields, report: Report, name: str, most: Decimal, *, is_exact: bool) -> Money:
    """For a span that is not the same here, the next longer one, so that nobody spends more than before."""
    if not is_exact:
        report.lost(
            of.at("budget_duration"),
            f"a budget that begins anew after {of.text('budget_duration')}",
            f"The same amount is set as a cap per {name.removesuffix('_usd')}: raise it if that is too little.",
        )
    if of.number("spend"):
        report.differs(of.at("spend"), "what was spent in this span", "Caps begin with 0 here.")
    return Money(caps={name: _usd(most)})


def _seconds(span: str) -> int:
    """0 for what is no duration."""
    found = _DURATION.fullmatch(span)
    return int(found[1]) * _SECONDS[found[2]] if found else 0


def _usd(amount: Decimal) -> str:
    text = format(amount.quantize(_NANO, ROUND_DOWN), "f")
    return text.rstrip("0").rstrip(".")
