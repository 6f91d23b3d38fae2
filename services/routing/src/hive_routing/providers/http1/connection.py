"""One socket to a provider: requests out, parsed answers in, one at a time."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Protocol, cast

import httptools

from hive_routing.providers.http1.response import Response
from hive_routing.providers.port import Timeouts

MAX_HEAD_BYTES = 65_536
ONE_WRITE_BYTES = 65_536


class Pool(Protocol):
    """Who owns the connection. name: the provider's, for the messages of errors."""

    name: str

    def put_back(self, connection: Connection) -> None:
        """Its answer has ended; it can be used again."""
        ...

    def forget(self, connection: Connection) -> None:
        """Its socket is closed."""
        ...


class Connection(asyncio.Protocol):
    """One socket, one call at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._came: list[bytes] = []
        """Of a body, in the read that is being parsed."""
        self.on_body = self._came.append
        """Which the parser calls as it does those below."""
        self._parser = httptools.HttpResponseParser(self)
        self._response: Response | None = None
        self._calls = 0
        self._idle_since = 0.0
        self._lost = False
        self._keep = False
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = inf

    def idle_seconds(self) -> float:
        return self._loop.time() - self._idle_since

    def send(self, head: bytes, body: bytes, timeouts: Timeouts) -> Response:
        """Begin a call; its answer is to be waited for.

        That raises StaleConnection where this is not the first call and the socket proves closed.
        """
        self._calls += 1
        response = self._response = Response(self, self._pool.name, timeouts, self._loop)
        if response.looks_at < self._rings_at:
            self._ring_at(response.looks_at)
        if self._lost or self._transport is None:
            response.lose(stale=self._calls > 1, cleanly=True)
        elif len(body) < ONE_WRITE_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        return response

    def _ring_at(self, moment: float) -> None:
        """Have the answer under way looked at then, in the loop's time.

        One timer watches over all waits, and is only moved to ring earlier: what comes in time, as nearly all does,
        sets none and ends none.
        """
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(moment, self._ring)
        self._rings_at = moment

    def _ring(self) -> None:
        self._timer, self._rings_at = None, inf
        if self._response is not None and (moment := self._response.look(self._loop.time())) < inf:
            self._ring_at(moment)

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
            response.take(self._came)
            response.fail("answered with malformed HTTP")
            self.abort()
        if self._came:
            if response.goes_through:
                response.pass_through(self._came)
                return
            response.take(self._came)
        size = len(data)
        if response.has_ended:
            self._response = None
            self._keep_or_close()
        elif response.error is not None:
            self.abort()
        elif response.parts:
            response.head_bytes = 0
        else:
            response.head_bytes += size
            if response.head_bytes > MAX_HEAD_BYTES:
                response.fail("answered with too many headers")
                self.abort()
        response.tell(size)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        self._pool.forget(self)
        if self._timer is not None:
            self._timer.cancel()
        if (response := self._response) is not None:
            self._response = None
            # The request went out: whether it was heard nobody knows, so it is not sent again from here.
            response.lose(stale=False, cleanly=error is None)
            response.tell(0)

    def _keep_or_close(self) -> None:
        if self._lost or not self._keep:
            self.abort()
            return
        self._idle_since = self._loop.time()
        self._pool.put_back(self)

    # What the parser finds.

    def on_message_begin(self) -> None:
        if self._response is None or self._response.has_ended:
            raise ValueError("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        response = self._response
        if response is not None and not response.status:
            response.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._response is not None:
            self._response.begin(self._parser.get_status_code())

    def on_message_complete(self) -> None:
        if (response := self._response) is not None:
            self._keep = self._parser.should_keep_alive()
            response.take(self._came)
            response.end()
