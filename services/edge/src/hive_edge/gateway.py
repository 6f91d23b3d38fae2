"""The public door: authenticate, hand the request to its service, stream the answer back. Pure ASGI.

It knows no endpoint's schema. Checks run in one order: is there such a route, 401, 429, then whatever the
owning service checks. Every answer carries the request's id, every error the form of its route's dialect.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import parse_qs

from hive_edge import routes
from hive_edge.answer import Answer
from hive_edge.body import ClientGone, read_body
from hive_edge.keys import Holder, Keys
from hive_edge.limits import Entry, Limiter
from hive_edge.request_ids import new_request_id
from hive_edge.request_log import Line, RequestLog
from hive_edge.routes import Route
from hive_relay import Call, Caller, Request
from hive_relay.asgi import Client, Receive, Scope, Send
from hive_relay.stream_id import Position
from hive_runtime import tracing
from hive_runtime.blobs import Blobs
from hive_runtime.clock import Clock
from hive_runtime.dialects import Dialect
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tags import tags_of
from hive_runtime.telemetry import Requests
from modelhive.common.v1.common_pb2 import ModelList, Principal
from modelhive.relay.v1.relay_pb2 import BlobReference

FORWARDED = {
    name: name.decode()
    for name in b"accept accept-language anthropic-beta anthropic-version content-type idempotency-key last-event-id "
    b"openai-beta user-agent x-client-request-id x-hive-cache x-hive-guard x-hive-hedge x-hive-region x-hive-resume "
    b"x-hive-tags x-stainless-retry-count".split()
}
"""Request headers that services get to see. Credentials stay here."""

CLIENT_GONE = 499
"""Counted for a request whose client left."""
MAX_PATH = 500

CREDENTIALS = (b"x-api-key", b"api-key", b"x-goog-api-key")


@dataclass(slots=True)
class Head:
    """What the edge reads from a request's head."""

    credential: str | None = None
    length: int | None = None
    encoding: str = ""
    traceparent: str = ""
    forwarded: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, scope: Scope) -> Head:
        fields = dict(scope["headers"])
        head = cls(_credential(fields.get(b"authorization", b""), scope))
        for name in FORWARDED.keys() & fields.keys():
            head.forwarded[FORWARDED[name]] = fields[name].decode("latin-1")
        if (length := fields.get(b"content-length")) is not None:
            head.length = int(length)
        if b"content-encoding" in fields:
            head.encoding = fields[b"content-encoding"].decode("latin-1").strip().lower()
        if b"traceparent" in fields:
            traceparent = fields[b"traceparent"].decode("latin-1")
            head.traceparent = traceparent if tracing.is_well_formed(traceparent) else ""
        return head


def _credential(authorization: bytes, scope: Scope) -> str | None:
    """The caller's key: a bearer token, else what is in another header for it."""
    scheme, _, token = authorization.partition(b" ")
    if scheme.lower() == b"bearer" and (token := token.strip()):
        return token.decode("latin-1")
    found = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.partition(b" ")
            if scheme.lower() == b"bearer":
                found = token.strip().decode("latin-1")
        elif name in CREDENTIALS:
            found = found or value.decode("latin-1")
    return found


