"""Which application answers which path of a listener."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from threading import Lock
from typing import ClassVar

from hive_relay.asgi import App, Receive, Scope, Send
from hive_runtime.dialects import Dialect, error_body
from hive_runtime.errors import HiveError, Kind
from hive_runtime.health import Health
from hive_runtime.telemetry import Metrics


class Mounts:
    """The root application of a listener: health, then the longest mounted prefix, then 404."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._apps: list[tuple[str, App]] = []
        self._words = {"healthz", "readyz"}
        """With which a path begins that the root application does not answer."""
        self._root: App | None = None
        self._sockets: dict[str, App] = {}

    def add(self, prefix: str, app: App) -> None:
        """Mount `app` at `prefix` ("" takes all that nothing else does); it sees whole paths."""
        if prefix == "":
            self._root = app
        else:
            self._words.add(prefix.split("/")[1])
            self._apps.append((prefix, app))
            self._apps.sort(key=lambda mount: -len(mount[0]))

    def add_socket(self, path: str, app: App) -> None:
        """Let `app` answer the WebSockets that are opened at this path."""
        self._sockets[path] = app

    async def open_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application of a listener for WebSockets: whose path it is, or 404 before the upgrade."""
        if (app := self._sockets.get(scope["path"])) is not None:
            await app(scope, receive, send)
            return
        error = HiveError(Kind.NOT_FOUND, "No WebSocket is served at this address.")
        await deny(send, error.status, error_body(Dialect.OPENAI, error))

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        path: str = scope["path"]
        root = self._root
        if root is not None and path[1:].partition("/")[0] not in self._words:
            return root(scope, receive, send)
        return self._answer(path, scope, receive, send)

    async def _answer(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if (health := self._health.answer(path)) is not None:
            await respond(send, *health)
            return
        for prefix, app in self._apps:
            if path == prefix or path.startswith(prefix + "/"):
                await app(scope, receive, send)
                return
        if self._root is not None:
            await self._root(scope, receive, send)
            return
        error = HiveError(Kind.NOT_FOUND, f"There is no {scope['method']} {path[:200]} here.")
        await respond(send, error.status, error_body(Dialect.OPENAI, error))


class Later:
    """An application that is made at the first request to it, in a thread: until then it costs the process nothing.

    Where it cannot be made, that request fails, and the next one tries again.
    """

    _turn: ClassVar = Lock()
    """Of all in the process: modules that import each other must not be imported by two threads at a time."""

    def __init__(self, make: Callable[[], App]) -> None:
        self._make = make
        self._app: App | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if app is None:
            app = await asyncio.to_thread(self._made)
        await app(scope, receive, send)

    def _made(self) -> App:
        with self._turn:
            if self._app is None:
                self._app = self._make()
            return self._app


def metrics_app(metrics: Metrics) -> App:
    """The page that Prometheus scrapes."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, metrics.page(), metrics.content_type)

    return app


async def deny(
    send: Send,
    status: int,
    body: bytes,
    headers: Sequence[tuple[bytes, bytes]] = ((b"content-type", b"application/json"),),
) -> None:
    """A whole answer in place of a WebSocket."""
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


async def respond(send: Send, status: int, body: bytes, content_type: str = "application/json") -> None:
    """A whole answer at once."""
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
