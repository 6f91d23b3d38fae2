"""A client of ASGI applications that sees every message, and can leave in the middle of an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

App = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass
class Answered:
    """What an application sent, so far."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False
    messages: list[MutableMapping[str, Any]] = field(default_factory=list)


class Client:
    """One request to `app`; start it with `send`, leave with `leave`.

    parts: the body, as the application receives it. extra: further entries of the scope.
    """

    def __init__(
        self,
        app: App,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        parts: Iterable[bytes] = (b"",),
        extra: dict[str, Any] | None = None,
    ) -> None:
        raw, _, query = path.partition("?")
        self.answered = Answered()
        self._app = app
        self._parts = list(parts)
        self._left = asyncio.Event()
        self._on_departure: Callable[[], None] = _nothing
        self._changed = asyncio.Event()
        self._scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(raw),
            "raw_path": raw.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
            "hive.client": self,
            **(extra or {}),
        }

    async def send(self) -> Answered:
        """Run the application to its end; what it raises comes out here."""
        await self._app(self._scope, self._receive, self._take)
        return self.answered

    async def until(self, condition: Callable[[Answered], bool]) -> None:
        """Wait until the answer so far fulfils `condition`."""
        async with asyncio.timeout(10):
            while not condition(self.answered):
                self._changed.clear()
                await self._changed.wait()

    def leave(self) -> None:
        """Close the connection."""
        self._left.set()
        self._on_departure()

    # As the listener's `hive_relay.asgi.Client`

    is_full = False

    def whole_body(self) -> bytes | None:
        return self._parts.pop() if len(self._parts) == 1 else None

    def watch(self, on_departure: Callable[[], None]) -> None:
        self._on_departure = on_departure
        if self._left.is_set():
            on_departure()

    async def room(self) -> None:
        return

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._note({"type": "http.response.start", "status": status, "headers": headers})

    def write(self, body: bytes, more_body: bool) -> bool:
        self._note({"type": "http.response.body", "body": body, "more_body": more_body})
        return self.is_full

    async def _receive(self) -> MutableMapping[str, Any]:
        if self._parts:
            part = self._parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(self._parts)}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _take(self, message: MutableMapping[str, Any]) -> None:
        self._note(message)

    def _note(self, message: MutableMapping[str, Any]) -> None:
        answered = self.answered
        answered.messages.append(message)
        if message["type"] == "http.response.start":
            answered.status = message["status"]
            answered.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answered.body += message.get("body", b"")
            answered.complete = not message.get("more_body", False)
        self._changed.set()


def _nothing() -> None:
    """Nobody wants to hear of it."""
