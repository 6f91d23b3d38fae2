"""One request being answered: the ASGI app on one side, whoever listens to its answer on the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable

import structlog

from hive_relay.asgi import SENT, App, Message, Sent, scope_of
from hive_relay.exchange import Exchange
from hive_relay.frames import CHUNK_BYTES, CREDIT_BYTES
from hive_relay.replies import NOBODY, Listener, Replies
from hive_relay.request import Request
from hive_relay.summary import Summary
from hive_runtime.blobs import Blobs
from hive_runtime.errors import HiveError, Kind
from modelhive.relay.v1.relay_pb2 import BlobReference

log = structlog.get_logger(__name__)


class Run(Sent):
    """Feeds the app the request, tells what it sends, and holds it back where credit is used up.

    deadline: in the event loop's time. is_owed: the caller waits for the end of it. claimed_bytes: of a body in blob
    storage.
    """

    listener: Listener = NOBODY
    task: asyncio.Task[None] | None = None
    is_owed = True
    has_expired = False
    _has_begun = False
    _may_go = False
    _go: asyncio.Future[None] | None = None
    _credited: asyncio.Future[None] | None = None
    _parts: AsyncIterator[bytes] | None = None
    _received = False
    _started = False
    _over: asyncio.Future[None] | None = None

    def __init__(self, request: Request, replies: Replies, blobs: Blobs) -> None:
        self.key = (request.request_id, request.attempt)
        self.deadline = request.deadline
        body = request.body
        self.claimed_bytes = body.size_bytes if isinstance(body, BlobReference) else 0
        self._request: Request | None = request
        self._replies = replies
        self._blobs = blobs
        self._credit = CREDIT_BYTES

    async def execute(self, app: App) -> None:
        """Answer the request to its end; only cancellation leaves it without an `End`."""
        self._has_begun = True
        request = self._request
        assert request is not None
        request_id, attempt = self.key
        exchange = Exchange(
            request_id, attempt, request.principal, self.deadline, request.traceparent, self._wait_for_go
        )
        scope = scope_of(request, exchange)
        del request
        try:
            await app(scope, self.receive, self.send)
        except HiveError as error:
            self.end(error, exchange.usage)
        except asyncio.CancelledError as reason:
            if self.has_expired and self.task is not None:
                self.task.uncancel()
                said = "The request did not finish before its deadline."
                self.end(HiveError(Kind.TIMEOUT, said), exchange.usage)
                return
            if reason.args:  # our own shutdown; a caller that cancelled listens no more
                self.give_back()
            raise
        except Exception:
            log.exception("request failed", request_id=exchange.request_id, path=scope["path"])
            said = "Something went wrong on our side; the request id finds it in our logs."
            self.end(HiveError(Kind.INTERNAL, said), exchange.usage)
        else:
            silent = None if self._started else HiveError(Kind.INTERNAL, "The service gave no answer.")
            self.end(silent, exchange.usage)

    def expire(self) -> None:
        """Its deadline has come: stop the app, and say so. In vain before its first step."""
        if self._has_begun and self.task is not None and not self.has_expired:
            self.has_expired = True
            self.task.cancel()

    def refuse(self, error: HiveError) -> None:
        """Answer with an error, without running the app."""
        self._replies.accepted(self)
        self.end(error)

    def end(self, error: HiveError | None, usage: Summary | None = None) -> None:
        """The last that is told."""
        self.is_owed = False
        self.listener.on_end(error, usage)

    def give_back(self) -> None:
        """The last that is told of what this process will not finish, because it is going down."""
        self.is_owed = False
        self.listener.on_end(going_down(), None, given_back=True)

    def decline(self) -> None:
        """Give the request back without running the app."""
        self._replies.accepted(self)
        self.give_back()

    # What the caller says.

    def on_go(self) -> None:
        self._may_go = True
        if self._go is not None and not self._go.done():
            self._go.set_result(None)

    def on_credit(self, size: int) -> None:
        self._credit += size
        if self._credited is not None and not self._credited.done():
            self._credited.set_result(None)

    def on_cancel(self) -> None:
        self.is_owed = False
        if self.task is not None:
            self.task.cancel()

    # What the app asks and says.

    async def _wait_for_go(self) -> None:
        if not self._may_go:
            self._go = self._go or asyncio.get_running_loop().create_future()
            await self._go

    async def receive(self) -> Message:
        """The body, in one message or in the blob's parts; then nothing until the answer is over."""
        if self._received:
            self._over = self._over or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._over)
            return {"type": "http.disconnect"}
        request = self._request
        if request is not None:
            self._request = None  # a stream may go on for long, and its request's body is large
            body = request.body
            if not isinstance(body, BlobReference):
                self._received = True
                return {"type": "http.request", "body": body, "more_body": False}
            self._parts = self._blobs.read(body.path)
        assert self._parts is not None
        async for part in self._parts:
            return {"type": "http.request", "body": part, "more_body": True}
        self._received = True
        return {"type": "http.request", "body": b"", "more_body": False}

    def send(self, message: Message) -> Awaitable[None]:
        """Something that is `Sent` where there is nothing to wait for; for the start this itself, to be written to."""
        if message["type"] == "http.response.start":
            self._started = True
            self.listener.on_head(message["status"], list(message.get("headers", ())))
            return self
        body, more = message.get("body", b""), message.get("more_body", False)
        size, content = len(body), message.get("hive.content", True)
        if size > CHUNK_BYTES or size > self._credit or self._replies.is_full:
            return self._send_in_parts(body, content, more)
        if size and not self.listener.on_chunk(body, content, more):
            self._credit -= size
        if not more:
            self._finish()
        return SENT

    def write(self, body: bytes) -> bool:
        if self.listener.on_piece(body):
            return True
        size = len(body)
        if size > CHUNK_BYTES or size > self._credit or self._replies.is_full:
            return False
        if not self.listener.on_chunk(body, True, True):
            self._credit -= size
        return True

    async def _send_in_parts(self, body: bytes, content: bool, more: bool) -> None:
        """Each as soon as there is credit and room for it."""
        for start in range(0, len(body), CHUNK_BYTES):
            part = body[start : start + CHUNK_BYTES]
            while self._credit < len(part):
                self._credited = asyncio.get_running_loop().create_future()
                await self._credited
            if self._replies.is_full:
                await self._replies.room()
            if not self.listener.on_chunk(part, content, more):
                self._credit -= len(part)
        if not more:
            self._finish()

    def _finish(self) -> None:
        """The answer is over: so tell who waits for the client's departure."""
        if self._over is not None and not self._over.done():
            self._over.set_result(None)


def going_down() -> HiveError:
    """What is told where nobody else can answer."""
    return HiveError(Kind.UNAVAILABLE, "The service is going down.", retry_after=1)
