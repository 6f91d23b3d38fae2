"""Money as integers: amounts are nano-dollars (1e-9 USD), prices are pico-dollars (1e-12 USD) per unit.

No binary fraction ever holds an amount: text becomes an integer, integers are added, and what is shown is
made from the integer. Rounding happens once, in `cost`, to the nearest nano-dollar, halves to the even one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple, TypeVar

NANOS_PER_DOLLAR: Final = 1_000_000_000
PICOS_PER_DOLLAR: Final = 1_000_000_000_000
PICOS_PER_NANO: Final = 1000
LARGEST: Final = 2**63 - 1
_BELOW_HALF: Final = PICOS_PER_NANO // 2 - 1
"""What lifts more than a half to the next nano-dollar, and a half itself where one more is added: above an odd one."""

UNITS: Final = (
    "prompt",
    "cached_prompt",
    "cache_write_5m",
    "cache_write_1h",
    "completion",
    "reasoning",
    "audio_in",
    "audio_out",
    "image",
    "character",
    "second",
    "page",
    "video_second",
    "search",
)
"""What can be counted and priced. Each token is counted under one unit only: a cached one is no `prompt`, one
of reasoning is no `completion`."""

PROMPT_UNITS: Final = ("prompt", "cached_prompt", "cache_write_5m", "cache_write_1h", "audio_in")
"""What a prompt consists of: a price may depend on how long it is."""

STANDS_IN: Final[Mapping[str, str]] = {
    "cached_prompt": "prompt",
    "cache_write_5m": "prompt",
    "cache_write_1h": "cache_write_5m",
    "audio_in": "prompt",
    "reasoning": "completion",
    "audio_out": "completion",
}
"""The unit whose price holds where a unit has none of its own."""

Tiers = tuple[tuple[int, Mapping[str, int]], ...]
T = TypeVar("T")

_DECIMAL = re.compile(r"(-?)(\d+)(?:\.(\d+))?")


def parse_usd(text: str) -> int:
    """Nano-dollars of a decimal string in dollars; ValueError where it is none, or is finer than a nano-dollar."""
    return _parse(text, 9, "nano-dollar")


def parse_price(text: str, per: int) -> int:
    """Pico-dollars per unit of a decimal string in dollars per `per` units; ValueError where it is finer."""
    match = _DECIMAL.fullmatch(text)
    if match is None or match[1]:
        raise ValueError(f"{text!r} is not a decimal number")
    digits = match[3] or ""
    scaled, rest = divmod(int(match[2] + digits) * PICOS_PER_DOLLAR, per * 10 ** len(digits))
    if rest:
        raise ValueError(f"{text!r} per {per} is finer than a pico-dollar per unit")
    return _bounded(scaled, text)


def format_usd(nanos: int) -> str:
    """The exact amount as a decimal string with at least two decimals: `0.10`, `-1.000000001`."""
    digits = f"{nanos:010d}" if nanos >= 0 else f"{nanos:011d}"  # one before the point at least
    return f"{digits[:-9]}.{digits[-9:-7]}{digits[-7:].rstrip('0')}"


def show_usd(nanos: int, *, up: bool = False) -> str:
    """A short amount for people: `$0.12`; below a cent its first two digits. Rounded down, or `up`."""
    if nanos < 0:
        return "-" + show_usd(-nanos, up=not up)
    step = 10_000_000
    while 0 < nanos < step and step > 1:
        step //= 10
    if 1 < step < 10_000_000:
        step //= 10  # two digits, not one
    whole, rest = divmod(nanos, step)
    return "$" + format_usd((whole + (1 if up and rest else 0)) * step)


def cost(units: Mapping[str, int], prices: Mapping[str, int]) -> int:
    """Nano-dollars of counted units at pico-dollars per unit, rounded once, halves to the even nano-dollar.

    A unit without a price of its own has that of the unit that stands in for it (`STANDS_IN`); else it is free.
    """
    picos = 0
    for unit, count in units.items():
        if count:
            picos += count * price_of(unit, prices)
    return rounded(picos)


def rounded(picos: int) -> int:
    """Nano-dollars of pico-dollars, halves to the even one."""
    return (picos + _BELOW_HALF + (picos // PICOS_PER_NANO & 1)) // PICOS_PER_NANO


def price_of(unit: str, prices: Mapping[str, int]) -> int:
    """Pico-dollars of one unit; 0 where neither it nor what stands in for it has a price."""
    while unit not in prices:
        substitute = STANDS_IN.get(unit)
        if substitute is None:
            return 0
        unit = substitute
    return prices[unit]


class Worst(NamedTuple):
    """Pico-dollars of a token at the most, in one tier; those of a search too.

    kept: of a prompt that the provider is told to keep. heard, spoken: of a prompt with sound, of a spoken answer.
    """

    prompt: int
    output: int
    kept: int
    heard: int
    spoken: int
    search: int

    @classmethod
    def of(cls, prices: Mapping[str, int]) -> Worst:
        """prices: of each of `UNITS`."""
        prompt, output = prices["prompt"], max(prices["completion"], prices["reasoning"])
        return cls(
            prompt,
            output,
            kept=max(prompt, prices["cache_write_5m"], prices["cache_write_1h"]),
            heard=max(prompt, prices["audio_in"]),
            spoken=max(output, prices["audio_out"]),
            search=prices["search"],
        )


@dataclass(frozen=True, slots=True)
class Tariff:
    """What the units of one subject cost.

    tiers: from how many prompt tokens on, and pico-dollars per unit then, the lowest first. A tier holds for the
    whole request; what it does not name costs what the tier below says.
    """

    tiers: Tiers
    is_free: bool = field(init=False, repr=False, compare=False)
    _complete: Tiers = field(init=False, repr=False, compare=False)
    _lowest: Mapping[str, int] = field(init=False, repr=False, compare=False)
    """Of all units, in the lowest tier: nearly always the only one."""
    _is_tiered: bool = field(init=False, repr=False, compare=False)
    _worst: tuple[tuple[int, Worst], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        free = not any(any(prices.values()) for _, prices in self.tiers)
        complete = tuple((start, {**prices, **_of_all_units(prices)}) for start, prices in self.tiers)
        object.__setattr__(self, "is_free", free)
        object.__setattr__(self, "_complete", complete)
        object.__setattr__(self, "_lowest", complete[0][1])
        object.__setattr__(self, "_is_tiered", len(complete) > 1)
        worst = tuple((start, Worst.of(prices)) for start, prices in complete)
        object.__setattr__(self, "_worst", worst)

    @classmethod
    def of(cls, rates: Iterable[tuple[str, int, int]]) -> Tariff:
        """Each rate: unit, pico-dollars per unit, from how many prompt tokens on.

        The same rates give the same object: what costs the same at two of them need not be worked out twice.
        """
        return _tariff_of(tuple(rates))

    def prices(self, prompt_tokens: int) -> Mapping[str, int]:
        """Pico-dollars per unit of a request with so many prompt tokens: of those units that have a price."""
        return _reached(self.tiers, prompt_tokens)

    def worst(self, prompt_tokens: int) -> Worst:
        """The dearest that a token of such a request can be."""
        return _reached(self._worst, prompt_tokens) if self._is_tiered else self._worst[0][1]

    def cost(self, units: Mapping[str, int]) -> int:
        """Nano-dollars of counted units, rounded once."""
        prices = self._lowest
        if self._is_tiered:
            prices = _reached(self._complete, sum(units.get(unit, 0) for unit in PROMPT_UNITS))
        picos = 0
        for unit, count in units.items():
            picos += count * prices.get(unit, 0)
        return rounded(picos)


@lru_cache(maxsize=4096)
def _tariff_of(rates: tuple[tuple[str, int, int], ...]) -> Tariff:
    given: dict[int, dict[str, int]] = {0: {}}
    for unit, picos, start in rates:
        given.setdefault(start, {})[unit] = picos
    merged: dict[str, int] = {}
    return Tariff(tuple((start, merged := merged | given[start]) for start in sorted(given)))


def _reached(tiers: Sequence[tuple[int, T]], prompt_tokens: int) -> T:
    found = tiers[0][1]
    for start, prices in tiers[1:]:
        if prompt_tokens >= start:
            found = prices
    return found


def _of_all_units(prices: Mapping[str, int]) -> dict[str, int]:
    return {unit: price_of(unit, prices) for unit in UNITS}


def _parse(text: str, places: int, finest: str) -> int:
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a decimal number")
    digits = (match[3] or "").rstrip("0")
    if len(digits) > places:
        raise ValueError(f"{text!r} is finer than a {finest}")
    value = _bounded(int(match[2] + digits.ljust(places, "0")), text)
    return -value if match[1] else value


def _bounded(value: int, text: str) -> int:
    if value > LARGEST:
        raise ValueError(f"{text!r} is too large")
    return value
