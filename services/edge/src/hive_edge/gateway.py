"""The public door: authenticate, hand the request to its service, stream the answer back. Pure ASGI.

It knows no endpoint's schema. Checks run in one order: is there such a route, 401, then whatever the
owning service checks. Every answer carries the request's id, every error the form of its route's dialect.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from prometheus_client import Counter

from hive_edge import routes
from hive_edge.body import ClientGone, read_body
from hive_edge.keys import Holder, Keys
from hive_edge.routes import Route
from hive_relay import Call, Caller, Request
from hive_relay.asgi import AnswerCut, Receive, Scope, Send
from hive_relay.frames import HeaderPairs
from hive_runtime.blobs import Blobs
from hive_runtime.dialects import Dialect, error_body, error_event, error_headers
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks
from modelhive.common.v1.common_pb2 import ModelList, Principal
from modelhive.relay.v1.relay_pb2 import BlobReference

FORWARDED = frozenset(
    b"accept accept-language anthropic-beta anthropic-version content-type idempotency-key openai-beta "
    b"user-agent x-client-request-id x-hive-cache x-hive-guard x-stainless-retry-count".split()
)
"""Request headers that services get to see. Credentials stay here."""

CREDENTIALS = (b"x-api-key", b"api-key", b"x-goog-api-key")


@dataclass(slots=True)
class Head:
    """What the edge reads from a request's head, in one pass over its headers."""

    credential: str | None = None
    length: int | None = None
    traceparent: str = ""
    forwarded: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, scope: Scope) -> Head:
        head = cls()
        for name, value in scope["headers"]:
            if name in FORWARDED:
                head.forwarded[name.decode("latin-1")] = value.decode("latin-1")
            elif name == b"authorization":
                scheme, _, token = value.partition(b" ")
                if scheme.lower() == b"bearer":
                    head.credential = token.strip().decode("latin-1")
            elif name in CREDENTIALS:
                head.credential = head.credential or value.decode("latin-1")
            elif name == b"content-length":
                head.length = int(value)
            elif name == b"traceparent":
                head.traceparent = value.decode("latin-1")
        return head


class Gateway:
    """The ASGI application of the public listener."""

    def __init__(
        self, *, keys: Keys, caller: Caller, blobs: Blobs, tasks: Tasks, max_body: int, requests: Counter
    ) -> None:
        self._keys = keys
        self._caller = caller
        self._blobs = blobs
        self._tasks = tasks
        self._max_body = max_body
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = "req_" + secrets.token_hex(16)
        path = scope["raw_path"].decode("latin-1")
        route = routes.find(path)
        dialect = route.dialect if route is not None else Dialect.OPENAI
        answer = Answer(send, request_id, dialect)
        try:
            await self._handle(scope, receive, path, route, answer)
        except HiveError as error:
            await answer.fail(error)
        except ClientGone:
            answer.status = 499
        finally:
            self._requests.labels(_label(path, route), str(answer.status)).inc()

    async def _handle(
        self, scope: Scope, receive: Receive, path: str, route: Route | None, answer: Answer
    ) -> None:
        if route is None:
            raise HiveError(Kind.NOT_FOUND, f"There is no {scope['method']} {path[:200]} here.")
        head = Head.of(scope)
        holder = self._keys.authenticate(head.credential or _query_key(scope, route))
        if not route.served:
            raise HiveError(Kind.NOT_FOUND, f"{path[:200]} is not enabled on this deployment.")
        body = await read_body(receive, self._blobs, answer.request_id, head.length, self._max_body)
        request = Request(
            request_id=answer.request_id,
            service=route.service,
            method=scope["method"],
            path=path,
            query=scope["query_string"].decode("latin-1"),
            headers=head.forwarded,
            body=body,
            principal=_principal(holder),
            seconds=route.seconds,
            queued=route.queued and scope["method"] == "POST",
            traceparent=head.traceparent,
        )
        try:
            await self._exchange(request, receive, answer)
        finally:
            if isinstance(body, BlobReference):
                await self._blobs.delete(body.path)

    async def _exchange(self, request: Request, receive: Receive, answer: Answer) -> None:
        call = await self._caller.call(request)
        watch = self._tasks.spawn(_watch(receive, call), "client")
        try:
            await answer.relay(call)
        except HiveError:
            if watch.done():
                raise ClientGone from None
            raise
        finally:
            watch.cancel()
            call.close()


async def _watch(receive: Receive, call: Call) -> None:
    """Give the request up as soon as its client closes the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
    call.close()


class Answer:
    """What goes back to one client; it ends in exactly one way."""

    def __init__(self, send: Send, request_id: str, dialect: Dialect) -> None:
        self.request_id = request_id
        self.status = 0
        self._send = send
        self._dialect = dialect
        self._streaming = False

    async def relay(self, call: Call) -> None:
        """Pass the service's answer on as it comes; credit follows what the client takes."""
        status, headers = await call.head()
        data, complete = await call.read()
        if complete and not any(name == b"content-length" for name, _ in headers):
            headers.append((b"content-length", str(len(data)).encode()))
        self._streaming = any(name == b"content-type" and b"event-stream" in value for name, value in headers)
        await self._start(status, headers)
        await self._send({"type": "http.response.body", "body": data, "more_body": not complete})
        while not complete:
            call.taken(len(data))
            data, complete = await call.read()
            await self._send({"type": "http.response.body", "body": data, "more_body": not complete})

    async def fail(self, error: HiveError) -> None:
        """End with an error: as a body of its own, or as a stream's last event."""
        if self.status == 0:
            body = error_body(self._dialect, error, self.request_id)
            headers = error_headers(error)
            headers.append((b"content-length", str(len(body)).encode()))
            await self._start(error.status, headers)
            await self._send({"type": "http.response.body", "body": body, "more_body": False})
        elif self._streaming:
            event = error_event(self._dialect, error, self.request_id)
            await self._send({"type": "http.response.body", "body": event, "more_body": False})
        else:
            raise AnswerCut(error.message)

    async def _start(self, status: int, headers: HeaderPairs) -> None:
        self.status = status
        number = self.request_id.encode()
        headers += [(b"x-request-id", number), (b"request-id", number), (b"x-hive-request-id", number)]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})


def _principal(holder: Holder) -> Principal:
    models = None if holder.models is None else ModelList(ids=holder.models)
    return Principal(tenant_id=holder.tenant_id, key_id=holder.key_id, models=models)


def _query_key(scope: Scope, route: Route) -> str | None:
    """Google's clients may send the key as `?key=`; nobody else may."""
    if route.dialect is not Dialect.GOOGLE or b"key=" not in scope["query_string"]:
        return None
    found = parse_qs(scope["query_string"].decode("latin-1"))
    return found["key"][0] if "key" in found else None


def _label(path: str, route: Route | None) -> str:
    """A bounded set of names for counting."""
    if route is None:
        return "unknown"
    bare = path.removeprefix("/v1")
    return bare if bare in routes.EXACT else "/" + bare[1:].partition("/")[0]
