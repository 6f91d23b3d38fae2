"""The provider port: one call to one model, in a dialect that the provider speaks, answered as raw bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol

import msgspec


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds: to connect, until the first byte of the answer, between two bytes, for the whole call."""

    connect: float = 5.0
    first_byte: float = 120.0
    idle: float = 60.0
    total: float = 600.0

    @property
    def shortest(self) -> float:
        """The shortest time that may pass between two signs of life."""
        return min(self.first_byte, self.idle, self.total)


class ProviderCall(msgspec.Struct):
    """One attempt at one deployment.

    operation: what is asked, one of those that the provider `speaks`.
    model: the provider's own name.
    body: JSON in the dialect of the operation, ready to be sent.
    attempt_id: unique per attempt; the provider gets it as `x-client-request-id`.
    headers: those of the client's headers that a provider may read.
    """

    operation: str
    model: str
    body: bytes
    stream: bool
    attempt_id: str
    timeouts: Timeouts
    headers: dict[str, str] = {}


PassOn = Callable[[Callable[[bytes], bool]], Awaitable[None]]
"""Gives a function what comes of a body, as soon as it is there and for as long as it says true.

Returns once it has said false, and raises what it raises; ends and fails as the iteration over the body does.
"""


class Body(Protocol):
    """The bytes of an answer as they come; an async generator is one.

    One that need not be asked for each part has a `pass_on`, which is a `PassOn`.
    """

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes: ...

    async def aclose(self) -> None:
        """End the provider's work at once where it still runs; may be called twice."""
        ...


class ProviderAnswer(msgspec.Struct):
    """Status, lower-case headers, and the body; whoever got it closes the body.

    whole: the same body where all of it has come already: then there is nothing to wait for.
    """

    status: int
    headers: dict[str, str]
    body: Body
    whole: bytes | None = None


class Provider(Protocol):
    @property
    def speaks(self) -> Sequence[str]:
        """Operations, those that it does best first.

        The dialects of conversations: `chat`, `messages`, `responses`, `gemini`, `converse`; and `completions`,
        `embeddings`, `rerank`, `moderations`, whose bodies and answers are in OpenAI's form (Cohere's for `rerank`).
        Answers of streams are server-sent events in the dialect, whatever the provider's own framing is.
        """
        ...

    def send(self, call: ProviderCall) -> Coroutine[Any, Any, ProviderAnswer]:
        """Returns when the head of the answer is there.

        Raises HiveError: `invalid` where this provider cannot do what the body asks (with the parameter),
        `unavailable` (could not connect), `timeout`, `upstream_failed` (the connection broke). Iterating
        `body` raises the same kinds. Cancelling ends the provider's work within a second.
        """
        ...

    async def close(self) -> None:
        """Free connections and processes; calls in flight fail."""
        ...
