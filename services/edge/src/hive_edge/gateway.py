"""The public door: authenticate, hand the request to its service, stream the answer back. Pure ASGI.

It knows no endpoint's schema. Checks run in one order: is there such a route, 401, 429, then whatever the
owning service checks. Every answer carries the request's id, every error the form of its route's dialect.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import AbstractContextManager
from urllib.parse import parse_qs

from hive_edge import routes
from hive_edge.answer import Answer
from hive_edge.body import ClientGone, read_body, too_large
from hive_edge.keys import Holder, Keys
from hive_edge.limits import Entry, Limiter
from hive_edge.request_ids import new_request_id
from hive_edge.request_log import RequestLog, conclude
from hive_edge.routes import Route
from hive_relay import Call, Caller, Request
from hive_relay.asgi import Client, Receive, Scope, Send
from hive_relay.frames import INLINE_BODY_BYTES
from hive_relay.stream_id import Position
from hive_runtime import tracing
from hive_runtime.blobs import Blobs
from hive_runtime.clock import Clock
from hive_runtime.dialects import Dialect
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tags import tags_of
from hive_runtime.telemetry import Requests
from modelhive.events.v1.usage_pb2 import RequestLogged
from modelhive.relay.v1.relay_pb2 import BlobReference

FORWARDED = frozenset(
    b"accept accept-language anthropic-beta anthropic-version content-type idempotency-key last-event-id "
    b"openai-beta user-agent x-client-request-id x-hive-cache x-hive-guard x-hive-hedge x-hive-region x-hive-resume "
    b"x-hive-tags x-stainless-retry-count".split()
)
"""Request headers that services get to see. Credentials stay here."""

CLIENT_GONE = 499
"""Counted for a request whose client left."""
MAX_PATH = 500

CREDENTIALS = (b"x-api-key", b"api-key", b"x-goog-api-key")


class Head:
    """What the edge reads from a request's head. forwarded: the headers that services get to see."""

    length: int | None = None
    encoding = ""
    tags = ""
    last_event = ""
    traceparent = ""

    def __init__(self, scope: Scope) -> None:
        fields = dict(scope["headers"])
        scheme, _, token = fields.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer" and (token := token.strip()):
            self.credential: str | None = token.decode("latin-1")
        else:
            self.credential = _other_credential(scope)
        self.forwarded = [(name, fields[name]) for name in FORWARDED.intersection(fields)]
        if (length := fields.get(b"content-length")) is not None:
            self.length = int(length)
        if b"content-encoding" in fields:
            self.encoding = fields[b"content-encoding"].decode("latin-1").strip().lower()
        if b"x-hive-tags" in fields:
            self.tags = fields[b"x-hive-tags"].decode("latin-1")
        if b"last-event-id" in fields:
            self.last_event = fields[b"last-event-id"].decode("latin-1")
        if b"traceparent" in fields:
            traceparent = fields[b"traceparent"].decode("latin-1")
            self.traceparent = traceparent if tracing.is_well_formed(traceparent) else ""


def _other_credential(scope: Scope) -> str | None:
    """The caller's key where the last `Authorization` brings none: in an earlier one, or in another header for it."""
    found = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.partition(b" ")
            if scheme.lower() == b"bearer":
                found = token.strip().decode("latin-1")
        elif name in CREDENTIALS:
            found = found or value.decode("latin-1")
    return found


class Visit:
    """One request as its door sees it. now, started: when it came, in Unix and in monotonic seconds.

    size: bytes of its body. tags: as sent. call: what it became behind the door.
    """

    holder: Holder | None = None
    size = 0
    tags = ""
    call: Call | None = None
    has_left = False
    """Its client closed the connection while it was under way."""
    span = tracing.NOTHING

    def __init__(
        self, scope: Scope, path: str, route: Route | None, answer: Answer, now: float, started: float
    ) -> None:
        self.scope = scope
        self.path = path
        self.route = route
        self.answer = answer
        self.now = now
        self.started = started

    @property
    def response_bytes(self) -> int:
        """Of the service's answer, as far as it was passed on."""
        return 0 if self.call is None else self.call.delivered

    def leave(self) -> None:
        """Its client is gone: nobody needs the answer."""
        self.has_left = True
        if self.call is not None:
            self.call.close()


