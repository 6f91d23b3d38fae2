"""The doors of a service of which one process works at a time: open where that is this one, else they say so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from hive_runtime.errors import HiveError, Kind


class Doors:
    """One servicer of each name, which changes with every start of the work, and is nobody in between."""

    def __init__(self) -> None:
        self._open: dict[str, object] = {}

    def open(self, **doors: object) -> None:
        self._open = doors

    def shut(self) -> None:
        """From now on calls are refused; those that were taken go on."""
        self._open = {}

    def door(self, name: str) -> Door:
        """Serve this one: it is there before any is open."""
        return Door(lambda: self._open.get(name))


class Door:
    """A servicer: each of its methods is that of the one who works, or HiveError `unavailable`."""

    def __init__(self, behind: Callable[[], object | None]) -> None:
        self._behind = behind

    def __getattr__(self, name: str) -> Callable[[Any, Any], Awaitable[Any]]:
        async def call(request: Any, context: Any) -> Any:
            servicer = self._behind()
            if servicer is None:
                message = "Another process does this work, and this one stands by. Try again in a moment."
                raise HiveError(Kind.UNAVAILABLE, message, retry_after=1)
            return await getattr(servicer, name)(request, context)

        return call
