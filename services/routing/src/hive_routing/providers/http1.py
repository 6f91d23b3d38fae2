"""An HTTP/1.1 client for one origin: kept connections, and an end at once when nobody wants the answer.

Leaving a call in any way (cancellation, timeout, closing the body early) closes its socket. Proxies and
redirects are not followed. Everything that goes wrong is raised as HiveError.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import zlib
from collections import deque
from collections.abc import AsyncIterator
from typing import cast

import httptools

from hive_routing.providers.port import Timeouts
from hive_runtime.errors import HiveError, Kind

MAX_HEAD_BYTES = 65_536
MAX_BUFFERED_BYTES = 512 * 1024
MAX_INFLATED_BYTES = 16 * 1024 * 1024
"""How much one read from the socket may hold once it is unpacked."""
ONE_WRITE_BYTES = 65_536
IDLE_SECONDS = 50.0


class StaleConnection(Exception):
    """A kept connection turned out to be closed before anything was answered on it."""


class Client:
    """Calls to one origin, over at most `max_connections` sockets; the idle ones are kept for a while."""

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        max_idle: int = 64,
        max_connections: int = 1024,
    ) -> None:
        """name: the provider, for the messages of errors."""
        self.name = name
        self._host = host
        self._port = port
        self._tls = tls
        self._max_idle = max_idle
        self._max_connections = max_connections
        self._idle: deque[Connection] = deque()
        self._open: set[Connection] = set()
        self._closed = False

    async def send(self, head: bytes, body: bytes, timeouts: Timeouts) -> Response:
        """Send a request (`head` with its last blank line); returns when the head of the answer is there.

        A request that went out on a kept connection which the server had closed is sent once more.
        """
        connection = self._kept()
        if connection is not None:
            try:
                return await connection.send(head, body, timeouts)
            except StaleConnection:
                pass
        connection = await self._connect(timeouts.connect)
        return await connection.send(head, body, timeouts)

    def close(self) -> None:
        """Close every connection; calls in flight fail."""
        self._closed = True
        for connection in list(self._open):
            connection.abort()

    def put_back(self, connection: Connection) -> None:
        """Keep a connection whose answer has ended."""
        if self._closed or len(self._idle) >= self._max_idle:
            connection.abort()
        else:
            self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _kept(self) -> Connection | None:
        """The idle connection that was used last."""
        if not self._idle:
            return None
        connection = self._idle.pop()
        if connection.idle_seconds() < IDLE_SECONDS:
            return connection
        for old in [connection, *self._idle]:
            old.abort()
        self._idle.clear()
        return None

    async def _connect(self, seconds: float) -> Connection:
        if self._closed:
            raise HiveError(Kind.UNAVAILABLE, f"The provider `{self.name}` is being reconfigured: try again.")
        if len(self._open) >= self._max_connections:
            message = f"The provider `{self.name}` has {self._max_connections} calls in flight already."
            raise HiveError(Kind.UNAVAILABLE, message, retry_after=1)
        connection = Connection(self)
        self._open.add(connection)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection,
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls is not None else None,
                )
        except TimeoutError:
            self.forget(connection)
            message = f"The provider `{self.name}` did not accept a connection within {seconds:g} s."
            raise HiveError(Kind.UNAVAILABLE, message) from None
        except OSError as error:
            self.forget(connection)
            message = f"The provider `{self.name}` cannot be reached: {_reason(error)}."
            raise HiveError(Kind.UNAVAILABLE, message) from error
        except BaseException:
            self.forget(connection)
            raise
        return connection


def _reason(error: OSError) -> str:
    """Why there is no connection, without the addresses that the error's own text holds."""
    if isinstance(error, ConnectionRefusedError):
        return "it refuses connections"
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or type(error).__name__})"
    return "the network does not lead there"


