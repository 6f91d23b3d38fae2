"""Moments as operators write them: Unix seconds, a date, a moment in RFC 3339, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from hive_runtime.errors import HiveError, Kind

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AGO = re.compile(r"([1-9][0-9]{0,5})([mhdw])")
UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
SECONDS = re.compile(r"[0-9]{1,12}")
MILLISECOND = timedelta(milliseconds=1)


def unix_ms(written: int | str, now: float, param: str) -> int:
    """Unix milliseconds; raises HiveError `invalid` that blames `param`. now: Unix seconds."""
    text = str(written)
    if SECONDS.fullmatch(text):
        return int(text) * 1000
    if ago := AGO.fullmatch(text):
        return int(now * 1000) - int(ago[1]) * UNITS[ago[2]] * 1000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise HiveError(
            Kind.INVALID,
            f"{param}: must be a date or moment such as 2026-11-01 or 2026-11-01T12:00:00Z, how long ago such as"
            f" 7d or 12h, or Unix seconds (got {text[:60]!r})",
            param,
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0, (moment - EPOCH) // MILLISECOND)


def shown(ms: int) -> str:
    """A moment in RFC 3339, in UTC."""
    moment = EPOCH + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds" if ms % 1000 else "seconds").replace("+00:00", "Z")
