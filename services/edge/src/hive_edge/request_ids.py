"""Ids of requests: in the order of their time, so that what is kept by them grows at one end.

With random ids every posting and row lands on a page of an index of its own, which has to be written with it.
"""

from __future__ import annotations

import os

_BYTES = 10
_TOGETHER = 256


def new_request_id(now: float) -> str:
    """`req_` and 32 hex digits: 12 of the Unix milliseconds, 20 that nobody can guess. now: Unix seconds."""
    if not _secrets:
        _draw()
    return f"req_{int(now * 1000) & 0xFFFF_FFFF_FFFF:012x}{_secrets.pop()}"


def _draw() -> None:
    """Many at once: asking the kernel for each costs more than all else of an id."""
    drawn = os.urandom(_BYTES * _TOGETHER).hex()
    _secrets.extend(drawn[start : start + 2 * _BYTES] for start in range(0, len(drawn), 2 * _BYTES))


_secrets: list[str] = []
"""Each is given out once."""
