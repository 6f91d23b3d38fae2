"""The public door for realtime sessions: authenticate, have routing open one, pass messages on. Pure ASGI.

Whatever keeps a client out is an HTTP answer before the upgrade, in the order of checks of `gateway.py`; later on it
is an `error` event and a close. Nothing is kept between the two sides: one waits for the other.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc.aio

from hive_edge.gateway import MAX_PATH, Head
from hive_edge.keys import Holder, Keys
from hive_edge.limits import Entry, Limiter
from hive_edge.request_ids import new_request_id
from hive_edge.request_log import RequestLog, conclude
from hive_relay.asgi import Message, Receive, Scope, Send
from hive_relay.summary import Summary, summary_of
from hive_rpc import Channel
from hive_runtime import tracing
from hive_runtime.clock import Clock
from hive_runtime.dialects import Dialect, error_body, error_headers
from hive_runtime.errors import HiveError, Kind
from hive_runtime.realtime import (
    BROKEN,
    PIECE_BYTES,
    REFUSED,
    RESTARTING,
    SECRET_PREFIX,
    SESSION_SECONDS,
    error_event,
    sendable,
)
from hive_runtime.tags import tags_of
from hive_runtime.tasks import Tasks
from hive_runtime.telemetry import Requests
from modelhive.events.v1.usage_pb2 import RequestLogged
from modelhive.relay.v1.relay_pb2 import Header
from modelhive.routing.v1.realtime_pb2 import (
    Close,
    ConverseRequest,
    Open,
    Piece,
    RedeemRequest,
)
from modelhive.routing.v1.realtime_pb2_grpc import RealtimeStub

PATHS = ("/v1/realtime", "/realtime")
SUBPROTOCOL = "realtime"
KEY_PREFIX = "openai-insecure-api-key."
"""Of the subprotocol that brings the key of a browser, which can set no header."""
MAX_SECRET = 16_384
REDEEM_SECONDS = 5.0
ENDING_SECONDS = 30.0
"""For routing to end a session whose time is over, before the call is given up."""
OPENING_TRIES = 3
SWITCHED = 101
CLIENT_GONE = 1006


@dataclass(slots=True)
class _Session:
    """One session as its door sees it. status: of the answer to the handshake."""

    request_id: str
    started: float
    path: str
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    status: int = 0
    error: HiveError | None = None
    tenant_id: str = ""
    key_id: str = ""
    tags: str = ""
    accepted: float | None = None
    received: int = 0
    sent: int = 0
    usage: Summary | None = None
    gone: bool = False
    span: tracing.Span = tracing.NOTHING


class Sockets:
    """The ASGI application for WebSockets of the public listener."""

    def __init__(
        self,
        *,
        keys: Keys,
        limiter: Limiter,
        channel: Channel,
        tasks: Tasks,
        requests: Requests,
        clock: Clock,
        log: RequestLog,
    ) -> None:
        """channel: to routing, whose processes take turns."""
        self._keys = keys
        self._limiter = limiter
        self._routing: Any = RealtimeStub(channel)
        self._tasks = tasks
        self._requests = requests
        self._clock = clock
        self._log = log
        self.open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = _Session(
            new_request_id(self._clock.now()), self._clock.monotonic(), scope["path"][:MAX_PATH]
        )
        tracing.note_request(session.request_id)
        with _span(scope, session) if tracing.is_on() else tracing.OFF as session.span:
            self.open += 1
            try:
                await self._handle(scope, receive, send, session)
            except HiveError as error:
                session.error, session.status = error, error.status
                await _refuse(send, session, error)
            finally:
                self.open -= 1
                self._note(session)

    async def _handle(self, scope: Scope, receive: Receive, send: Send, session: _Session) -> None:
        await receive()
        head = Head(scope)
        session.tags = head.tags
        credential = head.credential or _key_among(scope["subprotocols"])
        holder = await self._authenticate(credential)
        session.tenant_id, session.key_id = holder.principal.tenant_id, holder.principal.key_id
        with await self._limiter.enter(holder.principal.key_id, holder.limits, 0) as entry:
            if (standing := entry.standing.requests) is not None:
                session.headers.append((b"x-ratelimit-limit-requests", b"%d" % standing.limit))
                session.headers.append((b"x-ratelimit-remaining-requests", b"%d" % standing.remaining))
            opening = _opening(scope, session, head, holder, self._deadline_ms(), credential or "")
            call = await self._opened(opening)
            try:
                await self._converse(call, scope, receive, send, session, entry)
            finally:
                call.cancel()
                entry.used = 0 if session.usage is None else session.usage.tokens

    async def _authenticate(self, credential: str | None) -> Holder:
        """Who holds the key, or the key that an ephemeral secret stands for; raises HiveError `unauthenticated`."""
        if credential is None or not credential.startswith(SECRET_PREFIX):
            return self._keys.authenticate(credential)
        if len(credential) > MAX_SECRET:
            raise HiveError(Kind.UNAUTHENTICATED, "This client secret is too long to be one of ours.")
        redeemed = await self._routing.Redeem(RedeemRequest(secret=credential), timeout=REDEEM_SECONDS)
        return self._keys.holder_of(redeemed.key_id)

    def _deadline_ms(self) -> int:
        return int((self._clock.now() + SESSION_SECONDS) * 1000)

    async def _opened(self, opening: Open) -> Any:
        """A session that routing has opened; raises HiveError for what keeps the client out.

        A process that is lost just now costs another try, for nothing was shown yet.
        """
        for left in reversed(range(OPENING_TRIES)):
            call = self._routing.Converse(timeout=SESSION_SECONDS + ENDING_SECONDS)
            try:
                await call.write(ConverseRequest(open=opening))
                response = await call.read()
            except HiveError as error:
                if error.kind is not Kind.UNAVAILABLE or not left:
                    raise
            else:
                if response is not grpc.aio.EOF and response.WhichOneof("frame") == "opened":
                    return call
        raise HiveError(Kind.UNAVAILABLE, "The session could not be opened. Try again.", retry_after=1)

    async def _converse(
        self, call: Any, scope: Scope, receive: Receive, send: Send, session: _Session, entry: Entry
    ) -> None:
        subprotocol = SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None
        headers = [*session.headers, (b"x-request-id", session.request_id.encode())]
        session.status, session.accepted = SWITCHED, self._clock.monotonic()
        await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": headers})
        patience = asyncio.timeout(None)
        listening = self._tasks.spawn(
            self._from_client(receive, send, call, session, patience), "realtime client"
        )
        try:
            async with patience:
                close = await _to_client(call, send, session)
            session.usage = summary_of(close.usage) if close.HasField("usage") else None
            closing = {"code": sendable(close.code), "reason": close.reason}
        except (HiveError, TimeoutError) as error:
            session.error = HiveError(Kind.UPSTREAM_FAILED, "The process that held this session was lost.")
            await send({"type": "websocket.send", "text": error_event(session.error).decode()})
            away = isinstance(error, HiveError) and error.kind is Kind.UNAVAILABLE
            closing = {"code": RESTARTING if away else BROKEN, "reason": session.error.message}
        finally:
            listening.cancel()
        entry.used = 0 if session.usage is None else session.usage.tokens
        if (telling := entry.leave()) is not None:
            await telling
        await send({"type": "websocket.close", **closing})

    async def _from_client(
        self, receive: Receive, send: Send, call: Any, session: _Session, patience: asyncio.Timeout
    ) -> None:
        """Pass on what the client says, until it leaves or its key ends; what fails here, the other direction sees too.

        patience: is set to what routing may take to end the session then.
        """
        with suppress(HiveError, asyncio.InvalidStateError):
            close = await self._pass_on(receive, send, call, session)
            patience.reschedule(asyncio.get_running_loop().time() + ENDING_SECONDS)
            await call.write(ConverseRequest(close=close))
            await call.done_writing()

    async def _pass_on(self, receive: Receive, send: Send, call: Any, session: _Session) -> Close:
        while (message := await receive())["type"] == "websocket.receive":
            try:
                self._keys.holder_of(session.key_id)
            except HiveError as error:
                session.error = error
                await send({"type": "websocket.send", "text": error_event(error).decode()})
                return Close(code=REFUSED, reason=error.message)
            for piece in _pieces(message):
                session.received += len(piece.data)
                await call.write(ConverseRequest(piece=piece))
        code = message.get("code", CLIENT_GONE)
        session.gone = code == CLIENT_GONE
        return Close(code=code, reason=message.get("reason") or "")

    def _note(self, session: _Session) -> None:
        seconds = self._clock.monotonic() - session.started
        self._requests.note("/realtime", str(session.status or 500), seconds)
        if session.span.is_recording:
            session.span.set("http.response.status_code", session.status)
            if session.error is not None:
                tracing.fail_with(session.span, session.error)
        accepted = session.accepted
        line = RequestLogged(
            request_id=session.request_id,
            tenant_id=session.tenant_id,
            key_id=session.key_id,
            method="GET",
            path=session.path,
            status=session.status or 500,
            client_gone=session.gone,
            started_unix_ms=int((self._clock.now() - seconds) * 1000),
            duration_us=int(seconds * 1_000_000),
            first_byte_us=None if accepted is None else int((accepted - session.started) * 1_000_000),
            request_bytes=session.received,
            response_bytes=session.sent,
            tags=tags_of(session.tags),
        )
        conclude(line, session.error, session.usage)
        self._log.add(line)


async def _to_client(call: Any, send: Send, session: _Session) -> Close:
    """Pass on what comes, up to the close; raises HiveError where the session is lost before it."""
    parts: list[bytes] = []
    while (response := await call.read()) is not grpc.aio.EOF:
        if response.WhichOneof("frame") == "close":
            close: Close = response.close
            return close
        piece = response.piece
        parts.append(piece.data)
        if not piece.is_last:
            continue
        data, parts = b"".join(parts), []
        session.sent += len(data)
        if piece.is_text:
            await send({"type": "websocket.send", "text": data.decode()})
        else:
            await send({"type": "websocket.send", "bytes": data})
    raise HiveError(Kind.UNAVAILABLE, "The session ended without a word.")


def _pieces(message: Message) -> list[Piece]:
    text = message.get("text")
    data = message["bytes"] if text is None else text.encode()
    last = max(0, len(data) - 1) // PIECE_BYTES
    return [
        Piece(
            data=data[number * PIECE_BYTES : (number + 1) * PIECE_BYTES],
            is_text=text is not None,
            is_last=number == last,
        )
        for number in range(last + 1)
    ]


def _opening(
    scope: Scope, session: _Session, head: Head, holder: Holder, deadline_ms: int, credential: str
) -> Open:
    return Open(
        request_id=session.request_id,
        principal=holder.principal.message(),
        query=scope["query_string"].decode("latin-1"),
        headers=[
            Header(name=name.decode("latin-1"), value=value.decode("latin-1"))
            for name, value in head.forwarded
        ],
        deadline_unix_ms=deadline_ms,
        traceparent=session.span.traceparent or head.traceparent,
        secret=credential if credential.startswith(SECRET_PREFIX) else "",
    )


def _key_among(subprotocols: list[str]) -> str | None:
    """The key that a browser sends in place of a header."""
    found = (each.removeprefix(KEY_PREFIX) for each in subprotocols if each.startswith(KEY_PREFIX))
    return next(found, None)


async def _refuse(send: Send, session: _Session, error: HiveError) -> None:
    """The answer to the handshake of a client that is not let in."""
    number = session.request_id.encode()
    named = [(b"x-request-id", number), (b"request-id", number), (b"x-hive-request-id", number)]
    headers = [*error_headers(error), *named, *session.headers]
    await send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": error_body(Dialect.OPENAI, error)})


def _span(scope: Scope, session: _Session) -> Any:
    named = {
        name: value.decode("latin-1")
        for name, value in scope["headers"]
        if name in (b"traceparent", b"tracestate")
    }
    parent = tracing.parent(named.get(b"traceparent", ""), named.get(b"tracestate", ""))
    attributes = {
        "http.request.method": "GET",
        "http.route": "/realtime",
        "url.path": session.path,
        "url.scheme": "ws",
        "hive.request_id": session.request_id,
    }
    return tracing.span("GET /realtime", tracing.Role.SERVER, parent, attributes)
