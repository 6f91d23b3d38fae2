"""The engine of this machine: chDB, on a folder. All that needs it is here."""

from __future__ import annotations

from importlib.util import find_spec


def is_installed() -> bool:
    """Without importing it."""
    return find_spec("chdb") is not None
