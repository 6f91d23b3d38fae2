"""A request as an ASGI scope."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, MutableMapping, Sequence
from typing import Any, Protocol
from urllib.parse import unquote

from hive_relay.exchange import Exchange
from hive_relay.request import Request

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Sent:
    """What a `Send` gives back where all is done when it returns: there is nothing to wait for.

    What it gives back so for the start of an answer can be written to, by who sends without being able to wait.
    """

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield

    def write(self, body: bytes) -> bool:
        """Send a part of the body that is content, and not the last. False: it has to wait; nothing was sent."""
        return False


SENT = Sent()


class Client(Protocol):
    """Of a request, as our listener lets it be answered without waiting: `scope["hive.client"]` of what it calls.

    Whoever uses it uses no `send`. All of it does nothing once the client has left.
    """

    def whole_body(self) -> bytes | None:
        """The body of its request, where all of it is here and `receive` has brought none of it."""
        ...

    def watch(self, on_departure: Callable[[], None]) -> None:
        """Call back when there is nobody to answer any more. The app has the whole body, and reads no further."""
        ...

    @property
    def is_full(self) -> bool:
        """It does not take what was sent to it: what comes now has to wait."""
        ...

    async def room(self) -> None:
        """Return once it takes more, or has left."""
        ...

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """headers: in lower case."""
        ...

    def write(self, body: bytes, more_body: bool) -> bool:
        """A part of the body, after `start`; the last one where there is no more of it. True: now it is full."""
        ...


class AnswerCut(Exception):
    """The answer broke off and its form has no way to say so: the connection has to be cut instead."""


_ASGI = {"version": "3.0", "spec_version": "2.4"}


def scope_of(request: Request, exchange: Exchange) -> Scope:
    """The HTTP scope that the service's app gets; `scope["hive"]` is the exchange."""
    path = request.path
    return {
        "type": "http",
        "asgi": _ASGI,
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote(path) if "%" in path else path,
        "raw_path": path.encode("latin-1"),
        "query_string": request.query.encode("latin-1"),
        "root_path": "",
        "headers": request.headers,
        "client": None,
        "server": None,
        "state": {},
        "hive": exchange,
    }
