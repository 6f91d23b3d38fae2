"""One line per request: who asked what, and how it ended."""

from __future__ import annotations

import asyncio
from typing import Any

from modelhive.common.v1.common_pb2 import UsageSummary


async def test_a_line_says_who_asked_what_and_what_came_back(door: Any) -> None:
    door.service.usage = UsageSummary(model="m", provider="p", deployment="p/m", calls=2)
    headers = {"authorization": "Bearer sk-hive-" + "k" * 43, "x-hive-tags": "nightly, team-a,nightly"}
    answered = await door.ask("POST", "/v1/chat/completions", headers=headers, parts=[b"{}"])
    (line,) = await door.lines(1)
    assert (line.tenant_id, line.key_id, line.method) == ("t", "key_1", "POST")
    assert (line.path, line.status, line.error) == ("/v1/chat/completions", 200, "")
    assert (line.model, line.provider, line.deployment, line.calls) == ("m", "p", "p/m", 2)
    assert (line.request_bytes, line.response_bytes) == (2, 2)
    assert list(line.tags) == ["nightly", "team-a"]
    assert line.request_id == answered.headers["x-request-id"]
    assert 0 <= line.first_byte_us <= line.duration_us


async def test_a_refusal_at_the_door_has_a_line_too(door: Any) -> None:
    await door.ask("POST", "/v1/chat/completions", headers={"authorization": "Bearer sk-wrong"})
    await door.ask("POST", "/v1/chat/completions?refuse", parts=[b"{}"])
    wrong_key, refused = await door.lines(2)
    assert (wrong_key.status, wrong_key.error, wrong_key.tenant_id) == (401, "unauthenticated", "")
    assert (refused.status, refused.error, refused.error_message) == (429, "rate_limited", "slow down")


async def test_a_client_that_left_is_named_so(door: Any) -> None:
    client = door.client("POST", "/v1/chat/completions?wait", parts=[b"{}"])
    asking = asyncio.create_task(client.send())
    while not door.service.seen:
        await asyncio.sleep(0.001)
    client.leave()
    await asking
    (line,) = await door.lines(1)
    assert line.client_gone and line.status == 499 and not line.HasField("first_byte_us")
