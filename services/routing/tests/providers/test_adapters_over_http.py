"""Each adapter in front of a server that notes what it is asked: paths, headers, bodies, and errors without secrets."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hive_routing.providers.failures import CREDENTIAL_REFUSED, failure
from hive_routing.providers.over_http import Site
from hive_routing.providers.registry import MAKERS

BODY = b'{"model": "m-1",  "messages":[{"role":"user","content":"Hi"}]}'
BETAS = {"openai-beta": "assistants=v2", "anthropic-beta": "tools-1", "x-secret": "1"}


@pytest.mark.parametrize(
    ("kind", "base", "options", "operation", "model", "stream", "path"),
    [
        ("openai", "/v1", {}, "chat", "m", False, "/v1/chat/completions"),
        ("openai", "/v1/", {}, "responses", "m", True, "/v1/responses"),
        ("openai", "/v1", {}, "completions", "m", False, "/v1/completions"),
        ("openai", "/v1", {}, "embeddings", "m", False, "/v1/embeddings"),
        ("openai", "/v1", {}, "moderations", "m", False, "/v1/moderations"),
        ("azure", "", {}, "chat", "dep", False, "/openai/v1/chat/completions"),
        ("azure", "/openai/v1", {}, "responses", "dep", True, "/openai/v1/responses"),
        ("azure", "/openai", {"api_version": "preview"}, "chat", "dep", False,
         "/openai/v1/chat/completions?api-version=preview"),
        ("azure", "", {"api_version": "2024-10-21"}, "chat", "my dep", True,
         "/openai/deployments/my%20dep/chat/completions?api-version=2024-10-21"),
        ("azure", "/openai/v1", {"api_version": "2024-10-21"}, "embeddings", "dep", False,
         "/openai/deployments/dep/embeddings?api-version=2024-10-21"),
        ("azure", "", {"api_version": "2025-03-01-preview"}, "responses", "dep", False,
         "/openai/responses?api-version=2025-03-01-preview"),
        ("anthropic", "", {}, "messages", "m", True, "/v1/messages"),
        ("anthropic", "/v1", {}, "messages", "m", False, "/v1/messages"),
        ("anthropic", "/anthropic", {}, "messages", "m", False, "/anthropic/v1/messages"),
        ("gemini", "", {}, "gemini", "gemini-2.5-pro", False, "/v1beta/models/gemini-2.5-pro:generateContent"),
        ("gemini", "/v1beta", {}, "gemini", "models/x", True,
         "/v1beta/models/x:streamGenerateContent?alt=sse"),
        ("gemini", "", {}, "gemini", "tunedModels/x y", False, "/v1beta/tunedModels/x%20y:generateContent"),
        ("cohere", "", {}, "chat", "m", True, "/compatibility/v1/chat/completions"),
        ("cohere", "/v2", {}, "rerank", "m", False, "/v2/rerank"),
        ("mistral", "/v1", {}, "chat", "m", False, "/v1/chat/completions"),
        ("groq", "/openai/v1", {}, "chat", "m", False, "/openai/v1/chat/completions"),
        ("ollama", "/v1", {"speaks": "messages, chat"}, "messages", "m", False, "/v1/messages"),
    ],
)  # fmt: skip
async def test_where_a_call_goes(
    speaking: Any, recorder: Any, kind: str, base: str, options: Any, operation: str, model: str, stream: bool,
    path: str,
) -> None:  # fmt: skip
    speaker = speaking(kind, base, options=options)
    assert operation in speaker.provider.speaks
    await speaker.send(operation, BODY, model=model, stream=stream)
    assert (recorder.last.method, recorder.last.path) == ("POST", path)
    headers = recorder.last.headers
    assert headers["x-client-request-id"] == "req_1-1-1"
    assert headers["accept"] == ("text/event-stream" if stream else "application/json")
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("openai", {}, {"authorization": "Bearer sk-secret", "openai-beta": "assistants=v2"}),
        ("openai", {"credential": ""}, {"openai-beta": "assistants=v2"}),
        (
            "openai",
            {"options": {"organization": "org-1", "project": "p-1"}},
            {"authorization": "Bearer sk-secret", "openai-organization": "org-1", "openai-project": "p-1",
             "openai-beta": "assistants=v2"},
        ),
        ("azure", {}, {"api-key": "sk-secret", "openai-beta": "assistants=v2"}),
        ("azure", {"options": {"auth": "bearer"}},
         {"authorization": "Bearer sk-secret", "openai-beta": "assistants=v2"}),
        ("anthropic", {}, {"x-api-key": "sk-secret", "anthropic-version": "2023-06-01", "anthropic-beta": "tools-1"}),
        ("anthropic", {"credential": "sk-ant-oat01-x"},
         {"authorization": "Bearer sk-ant-oat01-x", "anthropic-version": "2023-06-01", "anthropic-beta": "tools-1"}),
        ("gemini", {}, {"x-goog-api-key": "sk-secret"}),
        ("cohere", {}, {"authorization": "Bearer sk-secret"}),
        ("mistral", {}, {"authorization": "Bearer sk-secret", "openai-beta": "assistants=v2"}),
    ],
)  # fmt: skip
async def test_what_a_call_carries(
    speaking: Any, recorder: Any, kind: str, fields: Any, expected: dict[str, str]
) -> None:
    speaker = speaking(kind, headers=BETAS, **fields)
    await speaker.send(speaker.provider.speaks[0], BODY)
    usual = {
        "host",
        "user-agent",
        "content-type",
        "accept-encoding",
        "accept",
        "x-client-request-id",
        "content-length",
    }
    found = {name: value for name, value in recorder.last.headers.items() if name not in usual}
    assert found == expected


@pytest.mark.parametrize("kind", ["openai", "azure", "anthropic", "gemini", "cohere", "together"])
async def test_bodies_in_the_providers_own_dialect_are_untouched(
    speaking: Any, recorder: Any, kind: str
) -> None:
    recorder.tell(b'{ "any": 1.0 }')
    speaker = speaking(kind)
    status, body = await speaker.send(speaker.provider.speaks[0], BODY)
    assert (status, body) == (200, b'{ "any": 1.0 }')
    assert recorder.last.body == BODY


@pytest.mark.parametrize("kind", ["openai", "azure", "anthropic", "gemini", "cohere", "mistral", "groq"])
async def test_errors_do_not_repeat_our_credential(speaking: Any, recorder: Any, kind: str) -> None:
    recorder.tell({"error": {"message": "no such key: sk-secret"}}, status=400)
    speaker = speaking(kind)
    status, body = await speaker.send(speaker.provider.speaks[0], BODY)
    assert (status, body) == (400, b'{"error":{"message":"no such key: ***"}}')


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("openai", {"base_url": "ftp://x"}, "no http(s) URL"),
        ("openai", {"base_url": "http://x", "credential": "a\nb"}, "printable ASCII"),
        ("anthropic", {"base_url": "http://x", "credential": "é"}, "printable ASCII"),
        ("azure", {"base_url": "http://x", "options": {"client_id": "c"}}, "options.tenant_id is missing"),
        ("vertex", {"base_url": "http://x"}, "options.project is missing"),
        ("vertex", {"base_url": "http://x", "credential": "AIza", "options": {"project": "p"}}, "no JSON of a service"),
    ],
)  # fmt: skip
async def test_what_cannot_be_spoken_to_is_refused(kind: str, fields: Any, words: str) -> None:
    with pytest.raises(ValueError) as raised:
        MAKERS[kind](Site("acme", kind, **fields))
    assert words in str(raised.value)
    assert not fields.get("credential") or fields["credential"] not in str(raised.value)


GOOGLE_KEY = {
    "error": {
        "code": 400,
        "message": "API key not valid. Please pass a valid API key.",
        "status": "INVALID_ARGUMENT",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
    }
}
GOOGLE_RATE = {
    "error": {
        "code": 429,
        "message": "Resource exhausted.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}],
    }
}
MISTRAL = {
    "object": "error",
    "message": {
        "detail": [{"loc": ["body", "messages", 0, "name"], "msg": "Extra inputs are not permitted"}]
    },
    "type": "invalid_request_error",
}


@pytest.mark.parametrize(
    ("status", "body", "message", "param", "reason", "wait"),
    [
        (400, {"error": {"message": "Bad.", "status": "INVALID_ARGUMENT", "code": 400}}, "Bad.", None,
         "INVALID_ARGUMENT", None),
        (429, GOOGLE_RATE, "Resource exhausted.", None, "RESOURCE_EXHAUSTED", 34.5),
        (400, [{"error": {"message": "Bad.", "status": "INVALID_ARGUMENT"}}], "Bad.", None, "INVALID_ARGUMENT", None),
        (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: too big"}},
         "max_tokens: too big", None, None, None),
        (404, {"message": "model 'x' not found", "id": "1"}, "model 'x' not found", None, None, None),
        (422, MISTRAL, "messages.0.name: Extra inputs are not permitted", "messages.0.name", None, None),
        (422, {"detail": [{"loc": ["body", "n"], "msg": "too big"}]}, "n: too big", "n", None, None),
        (422, {"detail": [{"odd": 1}]}, '[{"odd":1}]', None, None, None),
    ],
)  # fmt: skip
def test_errors_are_understood_in_every_form(
    status: int, body: Any, message: str, param: str | None, reason: str | None, wait: float | None
) -> None:
    error = failure(status, {}, msgspec.json.encode(body), "acme")
    assert (error.message, error.param, error.reason, error.retry_after) == (message, param, reason, wait)


@pytest.mark.parametrize(
    "body",
    [
        GOOGLE_KEY,
        {"error": "Incorrect API key provided: xa***. You can obtain an API key from https://console.x.ai."},
        {"type": "error", "error": {"type": "invalid_request_error",
                                    "message": "Your credit balance is too low to access the Anthropic API."}},
    ],
)  # fmt: skip
def test_some_400s_are_our_fault(body: Any) -> None:
    error = failure(400, {}, msgspec.json.encode(body), "acme")
    assert error.reason == CREDENTIAL_REFUSED
    assert "tell your operator" in error.message
