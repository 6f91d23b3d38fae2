"""How refusals and surprises look to clients of the admin API."""

from __future__ import annotations

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from hive_console.problems import expected, path_of
from hive_runtime.dialects import Dialect, error_body, error_headers
from hive_runtime.errors import HiveError, Kind

log = structlog.get_logger(__name__)


def answer_errors(app: FastAPI) -> None:
    """Let every error of `app` have the form of the public API."""
    app.add_exception_handler(HiveError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_query_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_surprise)


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
