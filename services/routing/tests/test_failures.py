"""What a provider's error means for the caller: one row per status and form."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hive_routing.providers.failures import CREDENTIAL_REFUSED, failure, retry_after
from hive_runtime.errors import Kind

OPENAI = {"error": {"message": "No.", "type": "invalid_request_error", "param": "n", "code": "bad_n"}}


def of(status: int, body: Any = OPENAI, **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return failure(status, named, raw, "sim")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Kind.INVALID),
        (404, Kind.NOT_FOUND),
        (413, Kind.TOO_LARGE),
        (415, Kind.INVALID),
        (422, Kind.INVALID),
    ],
)
def test_what_is_about_the_request_passes(status: int, kind: Kind) -> None:
    error = of(status)
    assert (error.kind, error.message, error.param, error.reason) == (kind, "No.", "n", "bad_n")


@pytest.mark.parametrize("status", [401, 403])
def test_our_credential_is_our_business(status: int) -> None:
    error = of(status, {"error": {"message": "Incorrect API key provided: sk-secret"}})
    assert (error.kind, error.reason) == (Kind.UPSTREAM_FAILED, CREDENTIAL_REFUSED)
    assert "sk-secret" not in error.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (408, Kind.TIMEOUT),
        (504, Kind.TIMEOUT),
        (429, Kind.RATE_LIMITED),
        (302, Kind.UPSTREAM_FAILED),
        (405, Kind.UPSTREAM_FAILED),
        (409, Kind.UPSTREAM_FAILED),
        (500, Kind.UPSTREAM_FAILED),
        (503, Kind.UPSTREAM_FAILED),
        (529, Kind.UPSTREAM_FAILED),
    ],
)
def test_what_is_about_the_provider_may_be_tried_again(status: int, kind: Kind) -> None:
    error = of(status)
    assert error.kind is kind
    assert error.kind.retryable
    assert "No." in error.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "7"}, 7),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after_ms": "1500", "retry_after": "2"}, 1.5),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry_after": "-3"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "1e12"}, None),
    ],
)
def test_the_wait_that_a_provider_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert of(429, **headers).retry_after == seconds


@pytest.mark.parametrize(
    ("body", "message", "reason"),
    [
        ({"error": {"message": "m", "type": "odd_error"}}, "m", "odd_error"),
        ({"error": {"message": "m", "code": None, "type": "invalid_request_error"}}, "m", None),
        ({"error": {"message": "m", "code": 400}}, "m", None),
        ({"error": "plain words"}, "plain words", None),
        ({"message": "m", "code": "c"}, "m", "c"),
        ({"object": "error", "message": "m"}, "m", None),
        ({"detail": "Not like this"}, "Not like this", None),
        ({"detail": [{"loc": ["body"], "msg": "x"}]}, "x", None),
        (b"<html>Bad Request</html>", "The provider `sim` refused the request (400).", None),
        (b"", "The provider `sim` refused the request (400).", None),
        (b"[1]", "The provider `sim` refused the request (400).", None),
        ({"error": {"message": 5}}, "5", None),
        ({"error": {"message": "x" * 9000}}, "x" * 2000, None),
    ],
)
def test_the_words_are_found_in_any_form(body: Any, message: str, reason: str | None) -> None:
    error = of(400, body)
    assert (error.message, error.reason) == (message, reason)


def test_retry_after_as_a_date_is_read_by_the_providers_own_clock() -> None:
    headers = {"date": "Wed, 21 Oct 2026 07:28:00 GMT", "retry-after": "Wed, 21 Oct 2026 07:28:42 GMT"}
    assert retry_after(headers) == 42
    assert retry_after({"retry-after": headers["retry-after"]}) is None
    assert retry_after({**headers, "retry-after": "soon"}) is None
