"""The ids of function calls, which Google's clients may leave out: a response then belongs to the call of its name."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


def random_id() -> str:
    """For a call in an answer: unlike that of any other answer."""
    return f"call_{secrets.token_hex(8)}"


@dataclass(slots=True)
class _Called:
    id: str
    is_answered: bool = False


class CallIds:
    """Gives the calls of one conversation their ids, in order, and finds them again for the responses.

    made: makes the id of a call that has none; by default they are numbered, so that the same prompt gets the same.
    Takes time in proportion to the number of calls and responses, whatever they are called.
    """

    def __init__(self, made: Callable[[], str] | None = None) -> None:
        self._made = made or self._numbered
        self._count = 0
        self._by_id: dict[str, deque[_Called]] = {}
        self._by_name: dict[str, deque[_Called]] = {}

    def of_call(self, id: str | None, name: str) -> str:
        called = _Called(id or self._made())
        self._by_id.setdefault(called.id, deque()).append(called)
        self._by_name.setdefault(name, deque()).append(called)
        return called.id

    def of_response(self, id: str | None, name: str) -> str:
        """The id of the call that it answers; a new one where nothing was called."""
        waiting = self._by_id.get(id) if id else self._by_name.get(name)
        while waiting:
            called = waiting.popleft()
            if not called.is_answered:
                called.is_answered = True
                return called.id
        return id or self._made()

    def _numbered(self) -> str:
        while True:
            self._count += 1
            id = f"call_{self._count}"
            if id not in self._by_id:
                return id
