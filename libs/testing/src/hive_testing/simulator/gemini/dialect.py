"""How Google answers: streams without names and ends, errors with a status in words, and odd ways with keys."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import msgspec

from hive_testing.simulator.answer import JSON
from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.calls import Call
from hive_testing.simulator.dialect import Overlaid, bearer
from hive_testing.simulator.reply import Event, InvalidRequest

STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
TYPES = "type.googleapis.com/google.rpc."
NO_KEY = "Method doesn't allow unregistered callers (callers without established identity)."
NO_TOKEN = "Request had invalid authentication credentials. Expected OAuth 2 access token."


class Gemini(Overlaid):
    stream_type = "text/event-stream"

    def frame(self, event: Event, crlf: bool) -> bytes:
        """Google ends its lines with CRLF in any case."""
        return super().frame(event, True)

    def keep_alive(self, crlf: bool) -> bytes:
        """Its own SDK bears nothing but empty lines."""
        return b"\r\n"

    def error(self, status: int, message: str, param: str | None = None, code: str | None = None) -> Any:
        error = {"code": status, "message": message, "status": STATUSES.get(status, "UNKNOWN")}
        if param:
            violation = {"field": param, "description": message}
            error["details"] = [{"@type": f"{TYPES}BadRequest", "fieldViolations": [violation]}]
        elif code:
            error["details"] = [{"@type": f"{TYPES}ErrorInfo", "reason": code, "domain": "googleapis.com"}]
        return error

    def scripted(self, status: int, behaviour: Behaviour) -> Any:
        """A wait is told in the body."""
        error = super().scripted(status, behaviour)
        if behaviour.retry_after is not None:
            delay = f"{behaviour.retry_after:g}s"
            error.setdefault("details", []).append({"@type": f"{TYPES}RetryInfo", "retryDelay": delay})
        return error

    def check_key(self, call: Call, key: str) -> None:
        """A wrong key is a 400, and none at all a 403."""
        shown = call.header(b"x-goog-api-key") or parse_qs(call.query).get("key", [""])[0] or bearer(call)
        if not shown:
            raise InvalidRequest(NO_KEY, status=403)
        if shown != key:
            raise InvalidRequest("API key not valid. Please pass a valid API key.", code="API_KEY_INVALID")


class Vertex(Gemini):
    def check_key(self, call: Call, key: str) -> None:
        """An access token; in express mode it is a key."""
        if key not in (bearer(call), call.header(b"x-goog-api-key")):
            raise InvalidRequest(NO_TOKEN, code="ACCESS_TOKEN_TYPE_UNSUPPORTED", status=401)


class Array(Gemini):
    """A stream that is one JSON array: its events hold the brackets and commas already."""

    stream_type = JSON

    def frame(self, event: Event, crlf: bool) -> bytes:
        return event.data

    def error_event(self, status: int, error: Any, place: int) -> Event:
        body = msgspec.json.encode({"error": error})
        return Event((b",\r\n" if place else b"[") + body + b"]", None)


class VertexArray(Vertex, Array):
    """The same at Vertex AI."""


GEMINI = Gemini()
VERTEX = Vertex()
ARRAY = Array()
VERTEX_ARRAY = VertexArray()
