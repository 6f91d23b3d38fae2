"""What a session stands between: a line to its client, one to its provider, and who opens the latter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from hive_routing.providers.port import Timeouts

OPERATION = "realtime"
"""What a provider speaks that has sessions."""


class Message(NamedTuple):
    data: bytes
    is_text: bool = True


class Closed(Exception):
    """The other side has left. code: of its close; 1006 where it said nothing."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"closed with {code} {reason}")
        self.code = code
        self.reason = reason


class Line(Protocol):
    """One side of a session. Whole messages, in their order; who sends may have to wait."""

    async def receive(self) -> Message:
        """The next message; raises Closed. One at a time."""
        ...

    async def send(self, message: Message) -> None:
        """Several may send; raises Closed where nobody is there any more."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """End it; may be called twice, and after the other side has left."""
        ...


@dataclass(frozen=True, slots=True)
class SessionCall:
    """What a provider is asked for. model: its own name. query: what the client said beside the model's name.

    headers: those of the client's headers that a provider may read.
    """

    model: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    timeouts: Timeouts


@runtime_checkable
class SessionProvider(Protocol):
    async def open_session(self, call: SessionCall) -> Line:
        """Raises HiveError as `Provider.send` does, and for the provider's refusal."""
        ...