@dataclass(slots=True)
class Visit:
    """One request as its door sees it. started: monotonic seconds. size: bytes of its body. tags: as sent."""

    scope: Scope
    path: str
    route: Route | None
    answer: Answer
    started: float
    tenant_id: str = ""
    key_id: str = ""
    size: int = 0
    tags: str = ""
    call: Call | None = None
    client_gone: bool = False
    span: tracing.Span = tracing.NOTHING


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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = new_request_id(self._clock.now())
        tracing.note_request(request_id)
        path = scope["raw_path"].decode("latin-1")
        route = routes.find(path)
        dialect = route.dialect if route is not None else Dialect.OPENAI
        answer = Answer(scope["hive.client"], request_id, dialect, self._clock)
        visit = Visit(scope, path, route, answer, self._clock.monotonic())
        with _span(scope, path, route, request_id) if tracing.is_on() else tracing.OFF as visit.span:
            try:
                await self._answer(visit, receive)
            except HiveError as error:
                await answer.fail(error)
            except ClientGone:
                visit.client_gone = True
                answer.status = CLIENT_GONE
            finally:
                self._note(visit)

    def _note(self, visit: Visit) -> None:
        line = self._line(visit)
        self._requests.note(routes.label_of(visit.path, visit.route), str(line.status), line.seconds)
        if visit.span.is_recording:
            _describe(visit.span, line)
        self._log.add(line)

    def _line(self, visit: Visit) -> Line:
        answer, call = visit.answer, visit.call
        seconds = self._clock.monotonic() - visit.started
        return Line(
            request_id=answer.request_id,
            tenant_id=visit.tenant_id,
            key_id=visit.key_id,
            method=visit.scope["method"],
            path=visit.path[:MAX_PATH],
            status=answer.status,
            error=answer.error,
            client_gone=visit.client_gone,
            started=self._clock.now() - seconds,
            seconds=seconds,
            first_byte=None if answer.began is None else answer.began - visit.started,
            request_bytes=visit.size,
            response_bytes=answer.sent,
            usage=None if call is None else call.usage,
            tags=tags_of(visit.tags),
        )

    async def _answer(self, visit: Visit, receive: Receive) -> None:
        scope, route = visit.scope, visit.route
        if route is None:
            raise HiveError(Kind.NOT_FOUND, f"There is no {scope['method']} {visit.path[:200]} here.")
        head = Head.of(scope)
        visit.tags = head.forwarded.get("x-hive-tags", "")
        holder = self._keys.authenticate(head.credential or _query_key(scope, route))
        visit.tenant_id, visit.key_id = holder.tenant_id, holder.key_id
        with await self._limiter.enter(holder.key_id, holder.limits, head.length) as entry:
            visit.answer.standing = entry.standing
            try:
                await self._answer_admitted(visit, receive, route, head, holder, entry)
            except HiveError:
                await entry.leave()
                raise

    async def _answer_admitted(
        self, visit: Visit, receive: Receive, route: Route, head: Head, holder: Holder, entry: Entry
    ) -> None:
        answer = visit.answer
        if not route.served:
            raise HiveError(Kind.NOT_FOUND, f"{visit.path[:200]} is not enabled on this deployment.")
        if head.encoding not in ("", "identity"):
            said = f"Content-Encoding {head.encoding[:40]!r} is not taken here: send the body as it is."
            raise HiveError(Kind.UNSUPPORTED_MEDIA, said)
        client: Client = visit.scope["hive.client"]
        most = self._max_body
        body = await read_body(client, receive, self._blobs, answer.request_id, head.length, most)
        blob = body.path if isinstance(body, BlobReference) else None
        visit.size = _size(body)
        try:
            if head.length is None:
                await entry.weigh(visit.size)
                answer.standing = entry.standing
            request = _request(visit, route, head, holder, body)
            call = visit.call = await self._caller.call(request)
            del body, request  # an answer may take long, and nobody needs them any more
            await self._exchange(call, client, answer, entry)
        finally:
            if blob is not None:
                await self._blobs.delete(blob)

    async def _exchange(self, call: Call, client: Client, answer: Answer, entry: Entry) -> None:
        departed = False

        async def leave() -> None:
            entry.used = _tokens_used(call, answer, 0)
            await entry.leave()

        def depart() -> None:
            nonlocal departed
            departed = True
            call.close()

        client.watch(depart)
        try:
            await answer.relay(call, leave)
        except HiveError:
            if departed:
                raise ClientGone from None
            raise
        finally:
            cut = departed or answer.status != 0
            entry.used = _tokens_used(call, answer, entry.reserved + answer.events if cut else 0)
            call.close()


def _tokens_used(call: Call, answer: Answer, otherwise: int) -> int:
    """otherwise: what an answer is taken for that neither came to its end nor stated its usage."""
    if call.usage is not None:
        return call.usage.prompt_tokens + call.usage.completion_tokens
    return 0 if answer.complete else otherwise


def _size(body: bytes | BlobReference) -> int:
    return body.size_bytes if isinstance(body, BlobReference) else len(body)


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
        principal=principal_of(holder),
        seconds=route.seconds,
        queued=route.queued and method == "POST",
        traceparent=visit.span.traceparent or head.traceparent,
        owner=_owner(scope, route, head),
    )


def _owner(scope: Scope, route: Route, head: Head) -> str:
    """The one process that can answer: that of the stream which the client wants to go on with."""
    told = head.forwarded.get("last-event-id")
    if told is None or route.service != "routing" or scope["method"] != "POST":
        return ""
    position = Position.parse(told)
    return "" if position is None else position.stream.owner


@lru_cache(maxsize=4096)
def principal_of(holder: Holder) -> Principal:
    """As services see a caller; made once for each holder, so nobody may change it."""
    models = None if holder.models is None else ModelList(ids=holder.models)
    return Principal(tenant_id=holder.tenant_id, key_id=holder.key_id, models=models)


def _query_key(scope: Scope, route: Route) -> str | None:
    """Google's clients may send the key as `?key=`; nobody else may."""
    if route.dialect not in (Dialect.GOOGLE, Dialect.INTERACTIONS) or b"key=" not in scope["query_string"]:
        return None
    found = parse_qs(scope["query_string"].decode("latin-1"))
    return found["key"][0] if "key" in found else None


def _span(
    scope: Scope, path: str, route: Route | None, request_id: str
) -> AbstractContextManager[tracing.Span]:
    """The request's own span, below its caller's where that says which it is."""
    named = {
        name: value.decode("latin-1")
        for name, value in scope["headers"]
        if name in (b"traceparent", b"tracestate")
    }
    parent = tracing.parent(named.get(b"traceparent", ""), named.get(b"tracestate", ""))
    label = routes.label_of(path, route)
    attributes = {
        "http.request.method": scope["method"],
        "http.route": label,
        "url.path": path[:MAX_PATH],
        "url.scheme": scope["scheme"],
        "hive.request_id": request_id,
    }
    return tracing.span(f"{scope['method']} {label}", tracing.Role.SERVER, parent, attributes)


def _describe(span: tracing.Span, line: Line) -> None:
    """How it ended; no words of the error, for they may repeat what the caller said."""
    span.set("http.response.status_code", line.status)
    span.set("http.request.body.size", line.request_bytes)
    span.set("http.response.body.size", line.response_bytes)
    if line.first_byte is not None:
        span.set("hive.first_byte_seconds", line.first_byte)
    if line.error is not None:
        tracing.fail_with(span, line.error)
    elif line.client_gone:
        span.fail("client_gone", ours=False)
