"""One line per request: who asked what, and how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from hive_edge.request_log import RequestLog
from hive_relay.summary import Summary
from hive_runtime.clock import SystemClock
from hive_runtime.telemetry import Metrics
from modelhive.events.v1.guard_pb2 import GuardVerdict
from modelhive.events.v1.usage_pb2 import CacheStatus, RequestLogged


async def test_a_line_says_who_asked_what_and_what_came_back(door: Any) -> None:
    door.service.usage = Summary(model="m", provider="p", deployment="p/m", calls=2)
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


async def test_a_line_says_what_cache_and_guards_did(door: Any) -> None:
    door.service.usage = Summary(
        cache=CacheStatus.CACHE_STATUS_HIT,
        guards=["secrets", "pii"],
        guard_verdict=GuardVerdict.GUARD_VERDICT_REDACTED,
        replayed=True,
    )
    await door.ask("POST", "/v1/chat/completions", parts=[b"{}"])
    door.service.usage = None
    await door.ask("POST", "/v1/chat/completions", parts=[b"{}"])
    told, untold = await door.lines(2)
    assert told.cache == CacheStatus.CACHE_STATUS_HIT
    assert told.guard_verdict == GuardVerdict.GUARD_VERDICT_REDACTED
    assert list(told.guards) == ["secrets", "pii"] and told.replayed
    assert (untold.cache, untold.guard_verdict, list(untold.guards), untold.replayed) == (0, 0, [], False)


async def test_a_refusal_by_the_service_says_what_led_to_it(door: Any) -> None:
    door.service.usage = Summary(
        model="m", guards=["secrets"], guard_verdict=GuardVerdict.GUARD_VERDICT_BLOCKED
    )
    await door.ask("POST", "/v1/chat/completions?block", parts=[b"{}"])
    (line,) = await door.lines(1)
    assert (line.status, line.error, line.model, line.calls) == (403, "blocked", "m", 0)
    assert (list(line.guards), line.guard_verdict) == (["secrets"], GuardVerdict.GUARD_VERDICT_BLOCKED)


async def test_lines_that_come_while_others_are_published_are_not_left_behind() -> None:
    published: list[str] = []
    lines = [RequestLogged(request_id=f"req_{number}") for number in range(4)]

    class Bus:
        async def publish_all(self, messages: Sequence[RequestLogged]) -> int:
            if not published:
                log.add(lines[1])
            await asyncio.sleep(0)
            published.extend(each.request_id for each in messages)
            return len(messages)

    async def until(count: int) -> None:
        async with asyncio.timeout(5):
            while len(published) < count:
                await asyncio.sleep(0.001)

    log = RequestLog(Bus(), SystemClock(), Metrics().counter("dropped", "Lines."))  # type: ignore[arg-type]
    running = asyncio.create_task(log.run())
    log.add(lines[0])
    await until(2)
    log.add(lines[2])
    log.add(lines[3])
    await until(4)
    running.cancel()
    assert published == [line.request_id for line in lines]
