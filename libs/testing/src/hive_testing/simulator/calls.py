"""What arrived and what became of it: one `Call` per request."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec


class Call:
    """One request and the state of its answer; the fields below change while it is being answered.

    started       the head of the answer was sent
    delivered     bytes of the answer's body handed to the socket, without the HTTP framing
    disconnected  the client left before the end of the answer
    closed        an event: nothing more will be sent for this call
    """

    __slots__ = (
        "body",
        "closed",
        "delivered",
        "disconnected",
        "keep_alive",
        "method",
        "number",
        "path",
        "query",
        "raw_headers",
        "started",
    )

    def __init__(
        self, method: str, target: str, raw_headers: list[tuple[bytes, bytes]], body: bytes, keep_alive: bool
    ) -> None:
        self.number = 0
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.raw_headers = raw_headers
        self.body = body
        self.keep_alive = keep_alive
        self.started = False
        self.delivered = 0
        self.disconnected = False
        self.closed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Call {self.number} {self.method} {self.path} delivered={self.delivered}>"

    @property
    def headers(self) -> dict[str, str]:
        """The headers, names in lower case; the last one of a name counts."""
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.raw_headers}

    @property
    def json(self) -> Any:
        """The parsed body, or None where it is not JSON."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return None

    def header(self, name: bytes) -> str:
        """One header by its lower-case name, or an empty text."""
        for key, value in self.raw_headers:
            if key.lower() == name:
                return value.decode("latin-1")
        return ""

    async def wait_closed(self, timeout: float = 5.0) -> None:
        """Wait until nothing more will be sent; raises `TimeoutError`."""
        async with asyncio.timeout(timeout):
            await self.closed.wait()

    def close(self, disconnected: bool = False) -> None:
        """Note that nothing more will be sent."""
        if not self.closed.is_set():
            self.disconnected = disconnected
            self.closed.set()

    def view(self) -> dict[str, Any]:
        """The call as plain values; the body stays bytes, which JSON shows as base64."""
        return {
            "number": self.number,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
            "body": self.body,
            "json": self.json,
            "started": self.started,
            "delivered": self.delivered,
            "disconnected": self.disconnected,
            "closed": self.closed.is_set(),
        }
