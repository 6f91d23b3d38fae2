"""HTTP/1.1 as the listeners speak it: what they take and for how long, what they turn away, what connections share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email.utils import formatdate
from enum import Enum, auto
from typing import Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from hive_relay.asgi import App
from hive_runtime.dialects import Dialect, error_body, error_headers
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks

KIB = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one listener takes from its clients. Times count in steps of `sweep_seconds`."""

    connections: int = 10_000
    """Open at once; those above are told 503, above twice as many they are cut off unheard."""
    pipelined: int = 16
    """Requests that may wait behind the one being answered."""
    target_bytes: int = 16 * KIB
    head_bytes: int = 64 * KIB
    """Of all header fields; trailers and chunk extensions count too."""
    header_fields: int = 200
    idle_seconds: float = 75.0
    """Without a request, before the first one too."""
    head_seconds: float = 10.0
    """From a request's first byte to the end of its head."""
    body_idle_seconds: float = 30.0
    """Between two bytes of a body that the app is ready to read."""
    body_seconds: float = 300.0
    """For a whole body, and a second more for each `body_rate` bytes of it."""
    body_rate: int = 64 * KIB
    linger_bytes: int = 64 * KIB * KIB
    """Read and thrown away of a request that was answered before it was whole."""
    linger_seconds: float = 5.0
    write_buffer_bytes: int = 64 * KIB
    """Of an answer that the client does not take; above, `send` waits."""
    write_idle_seconds: float = 60.0
    """Without the client taking a byte of its answer."""
    message_bytes: int = 15 * KIB * KIB
    """Of one message of a WebSocket."""
    ping_seconds: float = 20.0
    """Without a byte from the client of a WebSocket: then it is asked whether it is there."""
    pong_seconds: float = 20.0
    """For its answer."""

    @property
    def sweep_seconds(self) -> float:
        """How often waiting is looked at: a quarter of the shortest bound, at most a second."""
        reading = min(self.idle_seconds, self.head_seconds, self.body_idle_seconds, self.body_seconds)
        return min(1.0, min(reading, self.linger_seconds, self.write_idle_seconds) / 4)


class Refusal(HiveError):
    """A request that the listener turns away itself; `status` may be one that no kind has (408, 431)."""

    def __init__(self, kind: Kind, message: str, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(kind, message, retry_after=retry_after)
        self.status = status or self.status


def invalid(message: str) -> Refusal:
    return Refusal(Kind.INVALID, message)


def too_large(message: str) -> Refusal:
    return Refusal(Kind.INVALID, message, status=431)


def too_late(message: str) -> Refusal:
    return Refusal(Kind.TIMEOUT, message, status=408)


class Reading(Enum):
    """What the next bytes from a client will be."""

    IDLE = auto()  # a new request, whenever it comes
    HEAD = auto()
    BODY = auto()
    REST = auto()  # of a body whose request is answered already
    NOTHING = auto()  # awaited: the client waits for us
    LINGER = auto()  # noise, until the client has read our last words


IDLE, HEAD, BODY, REST, NOTHING, LINGER = Reading
"""By these names, for looking one up in its class takes as long as ten other steps."""


class Open(Protocol):
    """A connection that is open, as its listener sees it."""

    def shutdown(self) -> None:
        """End as soon as it can be ended politely."""

    def sweep(self, seconds: float) -> None:
        """Look whether the client has kept it waiting for too long. seconds: since the last look."""

    def abort(self) -> None:
        """End now."""


class Shared(ServerState):
    """What the connections of one listener have in common."""

    def __init__(self, app: App, limits: Limits, tasks: Tasks, socket_app: App | None = None) -> None:
        """socket_app: answers WebSockets; None: there are none here."""
        super().__init__()
        self.app = app
        self.socket_app = socket_app
        self.sockets: set[Open] = set()
        self.limits = limits
        self.answering = tasks
        self.plain_names: set[bytes] = set()
        """Of headers that apps send: they need no look any more."""
        self.draining = False
        self.empty = asyncio.Event()
        self.empty.set()
        self.patience = {
            IDLE: limits.idle_seconds,
            HEAD: limits.head_seconds,
            REST: limits.linger_seconds,
            LINGER: limits.linger_seconds,
        }
        self.tell_time()

    @property
    def count(self) -> int:
        """Connections that are open, those of WebSockets too."""
        return len(self.connections) + len(self.sockets)

    def note_departure(self) -> None:
        """A connection has ended."""
        if not self.count:
            self.empty.set()

    def tell_time(self) -> None:
        """Renew the `date` header of coming answers."""
        self.date = b"date: " + formatdate(usegmt=True).encode() + b"\r\n"

    def last_answer(self, error: HiveError, *, with_body: bool = True) -> bytes:
        """A whole answer, after which the connection ends."""
        body = error_body(Dialect.OPENAI, error)
        headers = [*error_headers(error), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        return STATUS_LINE[error.status] + self.date + lines + b"\r\n" + (body if with_body else b"")
