"""The public door in front of a small service: what comes back for what goes in."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest

from hive_edge.keys import ApiKey, Tenant
from hive_relay.asgi import AnswerCut
from hive_testing.asgi import Client

KEY = "sk-hive-" + "k" * 43
AUTHORIZED = {"authorization": f"Bearer {KEY}"}


async def test_an_answer_carries_the_request_id(door: Any) -> None:
    answered = await door.ask("POST", "/v1/chat/completions", parts=[b"{}"])
    assert answered.status == 200 and answered.body == b"{}" and answered.complete
    assert answered.headers["content-length"] == "2"
    number = answered.headers["x-request-id"]
    assert number.startswith("req_")
    assert answered.headers["request-id"] == answered.headers["x-hive-request-id"] == number


async def test_the_service_sees_allowed_headers_and_models_but_no_credential(door: Any) -> None:
    headers = {**AUTHORIZED, "x-hive-guard": "none", "cookie": "secret", "x-api-key": "secret"}
    await door.ask("POST", "/v1/embeddings", headers=headers)
    assert door.service.seen == [
        {"path": "/v1/embeddings", "headers": {"x-hive-guard": "none"}, "size": 0, "models": ["b"]}
    ]


@pytest.mark.parametrize(
    "headers",
    [
        AUTHORIZED,
        {"authorization": f"bearer {KEY}"},
        {"x-api-key": KEY},
        {"api-key": KEY},
        {"authorization": "Bearer ", "x-api-key": KEY},
    ],
)
@pytest.mark.parametrize("path", ["/v1/models/a%2Fb", "/models/a%2Fb"])
async def test_ways_to_send_a_key(door: Any, headers: dict[str, str], path: str) -> None:
    answered = await door.ask("GET", path, headers=headers)
    assert answered.status == 200
    assert door.service.seen[0]["path"].endswith("/models/a/b")


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer sk-wrong"}, {"authorization": f"Basic {KEY}"}]
)
async def test_no_key_no_entry(door: Any, headers: dict[str, str]) -> None:
    answered = await door.ask("POST", "/v1/chat/completions", headers=headers)
    error = json.loads(answered.body)["error"]
    assert answered.status == 401 and error["code"] == 401 and error["type"] == "authentication_error"
    assert door.service.seen == []


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/v1/messages", ["request_id"]),
        ("/v1/messages/count_tokens", ["request_id"]),
        ("/v1beta/models/gemini-2.5-pro:generateContent", ["error", "status"]),
        ("/v1/models/gemini/gemini-2.5-pro:streamGenerateContent?alt=sse", ["error", "status"]),
        ("/v1/generateContent", ["error", "status"]),
        ("/v1beta/models", ["error", "status"]),
        ("/v1beta/interactions/abc/cancel", ["error", "status"]),
        ("/v1/responses", ["error", "type"]),
    ],
)
async def test_errors_are_in_the_words_of_the_path_s_dialect(door: Any, path: str, word: list[str]) -> None:
    answered = await door.ask("POST", path, headers={})
    assert answered.status == 401
    found = json.loads(answered.body)
    for each in word:
        found = found[each]


async def test_a_revoked_key_and_a_disabled_tenant_are_refused(door: Any) -> None:
    door.keys.put_tenant(Tenant("t", None, disabled=True))
    assert (await door.ask("GET", "/v1/models")).status == 401
    door.keys.put_tenant(Tenant("t", None, disabled=False))
    assert (await door.ask("GET", "/v1/models")).status == 200
    door.keys.drop_key("key_1")
    assert (await door.ask("GET", "/v1/models")).status == 401


async def test_an_expired_key_is_refused(door: Any) -> None:
    digest = hashlib.sha256(KEY.encode()).digest()
    door.keys.put_key(ApiKey("key_1", "t", digest, None, expires_at=1.0))
    answered = await door.ask("GET", "/v1/models")
    assert answered.status == 401 and b"expired" in answered.body


@pytest.mark.parametrize(
    "path", ["/ui", "/sso/x", "/login", "/api/admin/keys", "/metrics", "/", "/v1", "//x"]
)
async def test_what_was_never_promised_does_not_exist(door: Any, path: str) -> None:
    answered = await door.ask("GET", path)
    assert answered.status == 404 and json.loads(answered.body)["error"]["type"] == "not_found_error"


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/v1/images/generations", ["error", "type"]),
        ("/v1/chat/completions/chatcmpl-1", ["error", "type"]),
        ("/v1/a2a/helper/message/send", ["jsonrpc"]),
    ],
)
async def test_promised_routes_that_come_later_say_so_in_their_dialect(
    door: Any, path: str, word: list[str]
) -> None:
    answered = await door.ask("POST", path)
    found = json.loads(answered.body)
    for each in word:
        found = found[each]
    assert answered.status == 404 and b"not enabled on this deployment" in answered.body and found


async def test_a_large_body_goes_by_claim_check_and_leaves_nothing_behind(door: Any) -> None:
    answered = await door.ask("POST", "/v1/chat/completions", parts=[b"x" * 90_000] * 10)
    assert answered.status == 200 and door.service.seen[0]["size"] == 900_000
    assert [path for path in door.folder.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_above_the_limit_is_refused(door: Any, declared: bool) -> None:
    headers = {**AUTHORIZED, **({"content-length": "1100000"} if declared else {})}
    answered = await door.ask("POST", "/v1/chat/completions", headers=headers, parts=[b"x" * 110_000] * 10)
    assert answered.status == 413 and json.loads(answered.body)["error"]["code"] == 413
    assert [path for path in door.folder.rglob("*") if path.is_file()] == []


async def test_a_refusal_carries_its_headers(door: Any) -> None:
    answered = await door.ask("POST", "/v1/chat/completions?refuse")
    assert answered.status == 429
    assert answered.headers["retry-after"] == "7" and answered.headers["x-should-retry"] == "false"


async def test_a_cut_stream_ends_with_an_error_event(door: Any) -> None:
    answered = await door.ask("POST", "/v1/chat/completions?cut_stream")
    assert answered.status == 200 and answered.complete
    first, event = answered.body.split(b"\n\n\n\n")
    assert first == b"data: 1"
    error = json.loads(event.removeprefix(b"data: "))["error"]
    assert error["message"] == "the provider cut the stream" and error["code"] == 502


async def test_a_cut_answer_that_is_no_stream_cuts_the_connection(door: Any) -> None:
    client = door.client("POST", "/v1/chat/completions?cut_json")
    with pytest.raises(AnswerCut):
        await client.send()
    assert not client.answered.complete


async def test_a_client_that_leaves_stops_the_service(door: Any) -> None:
    client = door.client("POST", "/v1/chat/completions?hang")
    running = asyncio.create_task(client.send())
    await client.until(lambda answered: b"data: 1" in answered.body)
    client.leave()
    async with asyncio.timeout(5):
        await door.service.cancelled.wait()
        await running


async def test_a_client_that_leaves_while_it_sends_leaves_nothing_behind(door: Any) -> None:
    async def gateway(scope: Any, receive: Any, send: Any) -> None:
        first = [{"type": "http.request", "body": b"x" * 300_000, "more_body": True}]

        async def leaving() -> Any:
            return first.pop() if first else {"type": "http.disconnect"}

        await door.gateway(scope, leaving, send)

    client = Client(gateway, "POST", "/v1/chat/completions", headers=AUTHORIZED, parts=())
    answered = await client.send()
    assert answered.messages == [] and door.service.seen == []
    assert [path for path in door.folder.rglob("*") if path.is_file()] == []


async def test_a_colon_in_a_model_id_is_a_part_of_it(door: Any) -> None:
    assert (await door.ask("GET", "/v1/models/ollama%2Fllama3.2:1b")).status == 200
    assert door.service.seen[0]["path"] == "/v1/models/ollama/llama3.2:1b"


async def test_a_compressed_body_is_refused_by_name(door: Any) -> None:
    headers = {**AUTHORIZED, "content-encoding": "gzip"}
    answered = await door.ask("POST", "/v1/chat/completions", headers=headers, parts=[b"x"])
    assert answered.status == 415 and b"content-encoding" in answered.body.lower()
