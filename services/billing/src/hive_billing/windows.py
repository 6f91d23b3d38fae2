"""Calendar windows in UTC. A day is counted from 1970-01-01; windows begin and end at midnight."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Final

DAY_MS: Final = 86_400_000
PERIODS: Final = ("day", "week", "month")

_EPOCH = date(1970, 1, 1).toordinal()


def day_of(unix_ms: int) -> int:
    return unix_ms // DAY_MS


def start_of_day(day: int) -> int:
    """Unix milliseconds of its midnight."""
    return day * DAY_MS


@lru_cache(maxsize=1024)
def window(period: str, day: int) -> tuple[int, int]:
    """First day of the window that `day` lies in, and the first day behind it. Weeks begin on Monday."""
    on = date.fromordinal(day + _EPOCH)
    if period == "day":
        return day, day + 1
    if period == "week":
        first = day - on.weekday()
        return first, first + 7
    if period == "month":
        after = date(on.year + on.month // 12, on.month % 12 + 1, 1)
        return day - on.day + 1, after.toordinal() - _EPOCH
    raise ValueError(f"{period!r} is no period")


@lru_cache(maxsize=1024)
def day_text(day: int) -> str:
    """YYYY-MM-DD."""
    return date.fromordinal(day + _EPOCH).isoformat()


def parse_day(text: str) -> int:
    """ValueError where it is no YYYY-MM-DD."""
    return date.fromisoformat(text).toordinal() - _EPOCH
