"""Error bodies as OpenAI writes them."""

from __future__ import annotations

from typing import Any

import msgspec

# type and code of the error that a status usually means; the code is null where there is none
USUAL: dict[int, tuple[str, str | None]] = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("requests", "rate_limit_exceeded"),
}
SERVER_ERROR = ("server_error", None)


def error(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """The inner object of an error body; an empty code is none, without one it is the usual of the status."""
    kind, usual_code = USUAL.get(status, USUAL[400] if status < 500 else SERVER_ERROR)
    return {
        "message": message,
        "type": kind,
        "param": param,
        "code": usual_code if code is None else code or None,
    }


def body(inner: dict[str, Any]) -> bytes:
    """The error body around an inner object."""
    return msgspec.json.encode({"error": inner})
