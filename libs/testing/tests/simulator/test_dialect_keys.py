"""Each dialect's own way to show a key, and to say that it is the wrong one."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from hive_testing.simulator import SimulatorThread
from hive_testing.simulator.converse import sigv4

GEMINI = "/v1beta/models/m:generateContent"
VERTEX = "/v1/projects/p/locations/l/publishers/google/models/m:generateContent"
AZURE = "/openai/deployments/m/chat/completions?api-version=1"
BEARER = {"authorization": "Bearer key"}
GOOGLE = {"x-goog-api-key": "key"}


def reached(raw: httpx2.Client, path: str, headers: dict[str, str]) -> httpx2.Response:
    """The answer to an empty body: a 400 where the key was let in."""
    return raw.post(path, json={}, headers=headers)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/chat/completions", BEARER),
        ("/v1/responses", BEARER),
        ("/v1/moderations", BEARER),
        ("/v1/rerank", BEARER),
        ("/v1/messages", {"x-api-key": "key"}),
        ("/v1/messages", BEARER),
        (GEMINI, GOOGLE),
        (f"{GEMINI}?key=key", {}),
        (VERTEX, BEARER),
        (AZURE, {"api-key": "key"}),
        (AZURE, BEARER),
        ("/openai/v1/responses", {"api-key": "key"}),
        ("/model/m/converse", BEARER),
    ],
)
def test_the_right_key(
    raw: httpx2.Client, provider: SimulatorThread, path: str, headers: dict[str, str]
) -> None:
    provider.require_key("key")

    answer = reached(raw, path, headers)
    assert answer.status_code == 400 and "key" not in answer.text.lower().replace("keyword", "")


@pytest.mark.parametrize(
    ("path", "headers", "status", "words"),
    [
        ("/v1/chat/completions", {}, 401, "Incorrect API key provided"),
        ("/v1/responses", {"api-key": "key"}, 401, "Incorrect API key provided"),
        ("/v1/rerank", {"authorization": "Bearer other"}, 401, "invalid api token"),
        ("/v1/messages", {"x-api-key": "other"}, 401, "authentication_error"),
        (GEMINI, {}, 403, "unregistered callers"),
        (GEMINI, {"x-goog-api-key": "other"}, 400, "API_KEY_INVALID"),
        (VERTEX, {"authorization": "Bearer other"}, 401, "UNAUTHENTICATED"),
        (AZURE, {"api-key": "other"}, 401, "invalid subscription key"),
        ("/model/m/converse", {}, 403, "Missing Authentication Token"),
        (
            "/model/m/converse",
            {"authorization": "AWS4-HMAC-SHA256 x"},
            403,
            "is not an AWS4-HMAC-SHA256 signature",
        ),
    ],
)
def test_the_wrong_key(
    raw: httpx2.Client, provider: SimulatorThread, path: str, headers: dict[str, str], status: int, words: str
) -> None:
    provider.require_key("key")

    answer = reached(raw, path, headers)
    assert answer.status_code == status, answer.text
    assert words in answer.text


def signed(**changes: Any) -> dict[str, str]:
    """Headers that look signed."""
    fields = {
        "access": "AKID",
        "day": "20250102",
        "service": "bedrock",
        "headers": "host;x-amz-date",
        **changes,
    }
    scope = f"{fields['access']}/{fields['day']}/us-east-1/{fields['service']}/aws4_request"
    parts = f"Credential={scope}, SignedHeaders={fields['headers']}, Signature=00"
    return {"authorization": f"{sigv4.ALGORITHM} {parts}", "x-amz-date": "20250102T030405Z"}


@pytest.mark.parametrize(
    ("key", "changes", "words"),
    [
        ("AKID", {}, None),
        ("AKID:secret", {}, "signature we calculated does not match"),
        ("AKID", {"access": "OTHER"}, "security token included in the request is invalid"),
        ("AKID", {"service": "s3"}, "scoped to correct service"),
        ("AKID", {"day": "20250103"}, "scoped to correct service"),
        ("AKID", {"headers": "host"}, "is not an AWS4-HMAC-SHA256 signature of host and x-amz-date"),
    ],
)
def test_signatures(
    raw: httpx2.Client, provider: SimulatorThread, key: str, changes: dict[str, Any], words: str | None
) -> None:
    provider.require_key(key)

    answer = reached(raw, "/model/m/converse", signed(**changes))
    assert answer.status_code == (403 if words else 400)
    assert words is None or words in answer.json()["message"]
