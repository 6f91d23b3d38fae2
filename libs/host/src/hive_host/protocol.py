"""HTTP/1.1 as the listeners speak it: what is taken, a request's head, one request and its answer.

llhttp refuses most framing that two parsers could read in two ways; `Head` refuses the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from enum import Enum, auto
from itertools import chain
from typing import Protocol
from urllib.parse import unquote

import structlog
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE
from uvicorn.server import ServerState

from hive_relay.asgi import AnswerCut, App, Message, Scope
from hive_runtime.dialects import Dialect, error_body, error_headers
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks

log = structlog.get_logger(__name__)

KIB = 1024
_NAME_BYTES = bytes(byte for byte in range(256) if not HEADER_RE.match(bytes([byte])))
_VALUE_BYTES = bytes(byte for byte in range(256) if not HEADER_VALUE_RE.match(bytes([byte])))
"""What may be in the name and in the value of a header that an app sends."""
_OF_AN_UPGRADE = frozenset({b"connection", b"upgrade", b"http2-settings"})


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
        self.draining = False
        self.empty = asyncio.Event()
        self.empty.set()
        self.patience = {
            Reading.IDLE: limits.idle_seconds,
            Reading.HEAD: limits.head_seconds,
            Reading.REST: limits.linger_seconds,
            Reading.LINGER: limits.linger_seconds,
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


class Head:
    """The target and the header fields of one request, taken in as they come; what is wrong raises Refusal.

    fields: where the parser puts each, its name in lower case. They are the headers first; then the trailers, which
    an app would trust if it saw them among the headers.
    """

    expects_continue = False
    target = b""
    _weighed = _count = _size = 0
    """How many of `fields` were counted, how many of all, and their bytes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.headers: list[tuple[bytes, bytes]] = []
        self.fields = self.headers

    def add_target(self, part: bytes) -> None:
        self.target += part
        if len(self.target) > self._limits.target_bytes:
            raise too_large(f"The request target is longer than {self._limits.target_bytes} bytes.")

    def weigh(self) -> None:
        """Bound the fields that have come: called where they are complete, and after a read that ends before."""
        new = self.fields[self._weighed :]
        self._weighed += len(new)
        self._count += len(new)
        self._size += sum(map(len, chain.from_iterable(new))) + 4 * len(new)
        if self._size > self._limits.head_bytes or self._count > self._limits.header_fields:
            raise self.too_large()

    def check(self, version: str) -> None:
        """Called once, when all fields of the head are there."""
        self.fields = []
        self._weighed = 0
        if version not in ("1.1", "1.0"):
            raise invalid(f"HTTP/{version} is not served here: use HTTP/1.1.")
        fields = dict(self.headers)
        if b"transfer-encoding" in fields:
            self._check_coding(version)
        if not self.target.startswith(b"/") or b"#" in self.target:
            raise invalid("The request target must be a path that starts with `/`.")
        hosts = int(b"host" in fields) if len(fields) == len(self.headers) else len(self._all(b"host"))
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            raise invalid(f"A request has one Host header, this one has {hosts}.")
        self.expects_continue = fields.get(b"expect", b"").strip().lower() == b"100-continue"

    def too_large(self) -> Refusal:
        size, fields = self._limits.head_bytes, self._limits.header_fields
        return too_large(f"The headers are larger than {size} bytes or more than {fields}.")

    def scope(self, method: str, version: str) -> Scope:
        raw_path, _, query = self.target.partition(b"?")
        path = raw_path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "scheme": "http",
            "method": method,
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self.headers,
            "state": {},
        }

    @property
    def wants_socket(self) -> bool:
        """Whether a WebSocket is asked for."""
        return any(b"websocket" in value.lower() for name, value in self.headers if name == b"upgrade")

    def check_upgrade(self, method: bytes, version: str, *, sockets: bool) -> None:
        """Refuse what cannot go on as plain HTTP; an offer of h2c can. sockets: WebSockets are served here."""
        if method == b"CONNECT":
            raise invalid("This server is no proxy: CONNECT is not served here.")
        if not self.wants_socket:
            return
        if not sockets:
            raise Refusal(Kind.NOT_FOUND, "No WebSocket is served at this address.")
        if method != b"GET":
            raise invalid("A WebSocket begins with GET.")
        self.check(version)

    def without_upgrade(self, method: bytes, version: str, keep_alive: bool) -> bytes:
        """The same head as bytes, less the offer to upgrade."""
        lines = [b"%b %b HTTP/%b\r\n" % (method, self.target, version.encode())]
        lines += [b"%b: %b\r\n" % field for field in self.headers if field[0] not in _OF_AN_UPGRADE]
        return b"".join([*lines, b"\r\n" if keep_alive else b"connection: close\r\n\r\n"])

    def _all(self, name: bytes) -> list[bytes]:
        return [value for each, value in self.headers if each == name]

    def _check_coding(self, version: str) -> None:
        first, *others = self._all(b"transfer-encoding")
        if others or first.strip().lower() != b"chunked":
            raise invalid("Transfer-Encoding must be `chunked`, once.")
        if version == "1.0":
            raise invalid("HTTP/1.0 knows no Transfer-Encoding: send Content-Length.")


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

    def __init__(self, wire: Wire, scope: Scope, *, keep_alive: bool, awaits_continue: bool) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.awaits_continue = awaits_continue
        self._wire = wire
        self._parts: list[bytes] = []
        scope["hive.client"] = self

    # What the connection tells

    def take(self, body: bytes) -> None:
        self._parts.append(body)
        self.held_bytes += len(body)
        self.received_bytes += len(body)
        self._tell()

    def end_of_body(self) -> None:
        self.more_body = False
        self.awaits_continue = False
        self._tell()

    def forsake(self) -> None:
        """There is nobody to answer any more."""
        self.disconnected = True
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
            self.scope.pop("hive.client", None)  # else both would wait for the garbage collector
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
        if not self.disconnected:
            self._head = self._head_of(status, headers)

    def write(self, body: bytes, more_body: bool) -> None:
        if self.disconnected:
            return
        if self._without_body:
            body = b""
        elif self._chunked:
            if body:
                body = b"%x\r\n%b\r\n" % (len(body), body)
            if not more_body:
                body += b"0\r\n\r\n"
        elif self._left is not None:
            self._left = _left(self._left - len(body), more_body)
        if not self.head_sent:
            self.head_sent = True
            body = self._head + body
        self._wire.transport.write(body)
        if not more_body:
            self._finish()

    # The answer on the wire

    def _head_of(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        """The status line and headers; who frames the body (here) also writes the headers that say how."""
        fields = dict(headers)
        if len(fields) < len(headers) or not _is_plain(fields):
            headers = self._normal(headers)
            fields = dict(headers)
        if (length := fields.get(b"content-length")) is not None:
            self._left = int(length)
        lines = [*map(b": ".join, headers), *self._framing(status), b"", b""]
        return STATUS_LINE[status] + self._wire.shared.date + b"\r\n".join(lines)

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

    def _framing(self, status: int) -> list[bytes]:
        """The headers that say how the body is framed, and whether another answer may follow."""
        lines = []
        self._without_body = self.scope["method"] == "HEAD" or status in (204, 304)
        if self._left is None and not self._without_body and self.scope["http_version"] == "1.1":
            self._chunked = True
            lines.append(b"transfer-encoding: chunked")
        if self.awaits_continue:
            self.keep_alive = False  # nobody knows whether the body will come
        if not self.keep_alive:
            lines.append(b"connection: close")
        return lines

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


def _is_plain(fields: Mapping[bytes, bytes]) -> bool:
    """Whether these headers can be written as they are."""
    names = b"".join(fields)
    return (
        names.islower()
        and not names.translate(None, _NAME_BYTES)
        and not b"".join(fields.values()).translate(None, _VALUE_BYTES)
        and b"connection" not in fields
        and b"transfer-encoding" not in fields
    )


def _left(left: int, more_body: bool) -> int:
    if left < 0 or (left and not more_body):
        raise RuntimeError(f"The app's answer differs from its content-length by {-left} bytes.")
    return left
