"""One client's WebSocket, from its handshake to its close: framing by `websockets`, bounds and patience by us.

Until the app accepts, nothing is read: whoever is not let in fills no memory. Compression is not offered.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from enum import Enum, auto

import structlog
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from hive_host.head import Head
from hive_host.protocol import Shared, invalid
from hive_relay.asgi import Message, Scope

log = structlog.get_logger(__name__)

GOING_AWAY, ABNORMAL, BAD_TEXT, FAILED, RESTARTING = 1001, 1006, 1007, 1011, 1012
"""Codes of closes."""
_OF_A_HANDSHAKE = frozenset(
    {b"host", b"connection", b"upgrade", b"sec-websocket-key", b"sec-websocket-version"}
)
_PING = b"hive"
_MESSAGES = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class _State(Enum):
    WAITING = auto()  # for the app to accept or to refuse
    OPEN = auto()
    CLOSING = auto()  # our close, or our refusal, is under way to the client
    GONE = auto()


class WebSocket(asyncio.Protocol):
    """Runs the app for one WebSocket: `receive` and `send` are the two sides of ASGI's `websocket` scope.

    What the app does not take stays with the client, and what the client does not take makes `send` wait.
    A client that says nothing is asked by a ping; one that does not answer is given up. Raises Refusal for a
    handshake that is none.
    """

    def __init__(self, shared: Shared, transport: asyncio.Transport, head: Head, scope: Scope) -> None:
        self.shared = shared
        self.limits = shared.limits
        self.transport = transport
        self.scope = scope
        self._protocol = ServerProtocol(max_size=self.limits.message_bytes, logger=_quiet)
        self._response = self._shake_hands(head)
        self._flow = FlowControl(transport)
        self._state = _State.WAITING
        self._announced = False
        self._inbox: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._held = 0
        self._part = bytearray()
        self._part_is_text = False
        self._denial = (500, b"")
        self._close = (ABNORMAL, "")
        self._silent = 0.0
        self._pinged = False
        self._lingered = 0.0
        self._unsent = 0
        self._stalled = 0.0
        self._unread_pongs = 0
        self._early = b""

    def begin(self, rest: bytes) -> None:
        """Take the connection over. rest: what came behind the handshake."""
        self.shared.sockets.add(self)
        self.shared.empty.clear()
        self.transport.set_protocol(self)
        self._flow.pause_reading()
        self._early = rest
        self.shared.answering.spawn(self._run(), "websocket")

    # The transport's calls

    def data_received(self, data: bytes) -> None:
        self._silent, self._pinged = 0.0, False
        if self._state is _State.GONE:
            return
        self._protocol.receive_data(data)
        self._flush(answering=True)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take(event)
        if self._protocol.parser_exc is not None and (sent := self._protocol.close_sent) is not None:
            self._end(sent)

    def eof_received(self) -> None:
        with suppress(EOFError):
            self._protocol.receive_eof()
        self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(None)
        self._state = _State.GONE
        self._flow.resume_writing()
        self.shared.sockets.discard(self)
        self.shared.note_departure()

    def pause_writing(self) -> None:
        self._flow.pause_writing()

    def resume_writing(self) -> None:
        self._unread_pongs = 0
        self._flow.resume_writing()

    # The listener's calls

    def sweep(self, seconds: float) -> None:
        """So much time went by: ask a silent client whether it is there, give up one that is not."""
        self._watch_writing(seconds)
        if self._state is _State.CLOSING:
            self._lingered += seconds
            if self._lingered > self.limits.linger_seconds:
                self.transport.abort()
        elif self._state is _State.OPEN and not self._flow.read_paused:
            self._silent += seconds
            if self._silent > self.limits.ping_seconds + self.limits.pong_seconds:
                self._end(None)
                self.transport.abort()
            elif self._silent > self.limits.ping_seconds and not self._pinged:
                self._pinged = True
                self._protocol.send_ping(_PING)
                self._flush()

    def shutdown(self) -> None:
        """End the session in order: the client may go on with another process."""
        if self._state is _State.OPEN:
            self._say_close(RESTARTING, "This server is going down.")

    def abort(self) -> None:
        """End at once."""
        self._end(None)
        self.transport.abort()

    # The app's calls

    async def receive(self) -> Message:
        if not self._announced:
            self._announced = True
            return {"type": "websocket.connect"}
        while not self._inbox and self._state not in (_State.CLOSING, _State.GONE):
            self._arrived.clear()
            await self._arrived.wait()
        if self._inbox:
            message = self._inbox.popleft()
            self._held -= _size(message)
            if self._held <= self.limits.write_buffer_bytes:
                self._flow.resume_reading()
            return message
        code, reason = self._close
        return {"type": "websocket.disconnect", "code": code, "reason": reason}

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if self._state in (_State.CLOSING, _State.GONE):
            return
        if self._state is _State.WAITING:
            self._answer_handshake(kind, message)
        elif kind == "websocket.send":
            if self._flow.write_paused:
                await self._flow.drain()
            if self._state is _State.OPEN:
                self._say(message)
        elif kind == "websocket.close":
            self._say_close(message.get("code", 1000), message.get("reason") or "")
        else:
            raise RuntimeError(f"The app sent {kind} on an open WebSocket.")

    async def _run(self) -> None:
        app = self.shared.socket_app
        assert app is not None, "nobody upgrades without one"
        code = 1000
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            code = GOING_AWAY
            raise
        except Exception as error:
            code = FAILED
            log.error("the app failed", path=self.scope["path"], error=repr(error), exc_info=error)
        finally:
            if self._state is _State.WAITING:
                self._deny(*self._denial)
            elif self._state is _State.OPEN:
                self._say_close(code, "")

    # The handshake

    def _shake_hands(self, head: Head) -> Response:
        """The answer for a client that is let in; raises Refusal where it did not ask as RFC 6455 wants it."""
        fields = [b"%b: %b\r\n" % field for field in head.headers if field[0] in _OF_A_HANDSHAKE]
        self._protocol.receive_data(b"".join([b"GET / HTTP/1.1\r\n", *fields, b"\r\n"]))
        requests = [each for each in self._protocol.events_received() if isinstance(each, Request)]
        response = self._protocol.accept(requests[0]) if requests else None
        if response is None or response.status_code != 101:
            raise invalid("This is no handshake of a WebSocket: use a client that speaks version 13 of it.")
        return response

    def _answer_handshake(self, kind: str, message: Message) -> None:
        if kind == "websocket.accept":
            if (name := message.get("subprotocol")) is not None:
                self._response.headers["Sec-WebSocket-Protocol"] = name
            for field, value in message.get("headers", ()):
                self._response.headers[field.decode("latin-1")] = value.decode("latin-1")
            self._protocol.send_response(self._response)
            self._state = _State.OPEN
            self._flush()
            self._flow.resume_reading()
            if self._early:
                self.data_received(self._early)
            if self.shared.draining:
                self.shutdown()
        elif kind == "websocket.http.response.start":
            lines = [b"%b: %b\r\n" % field for field in message.get("headers", ())]
            self._denial = (message["status"], b"".join(lines))
        elif kind == "websocket.http.response.body":
            self._deny(*self._denial, message.get("body", b""))
        elif kind == "websocket.close":
            self._deny(403, b"")
        else:
            raise RuntimeError(f"The app sent {kind} before it accepted the WebSocket.")

    def _deny(self, status: int, lines: bytes, body: bytes = b"") -> None:
        """Answer the handshake as an ordinary request; the connection ends with it."""
        if b"content-length" not in lines:
            lines += b"content-length: %d\r\n" % len(body)
        end = b"connection: close\r\n\r\n"
        self.transport.write(b"".join((STATUS_LINE[status], self.shared.date, lines, end, body)))
        self._state = _State.CLOSING
        self._arrived.set()
        self._flow.resume_reading()
        self._end_writing()

    # What comes

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self._end(self._protocol.close_rcvd)
            return
        if frame.opcode not in _MESSAGES or self._state is not _State.OPEN:
            return
        if frame.opcode is not Opcode.CONT:
            self._part_is_text = frame.opcode is Opcode.TEXT
        self._part += frame.data
        if not frame.fin:
            return
        data, self._part = bytes(self._part), bytearray()
        message: Message = {"type": "websocket.receive", "bytes": data}
        if self._part_is_text:
            try:
                message = {"type": "websocket.receive", "text": data.decode()}
            except UnicodeDecodeError:
                self._protocol.fail(BAD_TEXT, "This is not UTF-8.")
                self._flush()
                self._end(self._protocol.close_sent)
                return
        self._inbox.append(message)
        self._held += len(data)
        if self._held > self.limits.write_buffer_bytes:
            self._flow.pause_reading()
        self._arrived.set()

    def _end(self, close: Close | None) -> None:
        """Nothing comes any more but what came already. close: as one of the two sides said it."""
        if self._state in (_State.OPEN, _State.WAITING):
            if close is not None:
                self._close = (close.code, close.reason)
            self._state = _State.CLOSING
        self._arrived.set()
        self._flow.resume_writing()
        self._flow.resume_reading()

    # What goes

    def _say(self, message: Message) -> None:
        if (text := message.get("text")) is not None:
            self._protocol.send_text(text.encode())
        else:
            self._protocol.send_binary(message.get("bytes") or b"")
        self._flush()

    def _say_close(self, code: int, reason: str) -> None:
        self._protocol.send_close(code, _short(reason))
        self._inbox.clear()
        self._flush()
        self._end(self._protocol.close_sent)

    def _flush(self, *, answering: bool = False) -> None:
        """Hand over what the protocol wrote. answering: to what the client sent, which it must not do without end."""
        for data in self._protocol.data_to_send():
            if data:
                self.transport.write(data)
                if answering and self._flow.write_paused:
                    self._unread_pongs += len(data)
            else:
                self._end_writing()
        if self._unread_pongs > self.limits.write_buffer_bytes:
            self.abort()

    def _end_writing(self) -> None:
        """The client closes when it has read it; a close of ours could overtake our last words."""
        with suppress(OSError, NotImplementedError, RuntimeError):
            self.transport.write_eof()

    def _watch_writing(self, seconds: float) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent != self._unsent:
            self._unsent, self._stalled = unsent, 0.0
            return
        self._stalled += seconds
        if self._stalled > self.limits.write_idle_seconds:
            self.abort()


def subprotocols(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """What a client offers to speak, in its order."""
    offers = b",".join(value for name, value in headers if name == b"sec-websocket-protocol")
    return [name for each in offers.decode("latin-1").split(",") if (name := each.strip())]


def _size(message: Message) -> int:
    text = message.get("text")
    if text is None:
        return len(message["bytes"])
    return len(text) if text.isascii() else len(text.encode())


def _short(reason: str) -> str:
    """A frame of control holds 123 bytes of it."""
    raw = reason.encode()
    return reason if len(raw) <= 123 else raw[:120].decode(errors="ignore") + "…"


_quiet = logging.getLogger("hive_host.websocket")
_quiet.setLevel(logging.CRITICAL)
