"""Money as operators write and read it: decimal strings of US dollars, which become nano-dollars at once."""

from __future__ import annotations

import re
from dataclasses import fields
from numbers import Real
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from hive_console.control import AutoRecharge, Caps
from hive_console.declarations import Form, wrong
from hive_runtime.money import PICOS_PER_DOLLAR, format_usd, parse_usd

DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?")


def _nanos(value: object) -> object:
    if isinstance(value, Real) and not isinstance(value, bool):
        raise wrong(f'must be a decimal string, with the quotes: "{value}"', said=True)
    if not isinstance(value, str):
        raise wrong('must be a decimal string of US dollars such as "12.50"')
    if value.startswith("-"):
        raise wrong("must not be negative")
    if not DECIMAL.fullmatch(value):
        raise wrong('must be a decimal string of US dollars such as "12.50"')
    try:
        return parse_usd(value)
    except ValueError as error:
        words = "a nano-dollar (0.000000001) is the finest" if "finer" in str(error) else "is too large"
        raise wrong(f"{value} cannot be kept exactly: {words}", said=True) from None


def _more_than_nothing(value: object) -> object:
    nanos = _nanos(value)
    if nanos == 0:
        raise wrong("must be more than 0")
    return nanos


LARGEST_NANOS = 10**18
"""A billion dollars: sums of such amounts still fit into 64 bits."""
Usd = Annotated[int, Field(le=LARGEST_NANOS), BeforeValidator(_nanos)]
"""Nano-dollars, written as a decimal string of dollars: 0 or more."""
SomeUsd = Annotated[int, Field(le=LARGEST_NANOS), BeforeValidator(_more_than_nothing)]
"""The same, but more than 0."""


class CapsForm(Form):
    """What may be spent per calendar day, week and month; null is no cap."""

    day_usd: Usd | None = None
    week_usd: Usd | None = None
    month_usd: Usd | None = None

    def changes(self) -> dict[str, int | None]:
        """The written fields as `Caps` has them."""
        return {name.replace("_usd", "_nanos"): nanos for name, nanos in self.given().items()}


def cap_changes(form: CapsForm | None) -> dict[str, int | None]:
    """What changes of `Caps`; null clears them all."""
    return {each.name: None for each in fields(Caps)} if form is None else form.changes()


class AutoRechargeForm(Form):
    """Below `below_usd`, `amount_usd` is moved, at most `times_per_day` times a day."""

    below_usd: Usd
    amount_usd: SomeUsd
    times_per_day: int = Field(default=1, ge=1, le=1000)

    def rule(self) -> AutoRecharge:
        return AutoRecharge(self.below_usd, self.amount_usd, self.times_per_day)


def usd(nanos: int | None) -> str | None:
    """The exact amount as a decimal string; null where there is none."""
    return None if nanos is None else format_usd(nanos)


def caps_answer(caps: Caps) -> dict[str, Any]:
    return {
        "day_usd": usd(caps.day_nanos),
        "week_usd": usd(caps.week_nanos),
        "month_usd": usd(caps.month_nanos),
    }


def rule_answer(rule: AutoRecharge | None) -> dict[str, Any] | None:
    if rule is None:
        return None
    return {
        "below_usd": usd(rule.below_nanos),
        "amount_usd": usd(rule.amount_nanos),
        "times_per_day": rule.times_per_day,
    }


PER_MILLION = frozenset(
    {
        "prompt",
        "cached_prompt",
        "cache_write_5m",
        "cache_write_1h",
        "completion",
        "reasoning",
        "audio_in",
        "audio_out",
        "character",
    }
)
"""Units whose price is told per million of them."""


def price_answer(unit: str, picos: int) -> dict[str, Any]:
    """A price of so many pico-dollars per unit, as exact dollars per the customary number of units."""
    per = 1_000_000 if unit in PER_MILLION else 1
    dollars, rest = divmod(picos * per, PICOS_PER_DOLLAR)
    return {"unit": unit, "usd": f"{dollars}.{f'{rest:012d}'.rstrip('0').ljust(2, '0')}", "per": per}
