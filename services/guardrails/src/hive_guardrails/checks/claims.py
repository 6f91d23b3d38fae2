"""Claims of several patterns on one text, made into findings that do not overlap."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from operator import attrgetter

from hive_guardrails.checks.port import Finding

_START = attrgetter("start")

BEFORE = r"(?:(?<![A-Za-z0-9]{0})|(?<=\\[nrt]{0}))"
"""Written behind a literal {0}: no letter or digit before it, or the escape of a line break in JSON source."""


def settle(claims: Iterable[Finding]) -> list[Finding]:
    """Each character belongs to the longest claim on it, and to the surer one of two that are equally long.

    What is left of a shorter claim stays a finding, so that no claimed character goes free. Whom a character belongs
    to depends on the claims on it alone: what is far away in the text cannot change it.
    """
    kept: list[Finding] = []
    for claim in sorted(set(claims), key=lambda one: (one.start - one.end, -one.score, one)):
        start, end = claim.start, claim.end
        at = bisect_right(kept, start, key=_START)
        if at and kept[at - 1].end > start:
            start = kept[at - 1].end
            while at < len(kept) and kept[at].start == start:
                start = kept[at].end
                at += 1
        if at < len(kept):
            end = min(end, kept[at].start)
        if start < end:
            kept.insert(at, claim._replace(start=start, end=end))
    return kept
