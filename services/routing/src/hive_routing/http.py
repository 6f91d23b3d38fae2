"""The door for HTTP requests: hot endpoints by one dictionary look-up, everything else through FastAPI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AbstractContextManager

import msgspec

from hive_relay.asgi import App, Message, Receive, Scope, Send
from hive_relay.exchange import Exchange, exchange_of
from hive_routing import google
from hive_routing.choosing import wishes
from hive_routing.choosing.terms import NO_WISHES, Wishes
from hive_routing.endpoints import ENDPOINTS, GENERATE, INTERACTIONS, RERANK, Endpoint
from hive_routing.pipeline import Pipeline
from hive_routing.request import Target
from hive_routing.spending import Payer
from hive_routing.stored.door import WIRES, Place, StoredDoor
from hive_routing.visit import Caller, Spent
from hive_runtime import tracing
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tags import tags_of
from hive_runtime.telemetry import Requests
from modelhive.common.v1.common_pb2 import Principal, UsageSummary

_PASSED_HEADERS = {
    b"openai-beta": "openai-beta",
    b"anthropic-beta": "anthropic-beta",
    b"anthropic-version": "anthropic-version",
}
"""Of the client's headers, what a provider gets to see."""
CALLER_GONE = "499"
"""Counted for a request that nobody waits for any more."""


