"""One answer between who makes it and who reads it: it can lose its reader and find another one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from hive_relay.asgi import App, Message, Receive, Scope, Send
from hive_routing.resuming.buffer import Buffer, Room
from hive_runtime.errors import HiveError, Kind

READER_BYTES = 256 * 1024
"""What may wait for a reader that is there."""
ALONE_BYTES = 2 * 1024 * 1024
"""What is made for a reader that may come back: as much again is kept of what it may not have got."""

Headers = list[tuple[bytes, bytes]]


@dataclass(eq=False, slots=True)
class Reader:
    """Who takes a stream now. replaced: another one has come for it."""

    task: asyncio.Task[object]
    replaced: bool = False


class Stream:
    """`run` makes the answer, `deliver` gives it to one reader at a time.

    over: nothing more comes. timer: what ends it where nobody comes back.
    """

    def __init__(self, room: Room, deadline: float) -> None:
        """deadline: in the event loop's time."""
        self.buffer = Buffer(room)
        self.over = False
        self.reader: Reader | None = None
        self.maker: asyncio.Task[None] | None = None
        self.timer: asyncio.Task[None] | None = None
        self._room = room
        self._deadline = deadline
        self._status = 0
        self._headers: Headers = []
        self._is_stream = False
        self._closed = False
        self._error: BaseException | None = None
        self._more = asyncio.Event()
        self._taken = asyncio.Event()

    async def run(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Make the answer with `app`; its `send` has to lead to `put`."""
        try:
            async with asyncio.timeout_at(self._deadline) as limit:
                await app(scope, receive, send)
        except HiveError as error:
            self._error = error
        except asyncio.CancelledError:
            self._error = HiveError(Kind.UNAVAILABLE, "The stream was stopped.", should_retry=False)
            raise
        except Exception as error:
            self._error = error
            if limit.expired():
                self._error = HiveError(Kind.TIMEOUT, "The request did not finish before its deadline.")
            elif self.reader is None:
                raise
        finally:
            self.over = True
            self._more.set()

    async def put(self, message: Message) -> None:
        """One message of the answer; waits while the reader is too far behind."""
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], list(message.get("headers", ()))
            self._is_stream = is_event_stream(message)
            if not self._is_stream:
                self.buffer.close()  # it passes at once
            self._more.set()
            return
        data = message.get("body", b"")
        if self._is_stream:
            self.buffer.add(data, message.get("hive.content", True))
        else:
            self.buffer.add_whole(data)
        if not message.get("more_body", False):
            self._closed = True
            self.buffer.end()
        self._more.set()
        await self._room_for_more()

    def attach(self, events: int) -> Reader:
        """The current task reads from now on, behind so many events; who read before is told so.

        Raises HiveError `conflict` where what follows them is gone, `invalid` where there are not so many yet.
        """
        if events > self.buffer.events and not self.over:
            said = f"The stream has given {self.buffer.events} events so far, not {events}."
            raise HiveError(Kind.INVALID, said, "Last-Event-ID")
        if not self.buffer.go_to(events):
            said = f"What followed event {events} of this stream is no longer kept: it has become too long."
            raise HiveError(Kind.CONFLICT, said, "Last-Event-ID", reason="resume_gone", should_retry=False)
        task = asyncio.current_task()
        assert task is not None, "only tasks read"
        if self.reader is not None:
            self.reader.replaced = True
            self.reader.task.cancel()
        self.reader = Reader(task)
        return self.reader

    def detach(self, reader: Reader) -> bool:
        """The reader has gone; false where another one had taken its place."""
        if self.reader is not reader:
            return False
        self.reader = None
        self._taken.set()  # more may be made now than while somebody waits for it
        return True

    async def deliver(self, send: Send, more_headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """All from the reader's place to the end; raises what the answer broke off with."""
        while not (self._status or self.over):
            await self._next()
        if self._status:
            headers = [*self._headers, *more_headers]
            await send({"type": "http.response.start", "status": self._status, "headers": headers})
            await self._deliver_body(send)
        while not self.over:
            await self._next()
        if self._error is not None:
            raise self._error

    async def _deliver_body(self, send: Send) -> None:
        while True:
            data, is_content = self.buffer.take()
            self._taken.set()
            at_end = self._closed and not self.buffer.ahead
            if data or at_end:
                message = {"type": "http.response.body", "body": data, "more_body": not at_end}
                if data and not is_content:
                    message["hive.content"] = False
                await send(message)
            elif self.over:
                return
            else:
                await self._next()
            if at_end:
                return

    async def _next(self) -> None:
        self._more.clear()
        await self._more.wait()

    async def _room_for_more(self) -> None:
        self._room.waiting.add(self._taken)
        try:
            while not self._closed and self.buffer.ahead > self._bound():
                self._taken.clear()
                await self._taken.wait()
        finally:
            self._room.waiting.discard(self._taken)

    def _bound(self) -> int:
        if self.reader is not None:
            return READER_BYTES
        return 0 if self._room.excess else ALONE_BYTES


def is_event_stream(start: Message) -> bool:
    """Whether an answer that begins so is a stream of events."""
    kinds = [value for name, value in start.get("headers", ()) if name == b"content-type"]
    return start["status"] == 200 and any(b"event-stream" in kind for kind in kinds)
