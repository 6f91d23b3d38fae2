"""Around routing's application: a request with `x-hive-resume` gets a stream that outlives its connection.

Everything below runs as always, in a task of its own, and writes into a buffer; whoever is connected reads from
that. So the bytes are those that left the guards and the cache, the money is that of a client that stayed, and to
be away for too long is to leave.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Self

from hive_relay.asgi import App, Message, Receive, Scope, Send
from hive_relay.exchange import exchange_of
from hive_relay.stream_id import Position, StreamId, stream_lost, tag_of
from hive_routing.resuming.buffer import Room
from hive_routing.resuming.stream import Reader, Stream, is_event_stream
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks

LONGEST_SECONDS = 600
STOP_SECONDS = 5.0
MOST_ALONE = 1024
"""Streams that run without a client, in one process. One more is stopped, as if it could not be resumed."""
MOST_ALONE_OF_KEY = 32


@dataclass(eq=False, slots=True)
class _Kept:
    """A stream that can be found by its id. asker: who alone gets it, and where it was asked for."""

    id: str
    asker: tuple[str, str]
    path: str
    seconds: int
    stream: Stream

    @property
    def is_alone(self) -> bool:
        return self.stream.reader is None and not self.stream.over


class Resuming:
    """ASGI, and a context: left once no more requests come, it stops what still runs and has its money settled."""

    def __init__(self, app: App, tasks: Tasks, clock: Clock, instance: str, most_bytes: int) -> None:
        """instance: by which the relay knows this process. most_bytes: of all streams together."""
        self._app = app
        self._tasks = tasks
        self._clock = clock
        self._owner = tag_of(instance)
        self._start = secrets.token_hex(4)
        self._room = Room(most_bytes, self._evict)
        self._kept: dict[str, _Kept] = {}
        self._ended: dict[str, _Kept] = {}
        """Of those that are kept, in the order in which they are given up where there is no room."""

    @property
    def alone(self) -> int:
        """Streams that run without a client."""
        return sum(kept.is_alone for kept in self._kept.values())

    @property
    def held_bytes(self) -> int:
        return self._room.used

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["method"] != "POST":
            return self._app(scope, receive, send)
        position, seconds = _read_headers(scope)
        if position is not None:
            return self._resume(position, scope, send)
        if seconds is not None:
            return self._begin(seconds, scope, receive, send)
        return self._app(scope, receive, send)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        makers = [kept.stream.maker for kept in self._kept.values() if kept.stream.maker is not None]
        for kept in list(self._kept.values()):
            self._stop(kept)
        if makers:
            await asyncio.wait(makers, timeout=STOP_SECONDS)

    async def _begin(self, seconds: int, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        stream = Stream(self._room, exchange.deadline)
        id = str(StreamId(exchange.request_id, self._owner, self._start))
        asker = exchange.principal.tenant_id, exchange.principal.key_id
        kept = _Kept(id, asker, scope["path"], seconds, stream)

        async def put(message: Message) -> None:
            if message["type"] == "http.response.start" and is_event_stream(message):
                self._kept[id] = kept
                told = (b"x-hive-request-id", id.encode()), (b"x-hive-resume", b"%d" % seconds)
                message = {**message, "headers": [*message["headers"], *told]}
            await stream.put(message)

        reader = stream.attach(0)
        stream.maker = self._tasks.spawn(stream.run(self._app, scope, receive, put), "resumable stream")
        stream.maker.add_done_callback(lambda maker: self._on_end(kept, maker))
        await self._deliver(kept, reader, send)

    async def _resume(self, position: Position, scope: Scope, send: Send) -> None:
        exchange = exchange_of(scope)
        await exchange.go()
        id = str(position.stream)
        if (position.stream.owner, position.stream.start) != (self._owner, self._start):
            raise stream_lost()
        kept = self._kept.get(id)
        if kept is None or kept.asker != (exchange.principal.tenant_id, exchange.principal.key_id):
            said = f"There is no stream {id!r}: it was asked for with another API key, has ended, or waited too long."
            raise HiveError(Kind.NOT_FOUND, said, "Last-Event-ID", reason="resume_unknown")
        if kept.path != scope["path"]:
            said = f"This stream was asked for at POST {kept.path}: resume it there."
            raise HiveError(Kind.INVALID, said, "Last-Event-ID")
        reader = kept.stream.attach(position.events)
        self._disarm(kept)
        await self._deliver(kept, reader, send, position.events)

    async def _deliver(self, kept: _Kept, reader: Reader, send: Send, resumed: int | None = None) -> None:
        told = [] if resumed is None else [(b"x-hive-resumed", b"%d" % resumed)]
        try:
            await kept.stream.deliver(send, told)
        except asyncio.CancelledError:
            if reader.replaced and not reader.task.uncancel():
                said = "Another connection has resumed this stream."
                raise HiveError(Kind.CONFLICT, said, reason="resumed_elsewhere", should_retry=False) from None
            raise
        finally:
            if kept.stream.detach(reader):
                await self._left(kept)

    async def _left(self, kept: _Kept) -> None:
        """Nobody reads it now. It goes on, or is over with its reader where nobody could come back for it."""
        maker = kept.stream.maker
        if kept.id in self._kept and (kept.stream.over or self._may_go_on(kept)):
            self._arm(kept)
        elif maker is not None:
            self._stop(kept)
            await asyncio.wait([maker])

    def _may_go_on(self, kept: _Kept) -> bool:
        alone = [other.asker for other in self._kept.values() if other.is_alone]
        return len(alone) <= MOST_ALONE and alone.count(kept.asker) <= MOST_ALONE_OF_KEY

    def _on_end(self, kept: _Kept, maker: asyncio.Task[None]) -> None:
        if maker.cancelled():
            self._stop(kept)
        elif kept.stream.reader is None and kept.id in self._kept:
            self._arm(kept)

    def _arm(self, kept: _Kept) -> None:
        """Give it up where nobody comes for it in time, counted from now."""
        self._disarm(kept)
        if kept.stream.over:
            self._ended[kept.id] = kept
        try:
            kept.stream.timer = self._tasks.spawn(self._expire(kept), "time of a resumable stream")
        except RuntimeError:  # this process is going down
            self._stop(kept)

    def _disarm(self, kept: _Kept) -> None:
        self._ended.pop(kept.id, None)
        if kept.stream.timer is not None:
            kept.stream.timer.cancel()
            kept.stream.timer = None

    async def _expire(self, kept: _Kept) -> None:
        await self._clock.sleep(kept.seconds)
        kept.stream.timer = None
        self._stop(kept)

    def _stop(self, kept: _Kept) -> None:
        self._disarm(kept)
        self._kept.pop(kept.id, None)
        kept.stream.buffer.close()
        if kept.stream.maker is not None:
            kept.stream.maker.cancel()

    def _evict(self) -> bool:
        kept = next(iter(self._ended.values()), None)
        if kept is None:
            return False
        self._stop(kept)
        return True


def _read_headers(scope: Scope) -> tuple[Position | None, int | None]:
    """Where the client was, and for how many seconds it may be away; raises HiveError `invalid`."""
    position = seconds = None
    for name, value in scope["headers"]:
        if name == b"x-hive-resume":
            text = value.strip()
            if not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= LONGEST_SECONDS:
                said = f"x-hive-resume is seconds, from 1 to {LONGEST_SECONDS}, not {text[:20].decode('latin-1')!r}."
                raise HiveError(Kind.INVALID, said, "x-hive-resume")
            seconds = int(text)
        elif name == b"last-event-id":
            position = Position.parse(value.decode("latin-1"))
            if position is None:
                said = "Last-Event-ID is `<x-hive-request-id>:<data events seen>`, as of an answer with x-hive-resume."
                raise HiveError(Kind.INVALID, said, "Last-Event-ID")
    return position, seconds