class RoutingApp:
    """The ASGI application of the routing service; runs inside the relay, which words what it raises."""

    def __init__(
        self, pipeline: Pipeline, stored: StoredDoor, rest: App, requests: Requests, clock: Clock
    ) -> None:
        self._pipeline = pipeline
        self._stored = stored
        self._requests = requests
        self._clock = clock
        self._rest = rest
        self._hot = {prefix + each.path: each for each in ENDPOINTS for prefix in ("/v1/", "/")}
        self._hot |= {"/v2/rerank": RERANK, "/v1beta/interactions": INTERACTIONS}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        endpoint = self._hot.get(scope["path"])
        if endpoint is None:
            return self._answer_other(scope, receive, send)
        return self._answer_hot(endpoint, None, scope, receive, send)

    async def _answer_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (named := google.find(scope["path"], scope["query_string"])) is not None:
            sender = google.as_array(send) if named.as_array else send
            await self._answer_hot(GENERATE, named.target, scope, receive, sender)
        elif (place := self._stored.find(scope["path"])) is not None:
            await self._answer_stored(place, scope, receive, send)
        else:
            await _answer_whole(self._rest, scope, receive, send)

    async def _answer_hot(
        self, endpoint: Endpoint, target: Target | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if scope["method"] != "POST":
            path, method = scope["path"], scope["method"]
            raise HiveError(Kind.METHOD_NOT_ALLOWED, f"{path} takes POST, not {method}.")
        began, code = self._clock.monotonic(), "200"
        exchange = exchange_of(scope)
        caller: Caller | None = None
        try:
            tracing.note_request(exchange.request_id)
            caller = _caller(exchange, scope)
            body = await read_body(receive)
            wire = WIRES.get(endpoint.path)
            with _span(endpoint, exchange) if tracing.is_on() else tracing.OFF:
                if wire is not None:
                    await self._stored.answer(wire, body, caller, send)
                else:
                    await self._pipeline.answer(endpoint, body, caller, send, target)
        except HiveError as error:
            code = str(error.status)
            raise
        except asyncio.CancelledError:
            code = CALLER_GONE
            raise
        except BaseException:
            code = "500"
            raise
        finally:
            if caller is not None:
                exchange.usage = _summary(caller)
            self._requests.note(endpoint.path, code, self._clock.monotonic() - began)

    async def _answer_stored(self, place: Place, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        caller = _caller(exchange, scope)
        body = b"" if scope["method"] == "GET" else await read_body(receive)
        try:
            await self._stored.serve(place, scope, body, caller, send)
        finally:
            exchange.usage = _summary(caller)


def _caller(exchange: Exchange, scope: Scope) -> Caller:
    principal = exchange.principal
    asked = _read_headers(scope)
    return Caller(
        request_id=exchange.request_id,
        attempt=exchange.attempt,
        payer=Payer(principal.tenant_id, principal.key_id, asked.tags),
        allowed=allowed_models(principal),
        deadline=exchange.deadline,
        go=exchange.go,
        headers=asked.passed,
        guard=asked.guard,
        look_up=asked.look_up,
        idempotency_key=asked.idempotency_key,
        wishes=asked.wishes,
    )


def _span(endpoint: Endpoint, exchange: Exchange) -> AbstractContextManager[tracing.Span]:
    """This process's part of the request, below the span of who sent it here."""
    attributes: dict[str, tracing.Value] = {
        "http.route": f"/{endpoint.path}",
        "hive.request_id": exchange.request_id,
        "hive.attempt": exchange.attempt,
    }
    parent = tracing.parent(exchange.traceparent)
    return tracing.span(f"process {endpoint.path}", tracing.Role.CONSUMER, parent, attributes)


def allowed_models(principal: Principal) -> frozenset[str] | None:
    """The names that the caller may ask; None: all."""
    return frozenset(principal.models.ids) if principal.HasField("models") else None


async def read_body(receive: Receive) -> bytes:
    """The whole body; raises HiveError where the caller left before its end."""
    message = await receive()
    if not message.get("more_body"):
        return bytes(message.get("body", b""))
    parts = [message["body"]]
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HiveError(Kind.INVALID, "The body did not arrive.")
        parts.append(message.get("body", b""))
    parts = [part for part in parts if part]
    return parts[0] if len(parts) == 1 else b"".join(parts)


class _Asked(msgspec.Struct):
    """What the headers of a request ask for. passed: what providers may read."""

    passed: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    guard: str | None = None
    look_up: bool = True
    idempotency_key: str | None = None
    wishes: Wishes = NO_WISHES


def _read_headers(scope: Scope) -> _Asked:
    """Raises HiveError `unsupported_media` for a form.

    Any other content type will do where the body is JSON: curl sends `application/x-www-form-urlencoded`.
    """
    asked = _Asked()
    for name, value in scope["headers"]:
        if name == b"content-type" and value.startswith(b"multipart/"):
            message = "This endpoint takes JSON: send `content-type: application/json`, not a multipart form."
            raise HiveError(Kind.UNSUPPORTED_MEDIA, message)
        if name in _PASSED_HEADERS:
            asked.passed[_PASSED_HEADERS[name]] = value.decode("latin-1")
        elif name == b"x-hive-tags":
            asked.tags = tags_of(value.decode("latin-1"))
        elif name == b"x-hive-guard":
            asked.guard = value.decode("latin-1")
        elif name == b"x-hive-cache":
            asked.look_up = value.strip().lower() != b"false"
        elif name in wishes.HEADERS:
            asked.wishes = wishes.with_header(asked.wishes, name, value)
        elif name == b"idempotency-key":
            asked.idempotency_key = value.decode("latin-1")
    return asked


def _summary(caller: Caller) -> UsageSummary | None:
    """What became of the request; None where there is nothing to tell."""
    spent, handling = caller.spent, caller.handling
    if spent is None and not handling.guards and not handling.replayed:
        return None
    summary = UsageSummary() if spent is None else _spent(spent)
    summary.cache = handling.cache
    summary.guards.extend(handling.guards)
    summary.guard_verdict = handling.guard_verdict
    summary.replayed = handling.replayed
    return summary


def _spent(spent: Spent) -> UsageSummary:
    return UsageSummary(
        model=spent.model,
        provider=spent.provider,
        deployment=spent.deployment,
        prompt_tokens=spent.usage.prompt_tokens,
        completion_tokens=spent.usage.completion_tokens,
        estimated=spent.usage.estimated,
        cost_nanos=spent.cost,
        calls=spent.calls,
    )


async def _answer_whole(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Run an app of small answers; a HiveError that its handlers left in the scope is raised here instead."""
    messages: list[Message] = []

    async def collect(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, collect)
    if (error := scope.get("hive.error")) is not None:
        raise error
    for message in messages:
        await send(message)
