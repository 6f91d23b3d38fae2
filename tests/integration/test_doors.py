"""Who is let in where: credentials, aliases, what each listener has and what it does not have."""

from __future__ import annotations

import time
from typing import Any

import pytest

from hive_testing.gateway import Door, Gateway, eventually
from hive_testing.simulator import SimulatorThread

pytestmark = pytest.mark.embedded

CHAT = "/v1/chat/completions"
ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
NOT_ENABLED = "not enabled on this deployment"

OPENAI_ROUTES = [
    "GET /v1/chat/completions/chatcmpl-1",
    "POST /v1/images/generations",
    "POST /v1/images/edits",
    "POST /v1/images/variations",
    "POST /v1/audio/transcriptions",
    "POST /v1/audio/translations",
    "POST /v1/audio/speech",
    "POST /v1/videos",
    "POST /v1/videos/generations",
    "GET /v1/videos/video_1/content",
    "POST /v1/ocr",
    "POST /v1/files",
    "GET /v1/files/file-1/content",
    "POST /v1/uploads",
    "POST /v1/batches",
    "POST /v1/vector_stores",
    "POST /v1/vector_stores/vs_1/search",
    "POST /v1/rag/ingest",
    "POST /v1/rag/query",
    "POST /v1/fine_tuning/jobs",
    "POST /v1/assistants",
    "POST /v1/threads/runs",
    "DELETE /v1/threads/thread_1",
    "POST /v1/containers",
    "POST /v1/containers/cntr_1/files",
]
GOOGLE_ROUTES = [
    "POST /v1/models/gemini-2.5-pro:embedContent",
    "POST /v1beta/models/gemini-2.5-pro:batchEmbedContents",
]


@pytest.mark.parametrize("prefix", ["/v1", ""])
def test_the_prefix_is_optional(gateway: Gateway, simulator: SimulatorThread, prefix: str) -> None:
    with gateway.client(base_url=gateway.url + prefix) as client:
        chat = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hello"}])
        text = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hello")
        vector = client.embeddings.create(model="text-embedding-3-small", input="hello")
        assert client.models.retrieve("gpt-4o").id == "gpt-4o"

    assert chat.choices[0].message.content == text.choices[0].text == "Echo: hello"
    assert len(vector.data[0].embedding) == 1536


@pytest.mark.parametrize("name", ["authorization", "Authorization", "x-api-key", "api-key", "X-Api-Key"])
def test_where_a_key_may_stand(gateway: Gateway, simulator: SimulatorThread, name: str) -> None:
    value = f"Bearer {gateway.key}" if name.lower() == "authorization" else gateway.key
    request = gateway.public.request("POST", CHAT, ASKED, {"api-key": "", name: value})
    with gateway.raw() as connection:
        connection.send(request.replace(b"api-key: \r\n", b""))
        assert connection.read_answer().status == 200


def test_the_scheme_may_be_written_small(gateway: Gateway, simulator: SimulatorThread) -> None:
    headers = {"authorization": f"bearer {gateway.key}"}

    assert gateway.public.ask("POST", CHAT, ASKED, headers).status == 200


@pytest.mark.parametrize(
    "credential",
    ["", "Bearer", "Bearer ", "Bearer sk-hive-wrong", "Basic c2s6c2s=", "sk-hive-wrong", "Bearer \xff\xfe"],
)
def test_no_key_no_answer(gateway: Gateway, simulator: SimulatorThread, credential: str) -> None:
    asked: list[tuple[str, str, Any]] = [("POST", CHAT, ASKED), ("GET", "/v1/models", None)]
    for method, path, body in asked:
        answer = gateway.public.ask(method, path, body, {"authorization": credential})
        assert answer.status == 401
        assert answer.error | {"message": ""} == {
            "message": "",
            "type": "authentication_error",
            "param": None,
            "code": 401,
        }
    assert simulator.calls == []


def test_a_wrong_key_is_not_repeated_to_whoever_sent_it(gateway: Gateway) -> None:
    key = "sk-hive-0123456789abcdefghijklmnopqrstuvwxyz"
    answer = gateway.public.ask("GET", "/v1/models", None, {"authorization": f"Bearer {key}"})

    assert answer.status == 401 and key not in answer.body.decode()


