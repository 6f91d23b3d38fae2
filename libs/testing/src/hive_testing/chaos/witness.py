"""Looks on as answers arrive, below the official client: whether a stream was ended, and how."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import httpx2

TAIL_BYTES = 64
SEEN = "seen"
"""Where a response's extensions hold what was seen of it."""


@dataclass
class Seen:
    """tail: the last bytes of the body."""

    tail: bytes = b""

    @property
    def is_done(self) -> bool:
        """Whether a stream was ended as the protocol says."""
        return b"data: [DONE]" in self.tail


class Witness(httpx2.AsyncBaseTransport):
    """The usual transport of the client. requests: how many it has sent, again sent ones too."""

    def __init__(self) -> None:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        self._inner = httpx2.AsyncHTTPTransport(limits=limits, trust_env=False)
        self.requests = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests += 1
        response = await self._inner.handle_async_request(request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        seen = Seen()
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=WitnessedStream(response.stream, seen),
            extensions=response.extensions | {SEEN: seen},
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


class WitnessedStream(httpx2.AsyncByteStream):
    """A body that is looked at as it passes. No generator: nothing of it is left to the garbage collector."""

    def __init__(self, inner: httpx2.AsyncByteStream, seen: Seen) -> None:
        self._inner = inner
        self._parts = inner.__aiter__()
        self._seen = seen

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data = await anext(self._parts)
        self._seen.tail = (self._seen.tail + data)[-TAIL_BYTES:]
        return data

    async def aclose(self) -> None:
        await self._inner.aclose()
        if isinstance(self._parts, AsyncGenerator):
            with suppress(RuntimeError):  # whoever reads it now ends it
                await self._parts.aclose()
