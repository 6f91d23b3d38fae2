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
    goes_through: while more of the body comes, and nothing else happens, `pass_through` takes it.
    """

    # How it begins; most answers need few of these.
    status = 0
    has_ended = False
    error: Exception | None = None
    buffered_bytes = 0
    head_bytes = 0
    goes_through = False
    _waits_since = 0.0
    _has_begun = False
    _has_body = False
    _paused = False
    _inflate: zlib._Decompress | None = None
    _waiter: asyncio.Future[bool] | None = None
    """Its result: whoever took what came wants no more of it."""
    _take: Callable[[bytes], bool]
    """Of whoever takes what goes through."""

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
        self._take = take
        while take(await self.__anext__()):
            if self.has_ended or self.error is not None or self._inflate is not None:
                continue  # an end that came along would wake nobody; what is compressed does not go through
            self.goes_through = True
            try:
                if await self._until_change():
                    return
            finally:
                self.goes_through = False

    async def aclose(self) -> None:
        """Close the socket unless the answer has ended already."""
        self._give_up()

    async def _until_change(self) -> bool:
        try:
            return await self._change()
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

    def _change(self) -> asyncio.Future[bool]:
        """Done when something has come; raises HiveError `timeout`."""
        self._waits_since = now = self._loop.time()
        waiter = self._waiter = self._loop.create_future()
        if now + CLOCK_SECONDS >= self._ends_at:
            self._expire(waiter, self._timeouts.total, "did not finish")
        return waiter

    def _expire(self, waiter: asyncio.Future[bool], seconds: float, what: str) -> None:
        self.goes_through = False
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

    def take(self, came: list[bytes]) -> None:
        """Keep the next parts of the body; leaves the list empty."""
        if came and self.error is None:
            self._has_body = True
            if self._inflate is None:
                self.parts += came
            else:
                self._unpack_all(self._inflate, came)
        came.clear()

    def pass_through(self, came: list[bytes]) -> None:
        """Give the next parts of the body to whoever takes them; leaves the list empty."""
        self._waits_since = self._loop.time()
        self.head_bytes = 0
        data = b"".join(came)
        came.clear()
        try:
            if not self._take(data):
                self._wake(has_enough=True)
        except Exception as error:
            self._wake(error=error)

    def end(self) -> None:
        if self.status < 200:  # only an interim answer: the head of the final one is still to come
            self.status = 0
            self.headers.clear()
            return
        self.has_ended = True
        self.goes_through = False
        if self._paused:
            self._paused = False
            self._socket.resume()

    def lose(self, stale: bool, cleanly: bool) -> None:
        """The socket was closed before the end."""
        if self.error is not None:
            return
        framed = "content-length" in self.headers or "transfer-encoding" in self.headers
        if self._has_begun and cleanly and not framed:
            self.goes_through, self.has_ended = False, True
        elif stale and not self._has_begun and not self.headers:
            self.error = StaleConnection()
        elif self._has_begun:
            self.fail("broke the connection in the middle of its answer")
        else:
            self.fail("closed the connection without an answer")

    def fail(self, what: str) -> None:
        self.goes_through = False
        if self.error is None and not self.has_ended:
            self.error = HiveError(Kind.UPSTREAM_FAILED, f"The provider `{self._provider}` {what}.")

    def tell(self, size: int) -> None:
        """One read of about so many bytes has been parsed: whoever waits gets to know what it brought."""
        if self.goes_through:  # it brought a part of a chunk's frame
            self._waits_since = self._loop.time()
            return
        self._wake()
        if self.parts and not self.has_ended:
            self._hold_back(size)

    def _wake(self, has_enough: bool = False, error: Exception | None = None) -> None:
        self.goes_through = False
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            return
        if error is None:
            waiter.set_result(has_enough)
        else:
            waiter.set_exception(error)

    def _hold_back(self, size: int) -> None:
        """Nobody took what came: read no more than can be held."""
        if self._inflate is None:
            self.buffered_bytes += size
        if self.buffered_bytes > MAX_BUFFERED_BYTES and not self._paused:
            self._paused = True
            self._socket.pause()

    def _unpack_all(self, inflate: zlib._Decompress, came: list[bytes]) -> None:
        for packed in came:
            if self.error is not None:
                return
            data = self._unpack(inflate, packed)
            self.buffered_bytes += len(data)
            self.parts.append(data)

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
