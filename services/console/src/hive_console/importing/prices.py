"""Prices that LiteLLM's configuration gives a model of its own, as a `price` here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from hive_console.declarations import PICO
from hive_console.importing.fields import Fields
from hive_console.importing.report import Report

MILLION: Final = 1_000_000
_UNITS: Final[Mapping[str, str]] = {
    "input_cost_per_token": "prompt",
    "cache_read_input_token_cost": "cached_prompt",
    "cache_creation_input_token_cost": "cache_write_5m",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "output_cost_per_token": "completion",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_in",
    "output_cost_per_audio_token": "audio_out",
    "output_cost_per_image": "image",
    "input_cost_per_character": "character",
    "input_cost_per_second": "second",
    "ocr_cost_per_page": "page",
    "output_cost_per_video_per_second": "video_second",
    "input_cost_per_query": "search",
}
_COST: Final = re.compile(r".*cost.*_per_.*|.*_token_cost.*|.*_cost_per_.*")


def read_price(parts: tuple[Fields, ...], report: Report) -> dict[str, Any] | None:
    """The first part that has a price for a unit counts: `litellm_params` before `model_info`. None: it has none."""
    units: dict[str, Decimal] = {}
    for fields in parts:
        for name, unit in _UNITS.items():
            if (amount := fields.number(name)) is not None:
                units.setdefault(unit, amount)
        for name in list(fields.names()):
            if name not in _UNITS and _COST.fullmatch(name) and fields.number(name):
                report.lost(
                    fields.at(name),
                    "a price for a case of its own",
                    "A price here is one amount per unit; where the provider's own list is right, write no price.",
                )
    fine = [unit for unit, amount in units.items() if amount * PICO % 1]
    if fine:
        report.lost(
            parts[0].path,
            f"its price for {', '.join(fine)} is finer than a pico-dollar",
            "Write a `price` that is a whole number of pico-dollars (1e-12) per unit.",
        )
        return None
    return write_price(units) if units else None


def write_price(units: Mapping[str, Decimal]) -> dict[str, Any]:
    """units: dollars of one. Per million where all of them are small, as token prices are."""
    per = MILLION if all(amount < Decimal("0.0001") for amount in units.values()) else 1
    return {**{unit: _plain(amount * per) for unit, amount in units.items()}, "per": per}


def _plain(amount: Decimal) -> str:
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
