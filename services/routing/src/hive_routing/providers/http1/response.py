"""One answer of a provider as it arrives, with the time that each of its phases may take."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from math import inf
from typing import Protocol

from hive_routing.providers.port import Timeouts
from hive_runtime.errors import HiveError, Kind

MAX_BUFFERED_BYTES = 128 * 1024
MAX_INFLATED_BYTES = 16 * 1024 * 1024
"""How much one read from the socket may hold once it is unpacked."""
CLOCK_SECONDS = 0.001
"""So much too early a timer may ring."""


class StaleConnection(Exception):
    """A kept connection turned out to be closed before anything was answered on it."""


class Socket(Protocol):
    """What an answer may ask of the connection that it comes through."""

    def abort(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Response:
    """One answer: its head, then its body as an async iterator of all that has come since the last look.

    looks_at: when the connection has to `look` first.
    parts: of the body, that nobody has taken yet.
    head_bytes: that came since there was last a part of the body: of the head, or of trailers without end.
    """

    # How it begins; most answers need few of these.
    status = 0
    has_ended = False
    error: Exception | None = None
    buffered_bytes = 0
    head_bytes = 0
    _waits_since = 0.0
    _has_begun = False
    _has_body = False
    _paused = False
    _inflate: zlib._Decompress | None = None
    _waiter: asyncio.Future[None] | None = None
    _take: Callable[[bytes], bool] | None = None
    """Whoever takes what comes while nobody waits for it."""

    def __init__(
        self, socket: Socket, provider: str, timeouts: Timeouts, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.headers: dict[str, str] = {}
        self._socket = socket
        self._provider = provider
        self._timeouts = timeouts
        self._loop = loop
        now = loop.time()
        self._ends_at = now + timeouts.total
        self.looks_at = now + timeouts.shortest
        self.parts: list[bytes] = []

    async def wait_for_head(self) -> None:
        try:
            while not self._has_begun:
                if self.error is not None:
                    raise self.error
                await self._change()
        except BaseException:
            self._give_up()
            raise

    @property
    def whole(self) -> bytes | None:
        """The body where all of it is here; None: it is to be read, for more has to come or it is broken."""
        if not self.has_ended or self.error is not None:
            return None
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self.parts:
            if self.error is not None:
                raise self.error
            if self.has_ended:
                raise StopAsyncIteration
            await self._until_change()
        return self._taken_out()

    async def pass_on(self, take: Callable[[bytes], bool]) -> None:
        """Give `take` what comes, as `hive_routing.providers.port.PassOn` says, without waking anybody."""
        while take(await self.__anext__()):
            if self.has_ended or self.error is not None:
                continue  # the end came along: nothing would wake us, and asking for the next part tells
            self._take = take
            try:
                await self._until_change()
                if self._take is None:
                    return
            finally:
                self._take = None

    async def aclose(self) -> None:
        """Close the socket unless the answer has ended already."""
        self._give_up()

    async def _until_change(self) -> None:
        try:
            await self._change()
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Behind an answer that has ended the socket may be another one's already."""
        if not self.has_ended:
            self._socket.abort()

    def _taken_out(self) -> bytes:
        """All that is here."""
        parts = self.parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.buffered_bytes = 0
        if self._paused:
            self._paused = False
            self._socket.resume()
        return data

    def _change(self) -> asyncio.Future[None]:
        """Done when something has come; raises HiveError `timeout`."""
        self._waits_since = now = self._loop.time()
        waiter = self._waiter = self._loop.create_future()
        if now + CLOCK_SECONDS >= self._ends_at:
            self._expire(waiter, self._timeouts.total, "did not finish")
        return waiter

    def _expire(self, waiter: asyncio.Future[None], seconds: float, what: str) -> None:
        message = f"The provider `{self._provider}` {what} within {seconds:g} s."
        waiter.set_exception(HiveError(Kind.TIMEOUT, message))

    # What the connection tells.

    def look(self, now: float) -> float:
        """End the wait of who has waited for too long.

        Returns when to look again, which is soon enough for any wait; infinite: who waits from now on learns at once.
        """
        timeouts, ends_at = self._timeouts, self._ends_at
        again = min(now + timeouts.shortest, ends_at) if now + CLOCK_SECONDS < ends_at else inf
        waiter = self._waiter
        if waiter is None or waiter.done():
            return again
        seconds = timeouts.idle if self._has_body else timeouts.first_byte
        until = min(self._waits_since + seconds, ends_at)
        if now + CLOCK_SECONDS < until:
            return min(again, until)
        if until == ends_at:
            self._expire(waiter, timeouts.total, "did not finish")
        else:
            self._expire(waiter, seconds, "sent nothing more" if self._has_begun else "did not answer")
        return again

    def begin(self, status: int) -> None:
        self.status = status
        if status < 200:
            return
        self._has_begun = True
        encoding = self.headers.get("content-encoding")
        if encoding is None or encoding == "identity":
            return
        if encoding in ("gzip", "x-gzip", "deflate"):
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
        else:
            self.fail(f"answered with the content encoding {encoding[:40]!r}, which was not asked for")

    def take(self, data: bytes) -> None:
        """A part of the body."""
        if self.error is not None:
            return
        self._has_body = True
        if self._inflate is not None:
            data = self._unpack(self._inflate, data)
            self.buffered_bytes += len(data)
        self.parts.append(data)

    def end(self) -> None:
        if self.status < 200:  # only an interim answer: the head of the final one is still to come
            self.status = 0
            self.headers.clear()
            return
        self.has_ended = True
        if self._paused:
            self._paused = False
            self._socket.resume()

    def lose(self, stale: bool, cleanly: bool) -> None:
        """The socket was closed before the end."""
        if self.error is not None:
            return
        framed = "content-length" in self.headers or "transfer-encoding" in self.headers
        if self._has_begun and cleanly and not framed:
            self.has_ended = True
        elif stale and not self._has_begun and not self.headers:
            self.error = StaleConnection()
        elif self._has_begun:
            self.fail("broke the connection in the middle of its answer")
        else:
            self.fail("closed the connection without an answer")

    def fail(self, what: str) -> None:
        if self.error is None and not self.has_ended:
            self.error = HiveError(Kind.UPSTREAM_FAILED, f"The provider `{self._provider}` {what}.")

    def tell(self, size: int) -> None:
        """One read of about so many bytes has been parsed: whoever waits gets to know what it brought."""
        waiter = self._waiter
        if waiter is not None:
            if (take := self._take) is not None and self.parts and not waiter.done():
                self._waits_since = self._loop.time()
                self.buffered_bytes = 0
                try:
                    if not take(self.parts.pop() if len(self.parts) == 1 else self._taken_out()):
                        self._take = None
                    elif not self.has_ended and self.error is None:
                        return
                except Exception as error:
                    waiter.set_exception(error)
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        if self.parts and not self.has_ended:
            self._hold_back(size)

    def _hold_back(self, size: int) -> None:
        """Nobody took what came: read no more than can be held."""
        if self._inflate is None:
            self.buffered_bytes += size
        if self.buffered_bytes > MAX_BUFFERED_BYTES and not self._paused:
            self._paused = True
            self._socket.pause()

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