class Gateway:
    """The ASGI application of the public listener."""

    def __init__(
        self,
        *,
        keys: Keys,
        limiter: Limiter,
        caller: Caller,
        blobs: Blobs,
        max_body: int,
        requests: Requests,
        clock: Clock,
        log: RequestLog,
    ) -> None:
        self._keys = keys
        self._limiter = limiter
        self._caller = caller
        self._blobs = blobs
        self._max_body = max_body
        self._requests = requests
        self._clock = clock
        self._log = log

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        now = self._clock.now()
        request_id = new_request_id(now)
        tracing.note_request(request_id)
        path = scope["raw_path"].decode("latin-1")
        route = routes.find(path)
        dialect = Dialect.OPENAI if route is None else route.dialect
        answer = Answer(scope["hive.client"], request_id, dialect, self._clock)
        visit = Visit(scope, path, route, answer, now, self._clock.monotonic())
        return self._traced(visit, receive) if tracing.is_on() else self._answer(visit, receive)

    async def _traced(self, visit: Visit, receive: Receive) -> None:
        with _span(visit) as visit.span:
            await self._answer(visit, receive)

    async def _answer(self, visit: Visit, receive: Receive) -> None:
        scope, route, answer = visit.scope, visit.route, visit.answer
        client_gone = False
        try:
            if route is None:
                raise HiveError(Kind.NOT_FOUND, f"There is no {scope['method']} {visit.path[:200]} here.")
            head = Head(scope)
            visit.tags = head.tags
            holder = self._keys.authenticate(head.credential or _query_key(scope, route))
            visit.holder = holder
            with await self._limiter.enter(holder.principal.key_id, holder.limits, head.length) as entry:
                answer.standing = entry.standing
                try:
                    await self._exchange(visit, receive, route, head, holder, entry)
                except HiveError:
                    if (telling := entry.leave()) is not None:
                        await telling
                    raise
        except HiveError as error:
            await answer.fail(error)
        except ClientGone:
            client_gone = True
            answer.status = CLIENT_GONE
        finally:
            self._note(visit, client_gone)

    async def _exchange(
        self, visit: Visit, receive: Receive, route: Route, head: Head, holder: Holder, entry: Entry
    ) -> None:
        """Hand an admitted request over, and the answer back."""
        if not route.served:
            raise HiveError(Kind.NOT_FOUND, f"{visit.path[:200]} is not enabled on this deployment.")
        if head.encoding and head.encoding != "identity":
            said = f"Content-Encoding {head.encoding[:40]!r} is not taken here: send the body as it is."
            raise HiveError(Kind.UNSUPPORTED_MEDIA, said)
        if head.length is not None and head.length > self._max_body:
            raise too_large(self._max_body)
        answer, call = visit.answer, None
        client: Client = visit.scope["hive.client"]
        whole = client.whole_body()
        if whole is not None and len(whole) <= INLINE_BODY_BYTES:
            body: bytes | BlobReference = whole
        else:
            body = await read_body(whole, receive, self._blobs, answer.request_id, self._max_body)
        if isinstance(body, bytes):
            visit.size, blob = len(body), None
        else:
            visit.size, blob = body.size_bytes, body.path
        try:
            if head.length is None:
                await entry.weigh(visit.size)
                answer.standing = entry.standing
            request = _request(visit, route, head, holder, body)
            call = visit.call = await self._caller.call(request)
            del whole, body, request  # an answer may take long, and nobody needs them any more
            client.watch(visit.leave)
            last = await answer.relay(call)
            entry.used = 0 if call.usage is None else call.usage.tokens
            if (telling := entry.leave()) is not None:
                await telling
            if client.is_full:
                await client.room()
            answer.end(last)
        except HiveError:
            if visit.has_left:
                raise ClientGone from None
            raise
        finally:
            if call is not None and not answer.complete:
                cut = visit.has_left or answer.status != 0
                otherwise = entry.reserved + answer.events if cut else 0
                entry.used = otherwise if call.usage is None else call.usage.tokens
                call.close()
            if blob is not None:
                await self._blobs.delete(blob)

    def _note(self, visit: Visit, client_gone: bool) -> None:
        """Count the request, and log it: one line, filled in field by field, which takes half of its constructor."""
        answer, call, holder = visit.answer, visit.call, visit.holder
        status, seconds = answer.status, self._clock.monotonic() - visit.started
        self._requests.note(routes.label_of(visit.path, visit.route), str(status), seconds)
        if visit.span.is_recording:
            _describe(visit, client_gone)
        line = RequestLogged()
        line.request_id = answer.request_id
        if holder is not None:
            line.tenant_id = holder.principal.tenant_id
            line.key_id = holder.principal.key_id
        line.method = visit.scope["method"]
        line.path = visit.path[:MAX_PATH]
        line.status = status
        if client_gone:
            line.client_gone = True
        line.started_unix_ms = int(visit.now * 1000)
        line.duration_us = int(seconds * 1_000_000)
        if answer.began is not None:
            line.first_byte_us = int((answer.began - visit.started) * 1_000_000)
        line.request_bytes = visit.size
        line.response_bytes = visit.response_bytes
        if visit.tags:
            line.tags.extend(tags_of(visit.tags))
        conclude(line, answer.error, None if call is None else call.usage)
        self._log.add(line)


