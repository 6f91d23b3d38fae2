"""What Amazon's services say about an error, brought to the statuses and the words that `failures` knows."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping

import msgspec

from hive_routing.providers.failures import MAX_ERROR_BYTES
from hive_routing.providers.port import Body
from hive_runtime.errors import HiveError

_STATUSES = {
    "ThrottlingException": 429,
    "TooManyRequestsException": 429,
    "ServiceQuotaExceededException": 429,
    "ModelNotReadyException": 503,
    "ServiceUnavailableException": 503,
    "ModelTimeoutException": 504,
    "AccessDeniedException": 403,
    "ExpiredTokenException": 403,
    "IncompleteSignatureException": 403,
    "InvalidSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "UnrecognizedClientException": 403,
}
"""Where the status that it comes with says less, or something else, than its name."""

_TOO_LONG = re.compile(r"too long|too many (?:input )?tokens|context (?:window|length)|maximum context", re.I)


def error_name(headers: Mapping[str, str]) -> str:
    """`ValidationException` of `x-amzn-errortype: ValidationException:http://…`; empty where there is none."""
    return headers.get("x-amzn-errortype", "").partition(":")[0].rpartition("#")[2]


def error_status(status: int, name: str) -> int:
    return _STATUSES.get(name, status)


class ErrorBody:
    """The body of an error, read whole: a JSON object that has `message`, and `code` where that is known."""

    def __init__(self, body: Body, secret: str) -> None:
        """secret: what we sent and what must not be repeated; empty: nothing."""
        self._body = body
        self._secret = secret
        self._over = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._over:
            raise StopAsyncIteration
        self._over = True
        text = bytearray()
        try:
            async for data in self._body:
                text += data
                if len(text) > MAX_ERROR_BYTES:
                    break
        except HiveError:
            pass  # the status and what came of the text say enough
        message = _message(bytes(text))
        if self._secret:
            message = message.replace(self._secret, "***")
        error = {"message": message}
        if _TOO_LONG.search(message):
            error["code"] = "context_length_exceeded"
        return msgspec.json.encode(error)

    async def aclose(self) -> None:
        await self._body.aclose()


def _message(body: bytes) -> str:
    try:
        error = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if not isinstance(error, dict):
        return ""
    return str(error.get("message") or error.get("Message") or "")
