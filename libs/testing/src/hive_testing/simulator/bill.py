"""The provider's own bill: what was generated, whether or not anybody received it."""

from __future__ import annotations

from collections import deque

import msgspec


class BillLine(msgspec.Struct):
    """What one call costs.

    `attempt_id` is the request's `x-client-request-id`; `finished` says that everything was generated.
    The tokens are all of them, those of caches and of thinking too, however the dialect counts them.
    """

    attempt_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int = 0
    finished: bool = False
    search_units: int = 0


class Bill:
    """The newest lines, and totals of all that were ever written."""

    def __init__(self, keep: int) -> None:
        self.lines: deque[BillLine] = deque(maxlen=keep)
        self.calls = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0

    def totals(self) -> dict[str, int]:
        """Calls, prompt tokens and completion tokens of all lines, dropped ones too."""
        return {
            "calls": self.calls,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }


class Meter:
    """Writes one call's line while its answer is generated; no line before the first token."""

    __slots__ = ("_bill", "_expected", "_line", "_opened", "_stated")

    def __init__(self, bill: Bill, line: BillLine, expected: int, stated: int) -> None:
        """`expected` tokens make the whole answer; `stated` is what its usage says."""
        self._bill = bill
        self._line = line
        self._expected = expected
        self._stated = stated
        self._opened = False

    def generated(self, tokens: int) -> None:
        """Bill so many completion tokens, and the prompt with the first of them."""
        line = self._line
        if not self._opened:
            self._opened = True
            self._bill.lines.append(line)
            self._bill.calls += 1
            self._bill.prompt_tokens += line.prompt_tokens
        if line.finished:
            return
        before = line.completion_tokens
        line.completion_tokens += tokens
        if line.completion_tokens >= self._expected:
            line.finished = True
            line.completion_tokens = self._stated
        self._bill.completion_tokens += line.completion_tokens - before
