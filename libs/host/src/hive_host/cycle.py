"""One request and its answer, between the connection that it came by and the app that answers it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE

from hive_host.protocol import KIB, Shared
from hive_relay.asgi import AnswerCut, App, Message, Scope
from hive_runtime.errors import HiveError, Kind

log = structlog.get_logger(__name__)

_NAME_BYTES = bytes(byte for byte in range(256) if not HEADER_RE.match(bytes([byte])))
_VALUE_BYTES = bytes(byte for byte in range(256) if not HEADER_VALUE_RE.match(bytes([byte])))
"""What may be in the name and in the value of a header that an app sends."""
_FRAMING = frozenset({b"connection", b"transfer-encoding"})
_MOST_KNOWN = 500
"""Names that are remembered: an app has a few of them, unless it makes some up."""
_END_OF_HEAD = (b"", b"")
"""Lines."""


class Wire(Protocol):
    """What a cycle asks of the connection that it belongs to."""

    transport: asyncio.Transport
    flow: FlowControl
    shared: Shared

    def read_on(self, cycle: Cycle) -> None:
        """The app waits for this request's body, or for its client's departure."""
        ...

    def answered(self, cycle: Cycle) -> None:
        """The whole answer was handed to the transport."""
        ...

    def hang_up(self) -> None:
        """Close, since no further byte could make sense to the client."""
        ...


class Cycle:
    """One request and its answer: `receive` and `send` of one call of the app.

    The answer's head leaves with the first byte of its body, in one write. After the client's departure
    `receive` says so and nothing is sent. What an app may ask beside what ASGI promises it finds as
    `scope["hive.client"]` (`hive_relay.asgi.Client`), which is this.
    """

    more_body = True
    received_bytes = 0
    held_bytes = 0
    """Of the body, that the app has not taken."""
    head_sent = False
    disconnected = False
    _on_departure: Callable[[], None] | None = None
    _news = False
    """Something happened since the last `receive`."""
    _arrived: asyncio.Event | None = None
    _complete = False
    _head = b""
    _without_body = False
    _chunked = False
    _left: int | None = None
    _write_on: Callable[[bytes], None] | None = None
    """Writes what is behind the first chunk, while the client is there."""

    def __init__(self, wire: Wire, scope: Scope, *, keep_alive: bool, awaits_continue: bool) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.awaits_continue = awaits_continue
        self._wire = wire
        self._parts: list[bytes] = []
        scope["hive.client"] = self

    # What the connection tells

    def take(self, body: bytes) -> None:
        size = len(body)
        self._parts.append(body)
        self.held_bytes += size
        self.received_bytes += size
        self._tell()

    def end_of_body(self) -> None:
        self.more_body = False
        self.awaits_continue = False
        self._tell()

    def forsake(self) -> None:
        """There is nobody to answer any more."""
        self.disconnected = True
        self._write_on = None
        self._tell()
        if self._on_departure is not None:
            self._on_departure()

    def _tell(self) -> None:
        self._news = True
        if self._arrived is not None:
            self._arrived.set()

    # What the app does

    async def run(self, app: App) -> None:
        """Call the app; what escapes it becomes a 500, or a cut answer where the answer had begun."""
        try:
            await app(self.scope, self.receive, self.send)
            if not self._complete and not self.disconnected:
                log.error("the app returned without a complete answer", path=self.scope["path"])
        except AnswerCut as cut:
            log.info("the answer was cut", path=self.scope["path"], why=str(cut))
        except Exception as error:
            level = log.info if self.disconnected else log.error
            level("the app failed", path=self.scope["path"], error=repr(error), exc_info=error)
        finally:
            # Else they and this would wait for the garbage collector.
            self.scope.pop("hive.client", None)
            self._on_departure = None
            if not self._complete and not self.disconnected:
                self._fail()

    def whole_body(self) -> bytes | None:
        if self.more_body or self.disconnected or self.held_bytes < self.received_bytes:
            return None
        return self._take_out()

    async def receive(self) -> Message:
        if self.awaits_continue and not self._head and not self.disconnected:
            self.awaits_continue = False
            self._wire.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self.disconnected and not self._complete:
            self._wire.read_on(self)
            if not self._news:
                await self._arrival()
        if self.disconnected or self._complete:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self._take_out(), "more_body": self.more_body}

    def _take_out(self) -> bytes:
        self._news = False
        self.held_bytes = 0
        body = b"".join(self._parts)
        self._parts.clear()
        return body

    async def _arrival(self) -> None:
        if self._arrived is None:
            self._arrived = asyncio.Event()
        while not self._news:
            self._arrived.clear()
            await self._arrived.wait()

    async def send(self, message: Message) -> None:
        if self.is_full:
            await self.room()
        if self.disconnected:
            return
        match message["type"]:
            case "http.response.start" if not self._head:
                self.start(message["status"], message.get("headers", ()))
            case "http.response.body" if self._head and not self._complete:
                self.write(message.get("body", b""), message.get("more_body", False))
            case wrong:
                due = "http.response.body" if self._head else "http.response.start"
                raise RuntimeError(f"The app sent {wrong}, where {due} was due.")

    # The client, as an app may know it (`hive_relay.asgi.Client`)

    def watch(self, on_departure: Callable[[], None]) -> None:
        self._on_departure = on_departure
        self._wire.read_on(self)
        if self.disconnected:
            on_departure()

    @property
    def is_full(self) -> bool:
        return self._wire.flow.write_paused and not self.disconnected

    async def room(self) -> None:
        await self._wire.flow.drain()

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Who frames the body (here) also writes the headers that say how."""
        if self.disconnected:
            return
        fields = dict(headers)
        shared = self._wire.shared
        if len(fields) < len(headers) or not _is_plain(fields, shared.plain_names):
            headers = self._normal(headers)
            fields = dict(headers)
        lines = [*map(b": ".join, headers)]
        length = None if (stated := fields.get(b"content-length")) is None else int(stated)
        if self.scope["method"] == "HEAD" or status in (204, 304):
            self._without_body = True
        elif length is not None:
            self._left = length
        elif self.scope["http_version"] == "1.1":
            self._chunked = True
            lines.append(b"transfer-encoding: chunked")
        if self.awaits_continue:
            self.keep_alive = False  # nobody knows whether the body will come
        if not self.keep_alive:
            lines.append(b"connection: close")
        lines += _END_OF_HEAD
        self._head = STATUS_LINE[status] + shared.date + b"\r\n".join(lines)

    def write(self, body: bytes, more_body: bool) -> bool:
        write_on = self._write_on
        if write_on is not None and body and more_body:
            write_on(b"%x\r\n%b\r\n" % (len(body), body))
            return self._wire.flow.write_paused
        if self.disconnected:
            return False
        if self._chunked:
            if body:
                body = b"%x\r\n%b\r\n" % (len(body), body)
            if more_body:
                self._write_on = self._wire.transport.write
            else:
                body += b"0\r\n\r\n"
        elif self._left is not None:
            self._left = _left(self._left - len(body), more_body)
        elif self._without_body:
            body = b""
        if not self.head_sent:
            self.head_sent = True
            body = self._head + body
        self._wire.transport.write(body)
        if more_body:
            return self.is_full
        self._finish()
        return False

    # The answer on the wire

    def _normal(self, headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """In lower case, and none that says how the body is framed. Raises RuntimeError for a forbidden one."""
        found = []
        for name, value in headers:
            if name.translate(None, _NAME_BYTES) or value.translate(None, _VALUE_BYTES):
                raise RuntimeError(f"The app sent a header that HTTP forbids: {name!r}.")
            name = name.lower()
            if name == b"connection":
                self.keep_alive = self.keep_alive and b"close" not in value.lower()
            elif name != b"transfer-encoding":
                found.append((name, value))
        return found

    def _finish(self) -> None:
        self._complete = True
        self._tell()
        self._wire.answered(self)

    def _fail(self) -> None:
        if self.head_sent:
            self._wire.hang_up()
            return
        error = HiveError(Kind.INTERNAL, "The server failed to answer this request; the failure was logged.")
        self.keep_alive = False
        self.head_sent = True
        answer = self._wire.shared.last_answer(error, with_body=self.scope["method"] != "HEAD")
        self._wire.transport.write(answer)
        self._finish()


def _is_plain(fields: Mapping[bytes, bytes], known: set[bytes]) -> bool:
    """Whether these headers can be written as they are. known: names that can, which grows by those that are found."""
    if not known.issuperset(fields):
        names = b"".join(fields)
        if not names.islower() or names.translate(None, _NAME_BYTES) or not _FRAMING.isdisjoint(fields):
            return False
        if len(known) < _MOST_KNOWN and len(names) < KIB:
            known.update(fields)
    return not b"".join(fields.values()).translate(None, _VALUE_BYTES)


def _left(left: int, more_body: bool) -> int:
    if left < 0 or (left and not more_body):
        raise RuntimeError(f"The app's answer differs from its content-length by {-left} bytes.")
    return left