class Connection(asyncio.Protocol):
    """One socket, one call at a time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._response: Response | None = None
        self._calls = 0
        self._idle_since = 0.0
        self._lost = False
        self._keep = False

    def idle_seconds(self) -> float:
        return self._loop.time() - self._idle_since

    async def send(self, head: bytes, body: bytes, timeouts: Timeouts) -> Response:
        """Raises StaleConnection where this is not the first call and the socket proves closed."""
        self._calls += 1
        response = self._response = Response(self, self._client.name, timeouts, self._loop)
        try:
            if self._lost or self._transport is None:
                response.lose(stale=self._calls > 1, cleanly=True)
            elif len(body) < ONE_WRITE_BYTES:
                self._transport.write(head + body)
            else:
                self._transport.write(head)
                self._transport.write(body)
            await response.wait_for_head()
        except BaseException:
            self.abort()
            raise
        return response

    def abort(self) -> None:
        """Close the socket now; may be called at any time."""
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        if self._transport is not None and not self._lost:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._lost:
            self._transport.resume_reading()

    # What the socket says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._keep = False
            response.fail("answered with malformed HTTP")
            self.abort()
        if response.has_ended:
            self._response = None
            self._keep_or_close()
        elif response.head_bytes_after(len(data)) > MAX_HEAD_BYTES:
            response.fail("answered with too many headers")
            self.abort()
        response.wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        self._client.forget(self)
        if (response := self._response) is not None:
            self._response = None
            response.lose(stale=self._calls > 1, cleanly=error is None)
            response.wake()

    def _keep_or_close(self) -> None:
        if self._lost or not self._keep:
            self.abort()
            return
        self._idle_since = self._loop.time()
        self._client.put_back(self)

    # What the parser finds.

    def on_message_begin(self) -> None:
        if self._response is None or self._response.has_ended:
            raise ValueError("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._response is not None:
            self._response.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._response is not None:
            self._response.begin(self._parser.get_status_code())

    def on_body(self, data: bytes) -> None:
        if self._response is not None:
            self._response.take(data)

    def on_message_complete(self) -> None:
        if self._response is not None:
            self._keep = self._parser.should_keep_alive()
            self._response.end()


class Response:
    """One answer: its head, then its body as an async iterator of all that has come since the last look."""

    def __init__(
        self, connection: Connection, provider: str, timeouts: Timeouts, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.has_ended = False
        self.buffered_bytes = 0
        self._connection = connection
        self._provider = provider
        self._timeouts = timeouts
        self._loop = loop
        self._ends_at = loop.time() + timeouts.total
        self._head_bytes = 0
        self._has_begun = False
        self._parts: list[bytes] = []
        self._paused = False
        self._inflate: zlib._Decompress | None = None
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def wait_for_head(self) -> None:
        while not self._has_begun:
            if self._error is not None:
                raise self._error
            await self._wait(self._timeouts.first_byte, "did not answer")

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._parts:
            if self._error is not None:
                raise self._error
            if self.has_ended:
                raise StopAsyncIteration
            try:
                await self._wait(self._timeouts.idle, "sent nothing more")
            except BaseException:
                self._connection.abort()
                raise
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self.buffered_bytes = 0
        if self._paused:
            self._paused = False
            self._connection.resume()
        return data

    async def aclose(self) -> None:
        """Close the socket unless the answer has ended already."""
        if not self.has_ended:
            self._connection.abort()

    async def _wait(self, seconds: float, what: str) -> None:
        """Until something has come; raises HiveError `timeout`."""
        left = self._ends_at - self._loop.time()
        if left < seconds:
            seconds, what = self._timeouts.total, "did not finish"
        waiter = self._waiter = self._loop.create_future()
        timer = self._loop.call_later(max(0, min(seconds, left)), self._expire, waiter, seconds, what)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _expire(self, waiter: asyncio.Future[None], seconds: float, what: str) -> None:
        if not waiter.done():
            message = f"The provider `{self._provider}` {what} within {seconds:g} s."
            waiter.set_exception(HiveError(Kind.TIMEOUT, message))

    # What the connection tells.

    def begin(self, status: int) -> None:
        self.status = status
        if status < 200:
            return
        self._has_begun = True
        encoding = self.headers.get("content-encoding", "identity")
        if encoding in ("gzip", "x-gzip", "deflate"):
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
        elif encoding != "identity":
            self.fail(f"answered with the content encoding {encoding[:40]!r}, which was not asked for")

    def take(self, data: bytes) -> None:
        if self._error is not None:
            return
        if self._inflate is not None:
            data = self._unpack(self._inflate, data)
        self._parts.append(data)
        self.buffered_bytes += len(data)
        if self.buffered_bytes > MAX_BUFFERED_BYTES and not self._paused:
            self._paused = True
            self._connection.pause()

    def end(self) -> None:
        if self.status < 200:
            self.headers.clear()
        else:
            self.has_ended = True

    def head_bytes_after(self, size: int) -> int:
        """Bytes of the head so far; 0 once it is complete."""
        self._head_bytes = 0 if self._has_begun else self._head_bytes + size
        return self._head_bytes

    def lose(self, stale: bool, cleanly: bool) -> None:
        """The socket was closed before the end."""
        if self._error is not None:
            return
        framed = "content-length" in self.headers or "transfer-encoding" in self.headers
        if self._has_begun and cleanly and not framed:
            self.has_ended = True
        elif stale and not self._has_begun and not self.headers:
            self._error = StaleConnection()
        elif self._has_begun:
            self.fail("broke the connection in the middle of its answer")
        else:
            self.fail("closed the connection without an answer")

    def fail(self, what: str) -> None:
        if self._error is None and not self.has_ended:
            self._error = HiveError(Kind.UPSTREAM_FAILED, f"The provider `{self._provider}` {what}.")

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _unpack(self, inflate: zlib._Decompress, data: bytes) -> bytes:
        try:
            unpacked = inflate.decompress(data, MAX_INFLATED_BYTES)
        except zlib.error:
            self.fail("answered with broken compression")
            return b""
        if inflate.unconsumed_tail:
            self.fail("answered with more compressed data than can be held")
        return unpacked
