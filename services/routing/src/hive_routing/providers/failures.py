"""What a provider's error answer means for the caller, in the gateway's own words and kinds.

400, 404, 413 and 422 are about the request and pass, with the provider's message, `param` and `code` (as
`reason`; the status is our `code`). 401 and 403 are about our credential, and so are a few of the 400s: the caller
never sees their text. All others speak about the provider.
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

_ABOUT_US = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED", "ACCOUNT_STATE_INVALID", "BILLING_DISABLED"})
_BEGINNINGS = (
    "API key not valid",
    "API key expired",
    "Incorrect API key provided",
    "Your credit balance is too low",
)
"""How some providers say with a 400 that our key or our account is to blame."""

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
    if status in (401, 403) or (status == 400 and words.is_about_us):
        message = (
            f"The provider `{provider}` refused the gateway's credential ({status}): tell your operator."
        )
        return HiveError(Kind.UPSTREAM_FAILED, message, reason=CREDENTIAL_REFUSED)
    if (kind := _PASSED.get(status)) is not None:
        message = words.message or f"The provider `{provider}` refused the request ({status})."
        return HiveError(kind, message, words.param, reason=words.reason(kind))
    if status == 429:
        message = words.message or f"The provider `{provider}` limits the rate of requests."
        wait = retry_after(headers)
        wait = words.retry_after if wait is None else wait
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
    """What a provider says about an error, whatever form it says it in. retry_after: seconds."""

    message: str = ""
    param: str | None = None
    code: str | None = None
    type: str | None = None
    retry_after: float | None = None

    @classmethod
    def of_body(cls, body: bytes) -> Words:
        """The words of an error body; empty where it is not JSON."""
        try:
            content = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return cls()
        if isinstance(content, list) and content:  # Google's, where a stream would have been an array
            content = content[0]
        if isinstance(content, dict):
            return cls.of(content.get("error") or content)
        return cls()

    @classmethod
    def of(cls, error: Any) -> Words:
        if isinstance(error, str):
            return cls(error[:MAX_MESSAGE_CHARS])
        if not isinstance(error, dict):
            return cls()
        said = error.get("message") or error.get("detail") or ""
        message, param = (said, None) if isinstance(said, str) else _validation(said)
        code = _text(error.get("code")) or _text(error.get("status"))
        words = cls(
            message[:MAX_MESSAGE_CHARS], _text(error.get("param")) or param, code, _text(error.get("type"))
        )
        for detail in error.get("details") or ():
            if isinstance(detail, dict):
                words.code = _text(detail.get("reason")) or words.code
                words.retry_after = _seconds(detail.get("retryDelay")) or words.retry_after
        return words

    @property
    def is_about_us(self) -> bool:
        return self.code in _ABOUT_US or self.message.startswith(_BEGINNINGS)

    def reason(self, kind: Kind) -> str | None:
        """The provider's code, or else its type where that says more than the kind."""
        return self.code or (self.type if self.type != kind.type else None)


def _validation(said: Any) -> tuple[str, str | None]:
    """The message and the parameter of what a validator found: `[{"loc": ["body", "n"], "msg": "…"}]`, or within."""
    found = said.get("detail") if isinstance(said, dict) else said
    first = found[0] if isinstance(found, list) and found else None
    if isinstance(first, dict) and isinstance(first.get("msg"), str):
        place = first.get("loc")
        steps = place if isinstance(place, list) else []
        path = ".".join(str(step) for step in steps if step != "body")
        return f"{path}: {first['msg']}" if path else first["msg"], _text(path)
    return msgspec.json.encode(said).decode(), None


def _seconds(value: Any) -> float | None:
    """Of a duration such as `34.5s`."""
    try:
        return min(max(float(value.removesuffix("s")), 0.0), 86_400.0) if isinstance(value, str) else None
    except ValueError:
        return None


def _text(value: Any) -> str | None:
    return value[:200] if isinstance(value, str) and value else None
