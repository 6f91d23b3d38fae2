"""The ids of function calls, which Google's clients may leave out: a response then belongs to the call of its name."""

from __future__ import annotations

import secrets
from collections.abc import Callable


def random_id() -> str:
    """For a call in an answer: unlike that of any other answer."""
    return f"call_{secrets.token_hex(8)}"


class CallIds:
    """Gives the calls of one conversation their ids, in order, and finds them again for the responses.

    made: makes the id of a call that has none; by default they are numbered, so that the same prompt gets the same.
    """

    def __init__(self, made: Callable[[], str] | None = None) -> None:
        self._made = made or self._numbered
        self._count = 0
        self._known: set[str] = set()
        self._waiting: list[tuple[str, str]] = []

    def of_call(self, id: str | None, name: str) -> str:
        id = id or self._made()
        self._known.add(id)
        self._waiting.append((id, name))
        return id

    def of_response(self, id: str | None, name: str) -> str:
        """The id of the call that it answers; a new one where nothing was called."""
        for place, (waiting, called) in enumerate(self._waiting):
            if waiting == id if id else called == name:
                del self._waiting[place]
                return waiting
        return id or self._made()

    def _numbered(self) -> str:
        while True:
            self._count += 1
            id = f"call_{self._count}"
            if id not in self._known:
                return id
