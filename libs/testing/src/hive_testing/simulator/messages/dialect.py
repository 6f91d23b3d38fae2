"""How Anthropic answers: named events, errors with a type each, keys in `x-api-key`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hive_testing.simulator.calls import Call
from hive_testing.simulator.dialect import Overlaid, bearer
from hive_testing.simulator.reply import Event, InvalidRequest

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class Messages(Overlaid):
    def keep_alive(self, crlf: bool) -> bytes:
        return self.frame(Event(b'{"type":"ping"}', None, "ping"), crlf)

    def error(self, status: int, message: str, param: str | None = None, code: str | None = None) -> Any:
        usual = "invalid_request_error" if status < 500 else "api_error"
        return {"type": code or TYPES.get(status, usual), "message": message}

    def error_body(self, error: Any, number: int) -> bytes:
        return msgspec.json.encode({"type": "error", "error": error, "request_id": f"req_sim{number}"})

    def error_event(self, status: int, error: Any, place: int) -> Event:
        return Event(msgspec.json.encode({"type": "error", "error": error}), None, "error")

    def headers(self, status: int, number: int) -> Mapping[str, str]:
        return {"request-id": f"req_sim{number}"}

    def check_key(self, call: Call, key: str) -> None:
        """Newer SDKs send their key as a bearer token."""
        if key not in (call.header(b"x-api-key"), bearer(call)):
            raise InvalidRequest("invalid x-api-key", status=401)


MESSAGES = Messages()
