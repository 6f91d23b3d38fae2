"""Ids of requests: in the order of their time, so that what is kept by them grows at one end.

With random ids every posting and row lands on a page of an index of its own, which has to be written with it.
"""

from __future__ import annotations

import os


def new_request_id(now: float) -> str:
    """`req_` and 32 hex digits: 12 of the Unix milliseconds, 20 that nobody can guess. now: Unix seconds."""
    return f"req_{int(now * 1000) & 0xFFFF_FFFF_FFFF:012x}{os.urandom(10).hex()}"
