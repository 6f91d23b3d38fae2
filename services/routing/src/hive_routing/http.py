"""The door for HTTP requests: hot endpoints by one dictionary look-up, everything else through FastAPI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager

from msgspec.structs import replace

from hive_relay.asgi import App, Message, Receive, Scope, Send
from hive_relay.exchange import Exchange, exchange_of
from hive_relay.summary import Summary
from hive_routing import google
from hive_routing.choosing import wishes
from hive_routing.endpoints import ENDPOINTS, GENERATE, INTERACTIONS, RERANK, Endpoint
from hive_routing.pipeline import Pipeline
from hive_routing.request import Target
from hive_routing.spending import Payer
from hive_routing.stored.door import WIRES, Place, StoredDoor
from hive_routing.usage import Usage
from hive_routing.visit import Caller, Spent
from hive_runtime import tracing
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tags import tags_of
from hive_runtime.telemetry import Requests

_PASSED_HEADERS = {
    b"openai-beta": "openai-beta",
    b"anthropic-beta": "anthropic-beta",
    b"anthropic-version": "anthropic-version",
}
"""Of the client's headers, what a provider gets to see."""
_NOTHING_SPENT = Spent("", "", "", Usage(0, 0, {}), 0, 0)
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
            if wire is not None:
                answered = self._stored.answer(wire, body, caller, send)
            else:
                answered = self._pipeline.answer(endpoint, body, caller, send, target)
            if tracing.is_on():
                with _span(endpoint, exchange):
                    await answered
            else:
                await answered
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
    """Raises HiveError `unsupported_media` for a form."""
    principal = exchange.principal
    caller = Caller(
        exchange.request_id,
        exchange.attempt,
        Payer(principal.tenant_id, principal.key_id),
        principal.models,
        exchange.deadline,
        exchange.go,
    )
    for name, value in scope["headers"]:
        if (read := _HEADERS.get(name)) is not None:
            read(caller, name, value)
    return caller


def _span(endpoint: Endpoint, exchange: Exchange) -> AbstractContextManager[tracing.Span]:
    """This process's part of the request, below the span of who sent it here."""
    attributes: dict[str, tracing.Value] = {
        "http.route": f"/{endpoint.path}",
        "hive.request_id": exchange.request_id,
        "hive.attempt": exchange.attempt,
    }
    parent = tracing.parent(exchange.traceparent)
    return tracing.span(f"process {endpoint.path}", tracing.Role.CONSUMER, parent, attributes)


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


def _refuse_form(caller: Caller, name: bytes, value: bytes) -> None:
    """Any other content type will do where the body is JSON: curl sends `application/x-www-form-urlencoded`."""
    if value.startswith(b"multipart/"):
        message = "This endpoint takes JSON: send `content-type: application/json`, not a multipart form."
        raise HiveError(Kind.UNSUPPORTED_MEDIA, message)


def _pass_on(caller: Caller, name: bytes, value: bytes) -> None:
    caller.headers[_PASSED_HEADERS[name]] = value.decode("latin-1")


def _read_tags(caller: Caller, name: bytes, value: bytes) -> None:
    caller.payer = replace(caller.payer, tags=tags_of(value.decode("latin-1")))


def _read_guard(caller: Caller, name: bytes, value: bytes) -> None:
    caller.guard = value.decode("latin-1")


def _read_cache(caller: Caller, name: bytes, value: bytes) -> None:
    caller.look_up = value.strip().lower() != b"false"


def _read_wish(caller: Caller, name: bytes, value: bytes) -> None:
    caller.wishes = wishes.with_header(caller.wishes, name, value)


def _read_idempotency_key(caller: Caller, name: bytes, value: bytes) -> None:
    caller.idempotency_key = value.decode("latin-1")


_HEADERS: dict[bytes, Callable[[Caller, bytes, bytes], None]] = {
    b"content-type": _refuse_form,
    **dict.fromkeys(_PASSED_HEADERS, _pass_on),
    b"x-hive-tags": _read_tags,
    b"x-hive-guard": _read_guard,
    b"x-hive-cache": _read_cache,
    **dict.fromkeys(wishes.HEADERS, _read_wish),
    b"idempotency-key": _read_idempotency_key,
}
"""What a header of the request says of it, by the header's name."""


def _summary(caller: Caller) -> Summary | None:
    """What became of the request; None where there is nothing to tell."""
    spent, handling = caller.spent, caller.handling
    if spent is None:
        if not handling.guards and not handling.replayed:
            return None
        spent = _NOTHING_SPENT
    usage = spent.usage
    return Summary(  # in the order of its fields: by their names takes much longer
        spent.model,
        spent.provider,
        spent.deployment,
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.estimated,
        spent.cost,
        spent.calls,
        handling.cache,
        handling.guards,
        handling.guard_verdict,
        handling.replayed,
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
