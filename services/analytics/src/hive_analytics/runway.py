"""How many days money lasts: what is left, over what was spent per day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

DAYS = 7
"""How far back "per day" looks."""


@dataclass(frozen=True, slots=True)
class Purse:
    """What a wallet (no key) or a key's budget has left, in nano-dollars."""

    tenant: str
    key: str
    left: int


@dataclass(frozen=True, slots=True)
class Lasts:
    """per_day: nano-dollars, rounded down. days: None where nothing was spent, so it lasts for ever."""

    purse: Purse
    per_day: int
    days: float | None


def lasting(purses: Iterable[Purse], spent: Mapping[tuple[str, str], int]) -> list[Lasts]:
    """spent: in the last `DAYS`, by tenant and key. What is empty first is the first of the list."""
    of_tenants: dict[str, int] = {}
    for (tenant, _), nanos in spent.items():
        of_tenants[tenant] = of_tenants.get(tenant, 0) + nanos
    found = []
    for purse in purses:
        gone = spent.get((purse.tenant, purse.key), 0) if purse.key else of_tenants.get(purse.tenant, 0)
        days = max(purse.left, 0) * DAYS / gone if gone > 0 else None
        found.append(Lasts(purse, max(gone, 0) // DAYS, days))
    found.sort(key=lambda each: (each.days is None, each.days or 0, each.purse.tenant, each.purse.key))
    return found
