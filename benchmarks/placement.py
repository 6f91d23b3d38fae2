"""Where the harness's own processes run, so that the gateway is measured and not they."""

from __future__ import annotations

import contextlib
import gc
import os
import sys


def settle_in(place: int) -> None:
    """Pin this process: place 0 is the last processor, 1 the one before it where there are at least four.

    It goes before others where it may, and its garbage collector rests from here on: a pause of the harness
    would be read as one of the gateway.
    """
    gc.disable()
    with contextlib.suppress(PermissionError):
        os.nice(-10)
    if sys.platform != "linux":
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[-1 - place] if len(cores) >= 4 else cores[-1]})
