"""The admin API: `/api/admin/…` on the internal listener, for whoever holds the admin token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import structlog
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from hive_console.declarations import Form, ModelDeclaration, ModelFields, ProviderDeclaration, ProviderFields
from hive_console.keys import Keys
from hive_console.models import Models
from hive_console.pages import Page
from hive_console.problems import expected, path_of, problems_of
from hive_console.providers import Providers
from hive_console.tenants import Tenants
from hive_console.wire import (
    KeyPatch,
    NewKey,
    NewTenant,
    TenantModels,
    TenantPatch,
    deleted_answer,
    key_answer,
    list_answer,
    model_answer,
    provider_answer,
    tenant_answer,
)
from hive_runtime.dialects import Dialect, error_body, error_headers
from hive_runtime.errors import HiveError, Kind

log = structlog.get_logger(__name__)

PREFIX = "/api/admin"
MOST_BYTES = 1024 * 1024
F = TypeVar("F", bound=Form)


def admin_app(tenants: Tenants, keys: Keys, providers: Providers, models: Models, token: str) -> ASGIApp:
    """The application; it sees whole paths."""
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    for router in (
        tenant_routes(tenants),
        key_routes(keys),
        provider_routes(providers),
        model_routes(models),
    ):
        app.include_router(router, prefix=PREFIX)
    app.add_exception_handler(HiveError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_query_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_surprise)
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


def body_of(form: type[F]) -> Callable[[Request], Awaitable[F]]:
    """A dependency: the request's body as a `form`; raises HiveError `invalid` with all that is wrong."""

    async def read(request: Request) -> F:
        written = _json(await _bytes(request))
        try:
            return form.model_validate(written)
        except ValidationError as error:
            problems = problems_of(error, form, written)
            message = "; ".join(map(str, problems))
            raise HiveError(Kind.INVALID, message, problems[0].path or None) from None

    return read


def page_of(
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: str | None = None,
    order: Literal["asc", "desc"] = "desc",
) -> Page:
    return Page(limit, after, newest_first=order == "desc")


AskedPage = Annotated[Page, Depends(page_of)]


def tenant_routes(tenants: Tenants) -> APIRouter:
    router = APIRouter(prefix="/tenants")

    @router.get("")
    async def list_tenants(page: AskedPage) -> dict[str, Any]:
        return list_answer(await tenants.list(page), tenant_answer)

    @router.post("")
    async def create_tenant(body: Annotated[NewTenant, Depends(body_of(NewTenant))]) -> dict[str, Any]:
        return tenant_answer(await tenants.create(body.id, body.values()))

    @router.get("/{id}")
    async def get_tenant(id: str) -> dict[str, Any]:
        return tenant_answer(await tenants.get(id))

    @router.patch("/{id}")
    async def change_tenant(
        id: str, body: Annotated[TenantPatch, Depends(body_of(TenantPatch))]
    ) -> dict[str, Any]:
        return tenant_answer(await tenants.change(id, body.values()))

    @router.put("/{id}/models")
    async def set_models(
        id: str, body: Annotated[TenantModels, Depends(body_of(TenantModels))]
    ) -> dict[str, Any]:
        models = None if body.models is None else tuple(body.models)
        return tenant_answer(await tenants.change(id, {"models": models}))

    @router.delete("/{id}")
    async def delete_tenant(id: str) -> dict[str, Any]:
        await tenants.delete(id)
        return deleted_answer("tenant", id)

    return router


def key_routes(keys: Keys) -> APIRouter:
    router = APIRouter(prefix="/keys")

    @router.get("")
    async def list_keys(page: AskedPage, tenant: str | None = None) -> dict[str, Any]:
        return list_answer(await keys.list(page, tenant), key_answer)

    @router.post("")
    async def create_key(body: Annotated[NewKey, Depends(body_of(NewKey))]) -> dict[str, Any]:
        key, secret = await keys.create(body.tenant, body.values())
        return {**key_answer(key), "key": secret}

    @router.get("/{id}")
    async def get_key(id: str) -> dict[str, Any]:
        return key_answer(await keys.get(id))

    @router.patch("/{id}")
    async def change_key(id: str, body: Annotated[KeyPatch, Depends(body_of(KeyPatch))]) -> dict[str, Any]:
        return key_answer(await keys.change(id, body.values()))

    @router.delete("/{id}")
    async def revoke_key(id: str) -> dict[str, Any]:
        await keys.revoke(id)
        return deleted_answer("api_key", id)

    return router


