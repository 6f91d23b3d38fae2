"""How an error looks in each client's dialect: one body per kind and dialect, one closing event per stream.

Sources: the public API reference for OpenAI's form (`code` is the HTTP status, `reason` the machine-readable
word), and the official SDKs of Anthropic, Google and A2A for theirs.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Any

import msgspec

from hive_runtime.errors import HiveError, Kind


class Dialect(Enum):
    """Whose error form the clients of a route read."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GOOGLE = "google"
    RESPONSES = "responses"
    """OpenAI's, whose streams end with an error in another form."""
    INTERACTIONS = "interactions"
    """Google's, whose streams name their events."""
    JSONRPC = "jsonrpc"


_ANTHROPIC_TYPES = {
    Kind.BUDGET_EXCEEDED: "billing_error",
    Kind.BLOCKED: "permission_error",
    Kind.TOO_LARGE: "request_too_large",
    Kind.RATE_LIMITED: "rate_limit_error",
    Kind.INTERNAL: "api_error",
    Kind.UPSTREAM_FAILED: "api_error",
    Kind.UNAVAILABLE: "api_error",
}

_GOOGLE_STATUSES = {
    Kind.INVALID: "INVALID_ARGUMENT",
    Kind.UNAUTHENTICATED: "UNAUTHENTICATED",
    Kind.BUDGET_EXCEEDED: "FAILED_PRECONDITION",
    Kind.BLOCKED: "PERMISSION_DENIED",
    Kind.FORBIDDEN: "PERMISSION_DENIED",
    Kind.NOT_FOUND: "NOT_FOUND",
    Kind.METHOD_NOT_ALLOWED: "UNIMPLEMENTED",
    Kind.CONFLICT: "ABORTED",
    Kind.TOO_LARGE: "INVALID_ARGUMENT",
    Kind.UNSUPPORTED_MEDIA: "INVALID_ARGUMENT",
    Kind.RATE_LIMITED: "RESOURCE_EXHAUSTED",
    Kind.INTERNAL: "INTERNAL",
    Kind.UPSTREAM_FAILED: "UNAVAILABLE",
    Kind.UNAVAILABLE: "UNAVAILABLE",
    Kind.TIMEOUT: "DEADLINE_EXCEEDED",
}

AWAY_SECONDS = 1.0
"""When to come again where something is away and nobody knows for how long."""

_JSONRPC_CODES = {Kind.INVALID: -32602, Kind.METHOD_NOT_ALLOWED: -32601, Kind.NOT_FOUND: -32601}


def error_body(dialect: Dialect, error: HiveError, request_id: str = "") -> bytes:
    """The JSON body of an error answer."""
    return msgspec.json.encode(_FORMS[dialect](error, request_id))


def error_event(dialect: Dialect, error: HiveError, request_id: str = "", number: int = 0) -> bytes:
    """The server-sent event that ends a stream with an error; nothing follows it.

    It starts with a blank line: whatever was cut before it ends there as an event of its own. number: of the event in
    its stream, in dialects that count them.
    """
    form = _EVENTS.get(dialect, _FORMS[dialect])
    said = form(error, request_id)
    if dialect is Dialect.RESPONSES:
        said["sequence_number"] = number
    name = b"event: error\n" if dialect in _NAMED else b""
    return b"\n\n" + name + b"data: " + msgspec.json.encode(said) + b"\n\n"


def error_headers(error: HiveError) -> list[tuple[bytes, bytes]]:
    """The headers that tell an SDK what to do next. What is away now is worth another try, whoever says so."""
    headers = [(b"content-type", b"application/json")]
    retry_after = error.retry_after
    if retry_after is None and error.kind is Kind.UNAVAILABLE and error.should_retry is not False:
        retry_after = AWAY_SECONDS
    if retry_after is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(retry_after))).encode()))
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    return headers


def _openai(error: HiveError, request_id: str) -> dict[str, Any]:
    inner = {
        "message": error.message,
        "type": error.kind.type,
        "param": error.param,
        "code": error.status,
    }
    if error.reason is not None:
        inner["reason"] = error.reason
    return {"error": inner}


def _anthropic(error: HiveError, request_id: str) -> dict[str, Any]:
    kind = _ANTHROPIC_TYPES.get(error.kind, error.kind.type)
    inner = {"type": kind, "message": error.message, "code": error.status}
    return {"type": "error", "error": inner, "request_id": request_id}


def _google(error: HiveError, request_id: str) -> dict[str, Any]:
    inner = {
        "code": error.status,
        "message": error.message,
        "status": _GOOGLE_STATUSES[error.kind],
        "details": [],
        "type": error.kind.type,
    }
    return {"error": inner}


def _jsonrpc(error: HiveError, request_id: str) -> dict[str, Any]:
    inner = {
        "code": _JSONRPC_CODES.get(error.kind, -32603),
        "message": error.message,
        "data": _openai(error, request_id)["error"],
    }
    return {"jsonrpc": "2.0", "id": None, "error": inner}


def _responses_event(error: HiveError, request_id: str) -> dict[str, Any]:
    """Flat, as clients of this API read it; with `error` beside it, for only then does OpenAI's SDK raise it."""
    flat = {"type": "error", "code": error.reason or error.kind.type, "message": error.message}
    return flat | {"param": error.param} | _openai(error, request_id)


def _interactions_event(error: HiveError, request_id: str) -> dict[str, Any]:
    inner = {"code": _GOOGLE_STATUSES[error.kind].lower(), "message": error.message}
    return {"event_type": "error", "error": inner}


_FORMS = {
    Dialect.OPENAI: _openai,
    Dialect.RESPONSES: _openai,
    Dialect.ANTHROPIC: _anthropic,
    Dialect.GOOGLE: _google,
    Dialect.INTERACTIONS: _google,
    Dialect.JSONRPC: _jsonrpc,
}

_EVENTS = {Dialect.RESPONSES: _responses_event, Dialect.INTERACTIONS: _interactions_event}
_NAMED = frozenset({Dialect.ANTHROPIC, Dialect.RESPONSES, Dialect.INTERACTIONS})
