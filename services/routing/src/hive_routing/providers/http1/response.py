"""One answer of a provider as it arrives, with the time that each of its phases may take."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Protocol

from hive_routing.providers.port import Timeouts
from hive_runtime.errors import HiveError, Kind

MAX_BUFFERED_BYTES = 128 * 1024
MAX_INFLATED_BYTES = 16 * 1024 * 1024
"""How much one read from the socket may hold once it is unpacked."""


class StaleConnection(Exception):
    """A kept connection turned out to be closed before anything was answered on it."""


class Socket(Protocol):
    """What an answer may ask of the connection that it comes through."""

    def abort(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Response:
    """One answer: its head, then its body as an async iterator of all that has come since the last look."""

    def __init__(
        self, socket: Socket, provider: str, timeouts: Timeouts, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.has_ended = False
        self.buffered_bytes = 0
        self._socket = socket
        self._provider = provider
        self._timeouts = timeouts
        self._loop = loop
        self._ends_at = loop.time() + timeouts.total
        self._head_bytes = 0
        self._has_begun = False
        self._has_body = False
        self._body_came = False
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
                seconds = self._timeouts.idle if self._has_body else self._timeouts.first_byte
                await self._wait(seconds, "sent nothing more")
            except BaseException:
                self._socket.abort()
                raise
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self.buffered_bytes = 0
        if self._paused:
            self._paused = False
            self._socket.resume()
        return data

    async def aclose(self) -> None:
        """Close the socket unless the answer has ended already."""
        if not self.has_ended:
            self._socket.abort()

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
        self._has_body = self._body_came = True
        if self._inflate is not None:
            data = self._unpack(self._inflate, data)
        self._parts.append(data)
        self.buffered_bytes += len(data)
        if self.buffered_bytes > MAX_BUFFERED_BYTES and not self._paused:
            self._paused = True
            self._socket.pause()

    def end(self) -> None:
        if self.status < 200:
            self.headers.clear()
            return
        self.has_ended = True
        if self._paused:
            self._paused = False
            self._socket.resume()

    def head_bytes_after(self, size: int) -> int:
        """Bytes that came since there was last a part of the body: of the head, or of trailers without end."""
        self._head_bytes = 0 if self._body_came else self._head_bytes + size
        self._body_came = False
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

    @property
    def failed(self) -> bool:
        return self._error is not None

    def fail(self, what: str) -> None:
        if self._error is None and not self.has_ended:
            self._error = HiveError(Kind.UPSTREAM_FAILED, f"The provider `{self._provider}` {what}.")

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _unpack(self, inflate: zlib._Decompress, data: bytes) -> bytes:
        room = MAX_INFLATED_BYTES - self.buffered_bytes
        try:
            unpacked = inflate.decompress(data, room) if room > 0 else b""
        except zlib.error:
            self.fail("answered with broken compression")
            return b""
        if inflate.unused_data:
            self.fail("sent more than its compressed answer")
        if inflate.unconsumed_tail or room <= 0:
            self.fail("answered with more compressed data than can be held")
        return unpacked