def provider_routes(providers: Providers) -> APIRouter:
    router = APIRouter(prefix="/providers")

    @router.get("")
    async def list_providers(page: AskedPage) -> dict[str, Any]:
        return list_answer(await providers.list(page), provider_answer)

    @router.post("")
    async def create_provider(
        body: Annotated[ProviderDeclaration, Depends(body_of(ProviderDeclaration))],
    ) -> dict[str, Any]:
        return provider_answer(await providers.create(body))

    @router.get("/{name}")
    async def get_provider(name: str) -> dict[str, Any]:
        return provider_answer(await providers.get(name))

    @router.patch("/{name}")
    async def change_provider(
        name: str, body: Annotated[ProviderFields, Depends(body_of(ProviderFields))]
    ) -> dict[str, Any]:
        return provider_answer(await providers.change(name, body))

    @router.delete("/{name}")
    async def delete_provider(name: str) -> dict[str, Any]:
        await providers.delete(name)
        return deleted_answer("provider", name)

    return router


def model_routes(models: Models) -> APIRouter:
    router = APIRouter(prefix="/models")

    @router.get("")
    async def list_models(page: AskedPage) -> dict[str, Any]:
        in_service = await models.in_service()
        return list_answer(await models.list(page), lambda model: model_answer(model, in_service))

    @router.post("")
    async def create_model(
        body: Annotated[ModelDeclaration, Depends(body_of(ModelDeclaration))],
    ) -> dict[str, Any]:
        return model_answer(await models.create(body), await models.in_service())

    @router.get("/{id:path}")
    async def get_model(id: str) -> dict[str, Any]:
        return model_answer(await models.get(id), await models.in_service())

    @router.patch("/{id:path}")
    async def change_model(
        id: str, body: Annotated[ModelFields, Depends(body_of(ModelFields))]
    ) -> dict[str, Any]:
        return model_answer(await models.change(id, body), await models.in_service())

    @router.delete("/{id:path}")
    async def delete_model(id: str) -> dict[str, Any]:
        await models.delete(id)
        return deleted_answer("model", id)

    return router


async def _bytes(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise HiveError(Kind.TOO_LARGE, f"The body is longer than {MOST_BYTES} bytes.")
    return bytes(body)


def _json(body: bytes) -> Any:
    try:
        written = msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise HiveError(Kind.INVALID, f"The body is not JSON: {error}.") from None
    if not isinstance(written, dict):
        raise HiveError(Kind.INVALID, "The body must be a JSON object.")
    return written


def error_response(error: HiveError) -> Response:
    headers = {name.decode(): value.decode() for name, value in error_headers(error)}
    return Response(error_body(Dialect.OPENAI, error), error.kind.status, headers)


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HiveError)
    return error_response(error)


async def _answer_query_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    detail = error.errors()[0]
    path = path_of(detail["loc"][1:])
    message = f"{path}: {expected(detail)} (got {str(detail['input'])[:60]!r})"
    return error_response(HiveError(Kind.INVALID, message, path))


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = Kind.of_status(error.status_code)
    words = {
        Kind.NOT_FOUND: f"There is no {request.method} {request.url.path[:200]} here.",
        Kind.METHOD_NOT_ALLOWED: f"{request.method} is not allowed on {request.url.path[:200]}.",
    }
    response = error_response(HiveError(kind, words.get(kind, str(error.detail))))
    response.headers.update(error.headers or {})
    return response


async def _answer_surprise(request: Request, error: Exception) -> Response:
    log.error("admin request failed", method=request.method, path=request.url.path, exc_info=error)
    return error_response(
        HiveError(Kind.INTERNAL, "Something failed inside the gateway; its log has the cause.")
    )
