"""When Python looks for garbage among the objects that refer to each other.

A look walks over all objects that live. While modules are imported they become more and more and all of them stay, so
the looks of a start cost a quarter of it and find next to nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Nothing is looked for in here, and later looks leave alone what there is at the end of it: for imports.

    with uncollected():
        from hive_edge.service import edge_service
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
