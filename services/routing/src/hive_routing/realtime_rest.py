"""The endpoints that make ephemeral secrets for realtime sessions, and what of realtime is not served."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from hive_relay.exchange import exchange_of
from hive_routing.realtime.client_secrets import ClientSecrets, Grant, read_wish
from hive_routing.realtime.opening import Opener
from hive_routing.rest import Endpoint, add_endpoint
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind


def add_realtime(app: Starlette, opener: Opener, client_secrets: ClientSecrets, clock: Clock) -> None:
    """Below `/realtime`, with and without `/v1`."""

    async def make(request: Request, *, flat: bool) -> tuple[str, int, dict[str, Any]]:
        """The secret, when it ends, and the session as it will be."""
        principal = exchange_of(request.scope).principal
        model, seconds, session = read_wish(await request.body(), flat=flat)
        opener.find(model, principal.models)
        expires_at = int(clock.now()) + seconds
        settings = msgspec.json.encode(session)
        value = client_secrets.made(Grant(principal.tenant_id, principal.key_id, model, expires_at, settings))
        id = "sess_" + secrets.token_hex(12)
        return value, expires_at, {"object": "realtime.session", "id": id, "model": model, **session}

    async def make_secret(request: Request) -> Response:
        value, expires_at, session = await make(request, flat=False)
        return _json({"value": value, "expires_at": expires_at, "session": session})

    async def make_session(request: Request) -> Response:
        value, expires_at, session = await make(request, flat=True)
        return _json({**session, "client_secret": {"value": value, "expires_at": expires_at}})

    async def upgrade(request: Request) -> Response:
        raise HiveError(Kind.INVALID, "A realtime session is a WebSocket: connect to this address by one.")

    async def calls(request: Request) -> Response:
        raise HiveError(Kind.NOT_FOUND, f"{request.url.path[:200]} is not enabled on this deployment.")

    routes: list[tuple[str, str, Endpoint]] = [
        ("GET", "", upgrade),
        ("POST", "", make_secret),
        ("POST", "/client_secrets", make_secret),
        ("POST", "/sessions", make_session),
        ("POST", "/transcription_sessions", make_session),
        ("POST", "/calls", calls),
        ("POST", "/calls/{rest:path}", calls),
    ]
    for prefix in ("/v1/realtime", "/realtime"):
        for method, path, answer in routes:
            add_endpoint(app, method, prefix + path, answer)


def _json(content: Any) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")
