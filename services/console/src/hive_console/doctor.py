"""What the books say beside what analytics says, per tenant, key and day: the first difference first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from hive_runtime.money import format_usd


class Place(NamedTuple):
    """day: YYYY-MM-DD, UTC."""

    day: str
    tenant_id: str
    key_id: str


class Sums(NamedTuple):
    """Of the postings that occurred there. Nano-dollars."""

    spent: int = 0
    provider_cost: int = 0
    postings: int = 0


def differences(books: Mapping[Place, Sums], analytics: Mapping[Place, Sums]) -> Iterator[str]:
    """Every figure that is not the same, in plain words, the earliest day first."""
    for place in sorted(books.keys() | analytics.keys()):
        kept, shown = books.get(place, Sums()), analytics.get(place, Sums())
        if kept == shown:
            continue
        whose = f"{place.day}, tenant {place.tenant_id!r}, key {place.key_id!r}"
        if kept.spent != shown.spent:
            yield f"{whose}: spent {_apart(kept.spent, shown.spent)}"
        if kept.provider_cost != shown.provider_cost:
            yield f"{whose}: provider cost {_apart(kept.provider_cost, shown.provider_cost)}"
        if kept.postings != shown.postings:
            yield f"{whose}: the books have {kept.postings} postings, analytics has {shown.postings}"


def _apart(books: int, analytics: int) -> str:
    return (
        f"is ${format_usd(books)} by the books and ${format_usd(analytics)} by analytics"
        f" (${format_usd(abs(books - analytics))} apart)"
    )
