"""Every kind of error in every client's dialect."""

from __future__ import annotations

import json

import pytest

from hive_runtime.dialects import Dialect, error_body, error_event, error_headers
from hive_runtime.errors import HiveError, Kind


@pytest.mark.parametrize("kind", Kind)
def test_openai_form_names_status_type_and_param(kind: Kind) -> None:
    error = HiveError(kind, "words", "n", reason="why")
    found = json.loads(error_body(Dialect.OPENAI, error))["error"]
    assert found == {
        "message": "words",
        "type": kind.type,
        "param": "n",
        "code": kind.status,
        "reason": "why",
    }


def test_openai_form_has_all_four_keys_without_a_param() -> None:
    found = json.loads(error_body(Dialect.OPENAI, HiveError(Kind.INTERNAL, "words")))["error"]
    assert set(found) == {"message", "type", "param", "code"} and found["param"] is None


@pytest.mark.parametrize("kind", Kind)
def test_every_dialect_says_the_words_and_the_status(kind: Kind) -> None:
    error = HiveError(kind, "words")
    anthropic = json.loads(error_body(Dialect.ANTHROPIC, error, "req_1"))
    assert anthropic["type"] == "error" and anthropic["request_id"] == "req_1"
    assert anthropic["error"]["message"] == "words" and anthropic["error"]["code"] == kind.status
    google = json.loads(error_body(Dialect.GOOGLE, error))["error"]
    assert google["code"] == kind.status and google["status"].isupper() and google["message"] == "words"
    rpc = json.loads(error_body(Dialect.JSONRPC, error))
    assert rpc["error"]["code"] < 0 and rpc["error"]["data"]["code"] == kind.status


@pytest.mark.parametrize("dialect", Dialect)
def test_a_closing_event_stands_alone_after_a_cut(dialect: Dialect) -> None:
    stream = b'data: {"half' + error_event(dialect, HiveError(Kind.UPSTREAM_FAILED, "cut"))
    events = [event for event in stream.split(b"\n\n") if event]
    assert len(events) == 2
    data = events[1].splitlines()[-1].removeprefix(b"data: ")
    assert json.loads(data)["error"]["message"] == "cut"


def test_headers_tell_when_to_retry() -> None:
    error = HiveError(Kind.RATE_LIMITED, "words", retry_after=0.2, should_retry=False)
    assert dict(error_headers(error))[b"retry-after"] == b"1"
    assert dict(error_headers(HiveError(Kind.RATE_LIMITED, "words", retry_after=1.4)))[b"retry-after"] == b"2"
    assert dict(error_headers(error))[b"x-should-retry"] == b"false"
    assert b"retry-after" not in dict(error_headers(HiveError(Kind.INTERNAL, "words")))
    assert dict(error_headers(HiveError(Kind.UNAVAILABLE, "words")))[b"retry-after"] == b"1"
    never = HiveError(Kind.UNAVAILABLE, "words", should_retry=False)
    assert b"retry-after" not in dict(error_headers(never))


def test_kinds_are_found_by_label_and_status() -> None:
    assert all(Kind.of_label(kind.label) is kind for kind in Kind)
    assert Kind.of_label("of a newer release") is Kind.INTERNAL
    assert Kind.of_status(403) is Kind.FORBIDDEN
    assert Kind.of_status(418) is Kind.INVALID
    assert Kind.of_status(599) is Kind.INTERNAL


def test_a_stream_of_responses_ends_with_an_error_that_both_kinds_of_readers_see() -> None:
    error = HiveError(Kind.UPSTREAM_FAILED, "cut", reason="attempt_lost")
    event = error_event(Dialect.RESPONSES, error, number=7).strip().split(b"\n")
    assert event[0] == b"event: error"
    found = json.loads(event[1].removeprefix(b"data: "))
    assert found["type"] == "error" and found["sequence_number"] == 7
    assert (found["code"], found["message"], found["param"]) == ("attempt_lost", "cut", None)
    assert found["error"]["code"] == 502


def test_a_stream_of_interactions_ends_with_a_named_error() -> None:
    event = error_event(Dialect.INTERACTIONS, HiveError(Kind.TIMEOUT, "late")).strip().split(b"\n")
    assert event[0] == b"event: error"
    assert json.loads(event[1].removeprefix(b"data: ")) == {
        "event_type": "error",
        "error": {"code": "deadline_exceeded", "message": "late"},
    }
