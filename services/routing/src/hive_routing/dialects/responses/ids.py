"""Names for responses and their items: a prefix that says what is named, and what nobody can guess."""

from __future__ import annotations

import secrets
from collections.abc import Callable

NewId = Callable[[str], str]
"""Gives a new id for a prefix: `resp`, `msg`, `rs`, `fc`, `ig`."""


def random_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(24)}"
