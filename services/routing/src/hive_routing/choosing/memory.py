"""A bound for what is remembered by name, where clients' words can become names."""

from __future__ import annotations

from typing import Any


def make_room(known: dict[str, Any], most: int) -> None:
    """Forget what was put in first until one more fits."""
    while len(known) >= most:
        del known[next(iter(known))]
