"""One client's TCP connection: reads HTTP/1.1 requests, has them answered one after the other."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import cast

import httptools

from hive_testing.simulator import errors
from hive_testing.simulator.answer import Answer, Ending, plain
from hive_testing.simulator.calls import Call
from hive_testing.simulator.player import Player

MAX_BODY = 64 * 1024 * 1024
MAX_HEADERS = 200
MAX_WAITING = 32  # requests sent ahead of an answer; answering one after the other nests the calls
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # linger for no time: close() sends RST


class Connection(asyncio.Protocol):
    """`receive` answers a request; `connections` holds every connection that is open."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        receive: Callable[[Call], Answer],
        connections: set[Connection],
    ) -> None:
        self._loop = loop
        self._receive = receive
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Call] = deque()
        self._player: Player | None = None
        self._last = False
        self._full = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        self._waiting.clear()
        if self._player:
            self._player.stop()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "The simulator speaks plain HTTP/1.1 only.")
        except httptools.HttpParserError as error:
            self._refuse(400, f"The request is not HTTP/1.1: {error}")

    def pause_writing(self) -> None:
        self._full = True
        if self._player:
            self._player.pause()

    def resume_writing(self) -> None:
        self._full = False
        if self._player:
            self._player.resume()

    # What httptools calls while it reads a request:

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._body_size = 0

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))
        if len(self._headers) > MAX_HEADERS:
            self._refuse(400, f"The request has more than {MAX_HEADERS} headers.")

    def on_headers_complete(self) -> None:
        if any(name.lower() == b"expect" for name, _ in self._headers):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)
        self._body_size += len(body)
        if self._body_size > MAX_BODY:
            self._refuse(413, f"The body has more than {MAX_BODY} bytes.")

    def on_message_complete(self) -> None:
        call = Call(
            self._parser.get_method().decode("latin-1"),
            self._target.decode("latin-1"),
            self._headers,
            b"".join(self._body),
            self._parser.should_keep_alive(),
        )
        if self._player is None:
            self._answer(call)
        elif len(self._waiting) < MAX_WAITING:
            self._waiting.append(call)
        else:
            self.abort()

    def _answer(self, call: Call) -> None:
        if self._transport.is_closing():
            return
        self._last = not call.keep_alive
        self._player = Player(self._loop, self._transport, call, self._receive(call), self._ended)
        if self._full:
            self._player.pause()
        self._player.start()

    def _ended(self, ending: Ending) -> None:
        self._player = None
        if ending is not Ending.COMPLETE or self._last:
            self._close(reset=ending is Ending.RESET)
        elif self._waiting:
            self._answer(self._waiting.popleft())

    def _close(self, reset: bool) -> None:
        """Close after all that was written has gone to the socket."""
        if reset:
            raw: socket.socket = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._transport.close()

    def _refuse(self, status: int, message: str) -> None:
        if not self._transport.is_closing():
            refusal = plain(status, errors.body(errors.error(status, message)), 0, keep_alive=False)
            self._transport.write(refusal.head + b"".join(step.data for step in refusal.steps))
            self._transport.close()
