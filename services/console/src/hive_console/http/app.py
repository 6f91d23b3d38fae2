"""The admin API: `/api/admin/…` on the internal listener, for whoever holds the admin token."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from hive_console.http import PREFIX
from hive_console.http.errors import answer_errors, error_response
from hive_runtime.errors import HiveError, Kind


def admin_app(routers: Iterable[APIRouter], token: str) -> ASGIApp:
    """The application; it sees whole paths."""
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    for router in routers:
        app.include_router(router, prefix=PREFIX)
    answer_errors(app)
    return Guarded(app, token)


class Guarded:
    """Lets nobody through without the admin token, whatever the path."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._holds_token(scope):
            message = "The admin API needs the header Authorization: Bearer <admin token>."
            await error_response(HiveError(Kind.UNAUTHENTICATED, message))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _holds_token(self, scope: Scope) -> bool:
        scheme, _, given = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token)
