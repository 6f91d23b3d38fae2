"""The endpoints that are not hot, as a Starlette application.

FastAPI would check what they take, which is nothing: it would cost each process of routing twelve megabytes and a tenth
of a second at its start.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Raw
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hive_relay.exchange import exchange_of
from hive_routing.catalogue import Catalogue
from hive_routing.dialects.registry import BY_NAME
from hive_routing.models import google_model, model_list, model_object
from hive_routing.request import model_name, parse_object
from hive_routing.token_counter import count_prompt, count_tokens
from hive_routing.tokens import TokenCounter
from hive_runtime.errors import HiveError, Kind

Endpoint = Callable[[Request], Awaitable[Response]]


def rest_app(catalogue: Catalogue, counter: TokenCounter) -> Starlette:
    """Models and the token counter, each with and without `/v1`."""
    app = Starlette(exception_handlers={HiveError: _leave_in_scope, HTTPException: _leave_in_scope})

    async def list_models(request: Request) -> Response:
        return _json(model_list(catalogue.all(_allowed(request))))

    async def get_model(request: Request) -> Response:
        return _json(model_object(catalogue.find(_model(request), _allowed(request))))

    async def delete_model(request: Request) -> Response:
        found = catalogue.find(_model(request), _allowed(request))
        message = f"The model `{found.id}` cannot be deleted: only fine-tuned models can."
        raise HiveError(Kind.FORBIDDEN, message, "model")

    async def token_counter(request: Request) -> Response:
        return _json(await count_tokens(await request.body(), catalogue, counter, _allowed(request)))

    async def count(dialect: str, fields: dict[str, Raw], model: str, request: Request) -> int:
        return await count_prompt(BY_NAME[dialect], fields, model, catalogue, counter, _allowed(request))

    async def count_messages(request: Request) -> Response:
        fields = parse_object(await request.body())
        fields.setdefault("max_tokens", Raw(b"1"))  # no answer is asked for
        return _json({"input_tokens": await count("messages", fields, model_name(fields), request)})

    async def count_contents(request: Request) -> Response:
        name, _, verb = _model(request).rpartition(":")
        if verb != "countTokens":
            raise HiveError(Kind.NOT_FOUND, f"`{verb[:80]}` is not enabled on this deployment.")
        fields = parse_object(await request.body())
        if (whole := fields.get("generateContentRequest")) is not None:
            fields = parse_object(bytes(whole))
        return _json({"totalTokens": await count("gemini", fields, name, request)})

    async def list_google_models(request: Request) -> Response:
        return _json({"models": [google_model(each) for each in catalogue.all(_allowed(request))]})

    async def get_google_model(request: Request) -> Response:
        return _json(google_model(catalogue.find(_model(request), _allowed(request))))

    add_endpoint(app, "GET", "/v1beta/models", list_google_models)
    add_endpoint(app, "GET", "/v1beta/models/{model:path}", get_google_model)
    add_endpoint(app, "POST", "/v1beta/models/{model:path}", count_contents)
    for prefix in ("/v1", ""):
        add_endpoint(app, "POST", prefix + "/models/{model:path}", count_contents)
        add_endpoint(app, "POST", prefix + "/messages/count_tokens", count_messages)
        add_endpoint(app, "GET", prefix + "/models", list_models)
        add_endpoint(app, "GET", prefix + "/models/{model:path}", get_model)
        add_endpoint(app, "DELETE", prefix + "/models/{model:path}", delete_model)
        add_endpoint(app, "POST", prefix + "/utils/token_counter", token_counter)
    return app


def add_endpoint(app: Starlette, method: str, path: str, endpoint: Endpoint) -> None:
    """Answer `method` at `path`, and no other: where GET is answered, HEAD is not."""
    route = Route(path, endpoint, methods=[method])
    route.methods = {method}
    app.router.routes.append(route)


def _model(request: Request) -> str:
    return str(request.path_params["model"])


def _allowed(request: Request) -> frozenset[str] | None:
    return exchange_of(request.scope).principal.models


def _json(content: Any) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")


async def _leave_in_scope(request: Request, error: Exception) -> Response:
    """The edge words errors: leave it for `RoutingApp` to raise."""
    request.scope["hive.error"] = _hive_error(request, error)
    return Response()


def _hive_error(request: Request, error: Exception) -> HiveError:
    if isinstance(error, HiveError):
        return error
    path, method = request.url.path[:200], request.method
    if isinstance(error, HTTPException) and error.status_code == 405:
        return HiveError(Kind.METHOD_NOT_ALLOWED, f"{path} does not take {method}.")
    return HiveError(Kind.NOT_FOUND, f"{method} {path} is not enabled on this deployment.")