def _request(visit: Visit, route: Route, head: Head, holder: Holder, body: bytes | BlobReference) -> Request:
    scope = visit.scope
    method = scope["method"]
    return Request(
        request_id=visit.answer.request_id,
        service=route.service,
        method=method,
        path=visit.path,
        query=scope["query_string"].decode("latin-1"),
        headers=head.forwarded,
        body=body,
        principal=holder.principal,
        seconds=route.seconds,
        queued=route.queued and method == "POST",
        traceparent=visit.span.traceparent or head.traceparent,
        owner=_owner(scope, route, head.last_event) if head.last_event else "",
    )


def _owner(scope: Scope, route: Route, told: str) -> str:
    """The one process that can answer: that of the stream which the client wants to go on with.

    told: the event that it had last.
    """
    if route.service != "routing" or scope["method"] != "POST":
        return ""
    position = Position.parse(told)
    return "" if position is None else position.stream.owner


def _query_key(scope: Scope, route: Route) -> str | None:
    """Google's clients may send the key as `?key=`; nobody else may."""
    if route.dialect not in (Dialect.GOOGLE, Dialect.INTERACTIONS) or b"key=" not in scope["query_string"]:
        return None
    found = parse_qs(scope["query_string"].decode("latin-1"))
    return found["key"][0] if "key" in found else None


def _span(visit: Visit) -> AbstractContextManager[tracing.Span]:
    """The request's own span, below its caller's where that says which it is."""
    scope = visit.scope
    named = {
        name: value.decode("latin-1")
        for name, value in scope["headers"]
        if name in (b"traceparent", b"tracestate")
    }
    parent = tracing.parent(named.get(b"traceparent", ""), named.get(b"tracestate", ""))
    label = routes.label_of(visit.path, visit.route)
    attributes = {
        "http.request.method": scope["method"],
        "http.route": label,
        "url.path": visit.path[:MAX_PATH],
        "url.scheme": scope["scheme"],
        "hive.request_id": visit.answer.request_id,
    }
    return tracing.span(f"{scope['method']} {label}", tracing.Role.SERVER, parent, attributes)


def _describe(visit: Visit, client_gone: bool) -> None:
    """How it ended; no words of the error, for they may repeat what the caller said."""
    span, answer = visit.span, visit.answer
    span.set("http.response.status_code", answer.status)
    span.set("http.request.body.size", visit.size)
    span.set("http.response.body.size", visit.response_bytes)
    if answer.began is not None:
        span.set("hive.first_byte_seconds", answer.began - visit.started)
    if answer.error is not None:
        tracing.fail_with(span, answer.error)
    elif client_gone:
        span.fail("client_gone", ours=False)
