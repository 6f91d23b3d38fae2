"""Reads the headers by which a caller has a say: `x-hive-region` and `x-hive-hedge`."""

from __future__ import annotations

import re
from dataclasses import replace

from hive_routing.choosing.terms import Region, Wishes
from hive_runtime.errors import HiveError, Kind

REGION_HEADER = "x-hive-region"
HEDGE_HEADER = "x-hive-hedge"
SHORTEST_HEDGE_MS = 100
"""A second call costs the operator money: no caller has every request sent twice."""
LONGEST_HEDGE_MS = 60_000
HEADERS = frozenset({REGION_HEADER.encode(), HEDGE_HEADER.encode()})
_REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_OFF = frozenset({"0", "false", "off", "none"})


def with_header(wishes: Wishes, name: bytes, value: bytes) -> Wishes:
    """The wishes and what one of `HEADERS` says. HiveError `invalid` where it cannot be read."""
    said = value.decode("latin-1")
    if name == REGION_HEADER.encode():
        return replace(wishes, region=read_region(said))
    return replace(wishes, hedge_seconds=read_hedge(said))


def read_region(value: str) -> Region:
    """Of `eu` (first) or `eu; require` (or not at all). HiveError `invalid` where it is neither."""
    name, semicolon, rest = (part.strip().lower() for part in value.partition(";"))
    if len(name) > 64 or not _REGION.fullmatch(name) or (semicolon and rest != "require"):
        message = f"`{REGION_HEADER}` must be a region such as `eu`, or `eu; require`; got `{value[:80]}`."
        raise HiveError(Kind.INVALID, message, REGION_HEADER)
    return Region(name, required=bool(semicolon))


def read_hedge(value: str) -> float:
    """Seconds, of a number of milliseconds; 0 for `false`. HiveError `invalid` where it is neither."""
    said = value.strip().lower()
    if said in _OFF:
        return 0.0
    if said.isascii() and said.isdigit() and len(said) <= 6:
        milliseconds = int(said)
        if SHORTEST_HEDGE_MS <= milliseconds <= LONGEST_HEDGE_MS:
            return milliseconds / 1000
    message = (
        f"`{HEDGE_HEADER}` must be milliseconds from {SHORTEST_HEDGE_MS} to {LONGEST_HEDGE_MS}, or `false`; "
        f"got `{value[:80]}`."
    )
    raise HiveError(Kind.INVALID, message, HEDGE_HEADER)
