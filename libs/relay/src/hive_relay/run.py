"""One envelope being answered: the ASGI app on one side, reply frames on the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import structlog

from hive_relay import frames
from hive_relay.asgi import App, Message, Scope, scope_of
from hive_relay.exchange import Exchange
from hive_relay.replies import Replies
from hive_runtime.blobs import Blobs
from hive_runtime.errors import HiveError, Kind
from modelhive.common.v1.common_pb2 import UsageSummary
from modelhive.relay.v1.relay_pb2 import RequestEnvelope

log = structlog.get_logger(__name__)


class Run:
    """Feeds the app the request, turns what it sends into frames, and holds it back where credit is used up.

    deadline: in the event loop's time.
    """

    def __init__(self, envelope: RequestEnvelope, replies: Replies, blobs: Blobs, deadline: float) -> None:
        self.key = (envelope.request_id, envelope.attempt)
        self.task: asyncio.Task[None] | None = None
        self._envelope: RequestEnvelope | None = envelope
        self._replies = replies
        self._blobs = blobs
        self._deadline = deadline
        self._expired = False
        self._go: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._credit = frames.CREDIT_BYTES
        self._credited: asyncio.Future[None] | None = None
        self._parts: AsyncIterator[bytes] | None = None
        self._received = False
        self._started = False
        self._over: asyncio.Future[None] | None = None
        self.is_owed = True
        """The caller waits for the end of it."""

    async def execute(self, app: App) -> None:
        """Answer the request to its end; only cancellation leaves it without an `End`."""
        envelope = self._envelope
        assert envelope is not None
        exchange = Exchange(
            request_id=envelope.request_id,
            attempt=envelope.attempt,
            principal=envelope.principal,
            deadline=self._deadline,
            traceparent=envelope.traceparent,
            go=self._wait_for_go,
        )
        scope = scope_of(envelope, exchange)
        del envelope
        self._replies.accepted(self.key)
        timer = asyncio.get_running_loop().call_at(self._deadline, self._expire)
        try:
            self.end(await self._answer(app, scope, exchange.request_id), exchange.usage)
        finally:
            timer.cancel()

    async def _answer(self, app: App, scope: Scope, request_id: str) -> HiveError | None:
        try:
            await app(scope, self.receive, self.send)
        except HiveError as error:
            return error
        except asyncio.CancelledError:
            if not self._expired or self.task is None:
                raise
            self.task.uncancel()
            return HiveError(Kind.TIMEOUT, "The request did not finish before its deadline.")
        except Exception:
            log.exception("request failed", request_id=request_id, path=scope["path"])
            return HiveError(
                Kind.INTERNAL, "Something went wrong on our side; the request id finds it in our logs."
            )
        if not self._started:
            return HiveError(Kind.INTERNAL, "The service gave no answer.")
        return None

    def _expire(self) -> None:
        self._expired = True
        if self.task is not None:
            self.task.cancel()

    def refuse(self, error: HiveError) -> None:
        """Answer with an error, without running the app."""
        self._replies.accepted(self.key)
        self.end(error)

    def end(self, error: HiveError | None, usage: UsageSummary | None = None) -> None:
        """The last frame."""
        self.is_owed = False
        self._replies.end(self.key, error, usage)

    def give_back(self) -> None:
        """The last frame of what this process will not finish, because it is going down."""
        self.is_owed = False
        self._replies.end(self.key, going_down(), None, given_back=True)

    def decline(self) -> None:
        """Give the request back without running the app."""
        self._replies.accepted(self.key)
        self.give_back()

    # What the caller says.

    def on_go(self) -> None:
        if not self._go.done():
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
        if not self._go.done():
            await self._go

    async def receive(self) -> Message:
        """The body, in one message or in the blob's parts; then nothing until the answer is over."""
        if self._received:
            self._over = self._over or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._over)
            return {"type": "http.disconnect"}
        envelope = self._envelope
        if envelope is not None:
            self._envelope = None  # a stream may go on for long, and its request's body is large
            if envelope.WhichOneof("payload") != "blob":
                self._received = True
                return {"type": "http.request", "body": envelope.body, "more_body": False}
            self._parts = self._blobs.read(envelope.blob.path)
        assert self._parts is not None
        async for part in self._parts:
            return {"type": "http.request", "body": part, "more_body": True}
        self._received = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            self._replies.head(self.key, message["status"], list(message.get("headers", ())))
            return
        body = message.get("body", b"")
        content = message.get("hive.content", True)
        if len(body) <= frames.CHUNK_BYTES:
            if body:
                await self._send_part(body, content)
        else:
            for start in range(0, len(body), frames.CHUNK_BYTES):
                await self._send_part(body[start : start + frames.CHUNK_BYTES], content)
        if not message.get("more_body", False) and self._over is not None and not self._over.done():
            self._over.set_result(None)

    async def _send_part(self, part: bytes, content: bool) -> None:
        if self._credit < len(part):
            await self._wait_for_credit(len(part))
        self._credit -= len(part)
        if self._replies.is_full:
            await self._replies.room()
        self._replies.chunk(self.key, part, content)

    async def _wait_for_credit(self, size: int) -> None:
        while self._credit < size:
            self._credited = asyncio.get_running_loop().create_future()
            await self._credited


def going_down() -> HiveError:
    """What is told where nobody else can answer."""
    return HiveError(Kind.UNAVAILABLE, "The service is going down.", retry_after=1)