def test_a_key_that_expires(gateway: Gateway) -> None:
    made = gateway.add_key()
    gateway.admin("PATCH", f"/keys/{made['id']}", {"expires_at": int(time.time()) + 1})
    door = Door(gateway.url, made["key"])
    eventually(lambda: door.ask("GET", "/v1/models").status == 401)

    assert "expired" in door.ask("GET", "/v1/models").error["message"]


def test_the_key_comes_before_all_other_checks(gateway: Gateway) -> None:
    """401, then 404, then 400."""
    nobody = {"authorization": "Bearer wrong"}
    assert gateway.public.ask("POST", CHAT, b"{", nobody).status == 401
    assert gateway.public.ask("POST", "/v1/images/generations", {}, nobody).status == 401
    assert gateway.public.ask("POST", CHAT, {"model": "no-such-model"}).status == 404
    assert gateway.public.ask("POST", CHAT, {"model": "no-such-model", "messages": 1}).status == 404


BLOCKED = ["/ui", "/ui/", "/ui/index.html", "/sso", "/sso/callback", "/login", "/api/admin/keys", "/metrics"]


@pytest.mark.parametrize("path", BLOCKED)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_operators_have_is_not_on_the_public_listener(gateway: Gateway, method: str, path: str) -> None:
    for token in (gateway.key, gateway.admin_token):
        body: object = {} if method == "POST" else None
        answer = gateway.public.ask(method, path, body, {"authorization": f"Bearer {token}"})
        assert (answer.status, answer.error["code"]) == (404, 404)
        assert answer.error["type"] == "not_found_error"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../api/admin/keys",
        "/v1/..%2fapi%2fadmin%2fkeys",
        "/%61pi/admin/keys",
        "//api/admin/keys",
        "/v1//api/admin/keys",
        "/models/../metrics",
        "/v1/%2e%2e/metrics",
    ],
)
def test_no_detour_leads_to_the_operators_doors(gateway: Gateway, path: str) -> None:
    answer = gateway.public.ask("GET", path, None, {"authorization": f"Bearer {gateway.admin_token}"})

    assert answer.status in (400, 401, 404) and answer.error["code"] == answer.status


def test_what_the_internal_listener_has(gateway: Gateway) -> None:
    metrics = gateway.internal.ask("GET", "/metrics", None, {"authorization": ""})
    assert metrics.status == 200 and metrics.headers["content-type"].startswith("text/plain")
    assert "hive_process_tasks" in gateway.metrics() and "hive_edge_in_flight" in gateway.metrics()

    keys = gateway.internal.ask("GET", "/api/admin/keys?limit=1").json
    assert keys["object"] == "list" and len(keys["data"]) == 1
    assert keys["first_id"] == keys["last_id"] == keys["data"][0]["id"]
    assert "key" not in keys["data"][0]


@pytest.mark.parametrize("token", ["", "Bearer wrong", "Bearer \xff"])
def test_the_admin_api_needs_its_token(gateway: Gateway, token: str) -> None:
    for path in ("/api/admin/keys", "/api/admin/providers", "/api/admin/nothing"):
        answer = gateway.internal.ask("GET", path, None, {"authorization": token})
        assert (answer.status, answer.error["type"]) == (401, "authentication_error")


def test_a_callers_key_is_no_admin_token(gateway: Gateway) -> None:
    headers = {"authorization": f"Bearer {gateway.key}"}

    assert gateway.internal.ask("GET", "/api/admin/keys", None, headers).status == 401


@pytest.mark.parametrize("door", ["public", "internal"])
def test_health_needs_no_key(gateway: Gateway, door: str) -> None:
    for path in ("/healthz", "/readyz"):
        answer = getattr(gateway, door).ask("GET", path, None, {"authorization": ""})
        assert answer.status == 200 and answer.json["status"]


# Promised, and not there yet


@pytest.mark.parametrize("route", OPENAI_ROUTES)
def test_later_routes_answer_in_openais_form(gateway: Gateway, route: str) -> None:
    method, path = route.split()
    answer = gateway.public.ask(method, path, {"model": "gpt-4o"} if method == "POST" else None)

    assert answer.status == 404
    assert answer.error.keys() >= {"message", "type", "param", "code"}
    assert (answer.error["type"], answer.error["code"]) == ("not_found_error", 404)
    assert NOT_ENABLED in answer.error["message"]


