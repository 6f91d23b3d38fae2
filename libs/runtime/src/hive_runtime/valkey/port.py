"""What services ask of a shared Valkey (or Redis) server of release 7 or newer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Argument = str | bytes
Reply = Any
"""bytes, int, None, the string "OK", or a list of them."""


@dataclass(frozen=True, slots=True)
class Script:
    """Lua that runs at the server as one step. It is sent in full only where the server does not know it."""

    source: str


class Valkey(Protocol):
    """Every call ends within half a second, and raises HiveError `unavailable` (with `retry_after`) where the
    server is away, answers too late, or refuses.

    A call that raised may have happened at the server, once; it is never sent twice. While the server is known to
    be away, calls fail at once. Safe to use from any task of the event loop of its first call.
    """

    @property
    def trouble(self) -> str | None:
        """Why calls fail just now; None: they do not, as far as is known."""
        ...

    async def run(self, script: Script, keys: Sequence[Argument], arguments: Sequence[Argument]) -> Reply: ...

    async def get(self, key: Argument) -> bytes | None: ...

    async def put(self, key: Argument, value: bytes, ttl_seconds: float) -> None:
        """Keep it for so long, at least for a millisecond."""
        ...

    async def delete(self, *keys: Argument) -> int:
        """How many of them there were."""
        ...

    async def ask(self, *command: Argument) -> Reply:
        """Any other command that has one reply."""
        ...

    async def close(self) -> None:
        """Calls under way fail, and so do later ones. May be called twice."""
        ...
