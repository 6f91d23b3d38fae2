"""What a library imports where it is there, and is used for nothing here: megabytes of every process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """In here these modules cannot be imported, as if they were not installed. What has them already keeps them.

    with without("rich"):
        import structlog
    """
    loaded: dict[str, Any] = sys.modules
    hidden = [name for name in modules if name not in loaded]
    loaded |= dict.fromkeys(hidden)
    try:
        yield
    finally:
        for name in hidden:
            del loaded[name]
