"""The engine of this machine: chDB, on a folder. All that needs it is here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from hive_runtime.imports import without


def is_installed() -> bool:
    """Without importing it."""
    return find_spec("chdb") is not None


@contextmanager
def lean() -> Iterator[None]:
    """In here the engine is imported without what hands its answers out as tables of other libraries: 27 MB.

    It does not do without Arrow's name, so this stands for it; what has imported Arrow keeps it.
    """
    arrow = ModuleType("pyarrow")
    arrow.RecordBatchReader = object  # type: ignore[attr-defined]
    with without("numpy"):
        known = sys.modules.setdefault("pyarrow", arrow)
        try:
            import_module("chdb")  # the client would, later
            yield
        finally:
            if known is arrow:
                del sys.modules["pyarrow"]
