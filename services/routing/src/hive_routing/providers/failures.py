"""What a provider's error answer means for the caller, in the gateway's own words and kinds.

400, 404, 413 and 422 are about the request and pass, with the provider's message, `param` and `code` (as
`reason`; the status is our `code`). 401 and 403 are about our credential: the caller never sees their text.
All others speak about the provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from hive_runtime.errors import HiveError, Kind

CREDENTIAL_REFUSED = "provider_credential_refused"
MAX_ERROR_BYTES = 65_536
MAX_MESSAGE_CHARS = 2_000

_PASSED = {
    400: Kind.INVALID,
    404: Kind.NOT_FOUND,
    413: Kind.TOO_LARGE,
    415: Kind.INVALID,
    422: Kind.INVALID,
}


def failure(status: int, headers: Mapping[str, str], body: bytes, provider: str) -> HiveError:
    """The error for an answer with a status other than 200."""
    words = Words.of_body(body)
    if (kind := _PASSED.get(status)) is not None:
        message = words.message or f"The provider `{provider}` refused the request ({status})."
        return HiveError(kind, message, words.param, reason=words.reason(kind))
    if status in (401, 403):
        message = (
            f"The provider `{provider}` refused the gateway's credential ({status}): tell your operator."
        )
        return HiveError(Kind.UPSTREAM_FAILED, message, reason=CREDENTIAL_REFUSED)
    if status == 429:
        message = words.message or f"The provider `{provider}` limits the rate of requests."
        wait = retry_after(headers)
        return HiveError(Kind.RATE_LIMITED, message, reason=words.code, retry_after=wait)
    kind = Kind.TIMEOUT if status in (408, 504) else Kind.UPSTREAM_FAILED
    said = f": {words.message}" if words.message else "."
    message = f"The provider `{provider}` failed with status {status}{said}"
    return HiveError(kind, message, reason=words.code, retry_after=retry_after(headers))


def broken_answer(provider: str, problem: str) -> HiveError:
    """The provider answered 200, but with something that is no answer."""
    return HiveError(Kind.UPSTREAM_FAILED, f"The provider `{provider}` {problem}.")


def error_event(error: Any, provider: str) -> HiveError:
    """The provider ended a stream with an error; `error` is the value of its `error` member."""
    words = Words.of(error)
    said = f": {words.message}" if words.message else "."
    message = f"The provider `{provider}` ended the stream with an error{said}"
    return HiveError(Kind.UPSTREAM_FAILED, message, words.param, reason=words.code)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from `retry-after-ms` or `retry-after`, as a number or as a date; None where there is neither."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < 86_400:
            return seconds
    return _seconds_between(headers.get("date", ""), headers.get("retry-after", ""))


def _seconds_between(now: str, then: str) -> float | None:
    """Both as HTTP dates, by the provider's clock alone."""
    try:
        seconds = (parsedate_to_datetime(then) - parsedate_to_datetime(now)).total_seconds()
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), 86_400.0)


class Words(msgspec.Struct):
    """What a provider says about an error, whatever form it says it in."""

    message: str = ""
    param: str | None = None
    code: str | None = None
    type: str | None = None

    @classmethod
    def of_body(cls, body: bytes) -> Words:
        """The words of an error body; empty where it is not JSON."""
        try:
            content = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return cls()
        if isinstance(content, dict):
            return cls.of(content.get("error") or content)
        return cls()

    @classmethod
    def of(cls, error: Any) -> Words:
        if isinstance(error, str):
            return cls(error[:MAX_MESSAGE_CHARS])
        if not isinstance(error, dict):
            return cls()
        message = error.get("message") or error.get("detail") or ""
        if not isinstance(message, str):
            message = msgspec.json.encode(message).decode()
        return cls(
            message[:MAX_MESSAGE_CHARS],
            _text(error.get("param")),
            _text(error.get("code")),
            _text(error.get("type")),
        )

    def reason(self, kind: Kind) -> str | None:
        """The provider's code, or else its type where that says more than the kind."""
        return self.code or (self.type if self.type != kind.type else None)


def _text(value: Any) -> str | None:
    return value[:200] if isinstance(value, str) and value else None
