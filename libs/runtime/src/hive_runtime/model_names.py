"""Names with one `*` in them: which names of a client they stand for, and what of a name the `*` stands for."""

from __future__ import annotations

import re
from collections.abc import Iterable

STAR = "*"
LONGEST = 200
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]*(/[A-Za-z0-9][A-Za-z0-9._:@+-]*)*")
"""What may stand for a `*` in a name: it becomes a part of a provider's URL, so no part of it begins with a dot."""


def is_pattern(name: str) -> bool:
    return STAR in name


def matched(pattern: str, name: str) -> str | None:
    """What the `*` of the pattern stands for in the name; None where the pattern does not fit, or a name is odd."""
    before, _, after = pattern.partition(STAR)
    if len(name) <= len(before) + len(after) or not name.startswith(before) or not name.endswith(after):
        return None
    if len(name) > LONGEST or not _PLAIN.fullmatch(name):
        return None
    return name[len(before) : len(name) - len(after)]


def filled(name: str, part: str) -> str:
    """The name with its `*` replaced."""
    return name.replace(STAR, part, 1)


def by_specificity(patterns: Iterable[str]) -> list[str]:
    """Those that say more come first: by letters beside the `*`, then by those before it, then by the alphabet."""
    return sorted(patterns, key=lambda each: (-len(each), -each.index(STAR), each))
