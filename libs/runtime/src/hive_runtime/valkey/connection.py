"""One socket to a Valkey server: commands out, replies in, in the same order and as many under way as there are."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import cast

from hive_runtime.alarm import NEVER, Alarm
from hive_runtime.valkey.port import Argument, Reply
from hive_runtime.valkey.resp import Malformed, Refusal, Replies, command

MOST_UNDER_WAY = 10_000
SILENT_SECONDS = 0.25
"""How long nothing may come while a reply is overdue until the connection is believed to be dead."""
LATE_SECONDS = 2.0
"""How long a reply may be overdue at most: what waits behind it is better asked anew."""


class Connection(asyncio.Protocol):
    """A call that is not answered within `call_seconds` fails alone; where that lasts, the socket is closed."""

    def __init__(self, call_seconds: float) -> None:
        self.is_open = True
        self._seconds = call_seconds
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._replies = Replies()
        self._under_way: deque[tuple[asyncio.Future[Reply], float]] = deque()
        """Each with the moment at which it is overdue, in the event loop's time."""
        self._unsent: list[bytes] = []
        self._heard = self._loop.time()
        self._alarm = Alarm(self._look)
        self._lost: asyncio.Future[None] = self._loop.create_future()

    def call(self, *arguments: Argument) -> asyncio.Future[Reply]:
        """Send a command. The reply raises Refusal, or TimeoutError or ConnectionError where none comes."""
        reply: asyncio.Future[Reply] = self._loop.create_future()
        if self._transport is None or not self.is_open:
            reply.set_exception(ConnectionError("the connection is closed"))
        elif len(self._under_way) >= MOST_UNDER_WAY:
            reply.set_exception(ConnectionError(f"{MOST_UNDER_WAY} calls are under way already"))
        else:
            said = command(arguments)  # what cannot be said has no place among those that wait for a reply
            overdue = self._loop.time() + self._seconds
            self._under_way.append((reply, overdue))
            self._alarm.at(overdue)
            if not self._unsent:
                self._loop.call_soon(self._send)
            self._unsent.append(said)
        return reply

    def _send(self) -> None:
        """What was said within one turn of the event loop leaves together: a write costs more than a command."""
        if self._transport is not None and self.is_open:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    async def introduce(self, commands: Sequence[Sequence[Argument]]) -> None:
        """Say first what every connection has to. Raises ConnectionError, TimeoutError."""
        replies = await asyncio.gather(*(self.call(*each) for each in commands), return_exceptions=True)
        for reply in replies:
            if isinstance(reply, Refusal):
                raise ConnectionError(str(reply)) from reply
            if isinstance(reply, Exception):
                raise reply

    def abort(self) -> None:
        """Close the socket now; what is under way fails."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """The same; returns once it is closed."""
        self.abort()
        await self._lost

    def _look(self, now: float) -> float:
        """Fail what is overdue, and tell when the next call is."""
        if not self._under_way:
            return NEVER
        oldest = self._under_way[0][1]
        dead = min(max(oldest, self._heard) + SILENT_SECONDS, oldest + LATE_SECONDS)
        if dead <= now:
            self.abort()
            return NEVER
        for reply, overdue in self._under_way:
            if overdue > now:
                return min(overdue, dead)
            if not reply.done():
                reply.set_exception(TimeoutError("no answer in time"))
        return dead

    # What the socket says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        try:
            for found in self._replies.feed(data):
                reply, _ = self._under_way.popleft()
                if reply.done():
                    continue  # nobody waits for it any more
                if isinstance(found, Refusal):
                    reply.set_exception(found)
                else:
                    reply.set_result(found)
        except (Malformed, IndexError):
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        while self._under_way:
            reply, _ = self._under_way.popleft()
            if not reply.done():
                reply.set_exception(ConnectionError(str(error) if error else "the connection was closed"))
        self._lost.set_result(None)
