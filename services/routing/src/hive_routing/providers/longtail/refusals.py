"""What the library's exceptions mean: what the provider refused, or why there is no answer.

The library tells them apart by the status, where there is one, and else by words in their texts. What an SDK raised is
known by the names of its classes here: none of those SDKs is imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from any_llm import exceptions as raised  # type: ignore[import-not-found]
from pydantic import ValidationError

from hive_routing.providers.failures import MAX_MESSAGE_CHARS, broken_answer, error_event, failure
from hive_runtime.errors import HiveError, Kind

_STATUSES = (
    (raised.MissingApiKeyError, 401),
    (raised.AuthenticationError, 401),
    (raised.ModelNotFoundError, 404),
    (raised.RateLimitError, 429),
    (raised.InvalidRequestError, 400),
    (raised.ContextLengthExceededError, 400),
    (raised.ContentFilterError, 400),
)
"""Of exceptions without one."""
_TIMEOUTS = frozenset({"TimeoutError", "APITimeoutError", "TimeoutException"})
_UNREACHED = frozenset({"ConnectError", "ConnectionRefusedError", "gaierror"})
_BROKEN = frozenset({"OSError", "APIConnectionError", "TransportError", "IncompleteReadError"})
_NO_ANSWER = frozenset({"ValidationError", "JSONDecodeError"})
_MOST_CAUSES = 8


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer other than 200, as it would have come over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Meanings:
    """provider: its name, for messages. secret: what they must not repeat."""

    provider: str
    secret: str

    def of(self, error: Exception) -> Refusal | HiveError:
        """Whatever came out of a call of the library."""
        if isinstance(error, raised.UnsupportedParameterError):
            return HiveError(
                Kind.INVALID, f"{self._text(error.message)}.", error.parameter_name.partition(" ")[0]
            )
        if isinstance(error, NotImplementedError):
            return HiveError(
                Kind.INVALID, f"The provider `{self.provider}` cannot do this: {self._text(error)}."
            )
        if isinstance(error, ValidationError) and error.title == "CompletionParams":
            first = error.errors()[0]
            path = ".".join(str(step) for step in first["loc"])
            return HiveError(Kind.INVALID, f"{path}: {self._text(first['msg'])}.", path)
        if not isinstance(error, raised.AnyLLMError):
            return self._without_answer(error)
        status = error.status_code
        if status is not None and not 200 <= status < 300:
            return self._refusal(status, error)
        return self._without_status(error, error.original_exception or error, has_begun=status is not None)

    def late(self, error: Exception) -> HiveError:
        """The same, where it is too late for a status."""
        found = self.of(error)
        if isinstance(found, HiveError):
            return found
        return failure(found.status, found.headers, found.body, self.provider)

    def _without_status(self, error: Any, original: Exception, has_begun: bool) -> Refusal | HiveError:
        """has_begun: the provider answered with 200, and only then told of an error."""
        if _names(original) & (_TIMEOUTS | _UNREACHED | _BROKEN | _NO_ANSWER):
            return self._without_answer(original)
        if has_begun or isinstance(getattr(original, "body", None), dict):
            return error_event(self._said(error), self.provider)
        if type(original) is ValueError:  # while the request was put into the provider's form
            return HiveError(Kind.INVALID, f"{self._text(error.message)}.")
        for kind, status in _STATUSES:
            if isinstance(error, kind):
                return self._refusal(status, error)
        return self._without_answer(original)

    def _without_answer(self, error: Exception) -> HiveError:
        names = _names(error)
        if names & _NO_ANSWER:
            return broken_answer(self.provider, "answered with something that is no answer")
        if names & _TIMEOUTS:
            return HiveError(Kind.TIMEOUT, f"The provider `{self.provider}` did not answer in time.")
        if names & _UNREACHED:
            return HiveError(Kind.UNAVAILABLE, f"The provider `{self.provider}` cannot be reached.")
        if names & _BROKEN:
            return broken_answer(self.provider, "closed the connection before its answer was complete")
        return broken_answer(self.provider, f"failed: {self._text(error)}")

    def _refusal(self, status: int, error: Any) -> Refusal:
        wait = getattr(error, "retry_after", None)
        headers = {"content-type": "application/json"} | ({"retry-after": wait} if wait else {})
        return Refusal(status, headers, msgspec.json.encode({"error": self._said(error)}))

    def _said(self, error: Any) -> dict[str, Any]:
        """The provider's own words where its SDK kept them, else the library's."""
        body = getattr(error.original_exception, "body", None)
        inner = body.get("error", body) if isinstance(body, dict) else None
        said = inner.get("message") if isinstance(inner, dict) else None
        return {
            "message": self._hushed(said if isinstance(said, str) else error.message),
            "type": error.error_type,
            "param": error.param,
            "code": error.code,
        }

    def _text(self, said: object) -> str:
        """As a part of a sentence of ours."""
        return " ".join(self._hushed(said).split()).rstrip(".")

    def _hushed(self, said: object) -> str:
        text = str(said)[:MAX_MESSAGE_CHARS]
        return text.replace(self.secret, "***") if self.secret else text


def _names(error: BaseException) -> set[str]:
    """Of its classes, and of those of what it came from."""
    return {kind.__name__ for cause in _causes(error) for kind in type(cause).__mro__}


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__
