"""Sets of sequence numbers, kept as spans: what came, in any order and as often as it likes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

Span = tuple[int, int]
"""First and last number, both of them in it."""


class Spans:
    """Numbers from 1 on. Spans that touch are one, so a set without gaps is a single span."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._spans: list[Span] = []
        self.add(spans)

    def __iter__(self) -> Iterable[Span]:
        return iter(self._spans)

    @property
    def through(self) -> int:
        """Every number from 1 to this one is in the set; 0: not even the 1."""
        return self._spans[0][1] if self._spans and self._spans[0][0] == 1 else 0

    @property
    def last(self) -> int:
        """The highest number in the set; 0 where it is empty."""
        return self._spans[-1][1] if self._spans else 0

    def add(self, spans: Iterable[Span]) -> None:
        """Numbers below 1 stand for "not numbered", and are left out."""
        for first, last in spans:
            if last >= 1:
                self._add(max(first, 1), last)

    def _add(self, first: int, last: int) -> None:
        known = self._spans
        # From the first span that ends no earlier than right before `first` on, spans may be swallowed.
        start = bisect_left(known, first - 1, key=lambda span: span[1])
        end = start
        while end < len(known) and known[end][0] <= last + 1:
            first, last = min(first, known[end][0]), max(last, known[end][1])
            end += 1
        known[start:end] = [(first, last)]


def spans_of(numbers: Iterable[int]) -> list[Span]:
    """The spans that these numbers form."""
    spans: list[Span] = []
    for number in sorted(numbers):
        if spans and number <= spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return spans
