"""Ids of requests: in the order of their time, so that what is kept by them grows at one end.

With random ids every posting and row lands on a page of an index of its own, which has to be written with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

_BYTES = 10
_TOGETHER = 256


def new_request_id(now: float) -> str:
    """`req_` and 32 hex digits: 12 of the Unix milliseconds, 20 that nobody can guess. now: Unix seconds."""
    return f"req_{int(now * 1000) & 0xFFFF_FFFF_FFFF:012x}{next(_secrets)}"


def _unguessable() -> Iterator[str]:
    """Many at once: asking the kernel for each costs more than all else of an id."""
    while True:
        drawn = os.urandom(_BYTES * _TOGETHER).hex()
        for start in range(0, len(drawn), 2 * _BYTES):
            yield drawn[start : start + 2 * _BYTES]


_secrets = _unguessable()