@pytest.mark.parametrize("path", ["/v1/messages/batches", "/messages/batches/msgbatch_1/results"])
def test_later_routes_answer_in_anthropics_form(gateway: Gateway, path: str) -> None:
    answer = gateway.public.ask("POST", path, {}, {"x-api-key": gateway.key})

    assert (answer.status, answer.json["type"]) == (404, "error")
    assert answer.json["error"]["type"] == "not_found_error"
    assert NOT_ENABLED in answer.json["error"]["message"]
    assert answer.json["request_id"] == answer.headers["request-id"]


@pytest.mark.parametrize("route", GOOGLE_ROUTES)
def test_later_routes_answer_in_googles_form(gateway: Gateway, route: str) -> None:
    method, path = route.split()
    key = {"x-goog-api-key": gateway.key, "authorization": ""}
    answer = gateway.public.ask(method, path, {} if method == "POST" else None, key)

    assert (answer.status, answer.error["code"]) == (404, 404)
    assert answer.error["status"] == "NOT_FOUND" and NOT_ENABLED in answer.error["message"]


def test_googles_clients_may_send_the_key_in_the_query(gateway: Gateway) -> None:
    path = "/v1beta/models/gemini-2.5-pro:generateContent?key="

    assert gateway.public.ask("POST", path + gateway.key, {}, {"authorization": ""}).status == 404
    assert (
        gateway.public.ask("GET", f"/v1beta/models?key={gateway.key}", None, {"authorization": ""}).status
        == 200
    )
    assert gateway.public.ask("POST", path + "wrong", {}, {"authorization": ""}).status == 401


@pytest.mark.parametrize("path", ["/v1/a2a/helper/message/send", "/v1/a2a/helper"])
def test_later_routes_answer_in_json_rpc(gateway: Gateway, path: str) -> None:
    answer = gateway.public.ask("POST", path, {"jsonrpc": "2.0", "id": 1, "method": "message/send"})

    assert answer.status == 404 and answer.json["jsonrpc"] == "2.0"
    assert isinstance(answer.json["error"]["code"], int)
    assert NOT_ENABLED in answer.json["error"]["message"]


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/nothing", "/v3/chat/completions", "/docs", "/openapi.json"]
)
def test_what_was_never_promised(gateway: Gateway, path: str) -> None:
    answer = gateway.public.ask("GET", path)

    assert (answer.status, answer.error["type"]) == (404, "not_found_error")
    assert NOT_ENABLED not in answer.error["message"]


UNKNOWN: dict[str, dict[str, object]] = {
    "/v1/messages": {"max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]},
    "/messages": {"max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]},
    "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": "Hi"}]},
}


@pytest.mark.parametrize("path", UNKNOWN)
def test_an_unknown_model_in_anthropics_form(gateway: Gateway, path: str) -> None:
    body = {**UNKNOWN[path], "model": "claude-nowhere"}
    answer = gateway.public.ask("POST", path, body, {"x-api-key": gateway.key, "authorization": ""})

    assert (answer.status, answer.json["type"]) == (404, "error")
    assert answer.json["error"]["type"] == "not_found_error"
    assert answer.json["request_id"] == answer.headers["request-id"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/gemini-nowhere:generateContent",
        "/v1beta/models/gemini-nowhere:streamGenerateContent?alt=sse",
        "/v1beta/models/gemini/nowhere:countTokens",
        "/models/gemini-nowhere:generateContent",
    ],
)
def test_an_unknown_model_in_googles_form(gateway: Gateway, path: str) -> None:
    key = {"x-goog-api-key": gateway.key, "authorization": ""}
    answer = gateway.public.ask("POST", path, {"contents": [{"parts": [{"text": "Hi"}]}]}, key)

    assert (answer.status, answer.error["code"], answer.error["status"]) == (404, 404, "NOT_FOUND")


@pytest.mark.parametrize(
    "path", ["/v1/responses", "/v1/moderations", "/v1/rerank", "/v2/rerank", "/v1/interactions"]
)
def test_get_is_not_for_what_is_asked(gateway: Gateway, path: str) -> None:
    assert gateway.public.ask("GET", path).status == 405
