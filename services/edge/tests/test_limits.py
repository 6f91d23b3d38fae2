"""The limits of a key at the public door: who gets in, what every answer says, and that nothing stays taken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hive_bus import StateChange
from hive_edge.consumers import ControlConsumer
from hive_relay.asgi import AnswerCut
from hive_relay.summary import Summary
from hive_testing.asgi import Answered, Client
from modelhive.control.v1.control_pb2 import ApiKey, ControlChanged

CHAT = "/v1/chat/completions"
AUTHORIZED = {"authorization": "Bearer sk-hive-" + "k" * 43}
LARGE = {**AUTHORIZED, "content-length": "1100000"}


async def post(door: Any, body: bytes = b"", query: str = "") -> Answered:
    """A request that declares its size."""
    headers = {**AUTHORIZED, "content-length": str(len(body))}
    answered: Answered = await door.ask("POST", CHAT + query, parts=[body], headers=headers)
    return answered


async def leave_while_sending(door: Any) -> None:
    parts = [{"type": "http.request", "body": b"x" * 400, "more_body": True}, {"type": "http.disconnect"}]

    async def gateway(scope: Any, receive: Any, send: Any) -> None:
        await door.gateway(scope, lambda: asyncio.sleep(0, parts.pop(0)), send)

    await Client(gateway, "POST", CHAT, headers={**AUTHORIZED, "content-length": "800"}, parts=()).send()
    assert parts == []


@asynccontextmanager
async def streaming(door: Any, body: bytes = b"") -> AsyncIterator[Client]:
    """A stream that goes on until its client leaves."""
    client: Client = door.client("POST", CHAT + "?hang", parts=[body])
    running = asyncio.create_task(client.send())
    await client.until(lambda answered: b"data: 1" in answered.body)
    yield client
    client.leave()
    async with asyncio.timeout(5):
        await door.service.cancelled.wait()
        await running


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


def rates(answered: Answered) -> dict[str, str]:
    return {name: value for name, value in answered.headers.items() if name.startswith("x-ratelimit-")}


def error(answered: Answered) -> dict[str, Any]:
    inner: dict[str, Any] = json.loads(answered.body)["error"]
    return inner


def tokens_left(answered: Answered) -> int:
    return int(answered.headers["x-ratelimit-remaining-tokens"])


# What answers say


async def test_every_answer_says_how_the_key_stands(door: Any) -> None:
    door.limit(requests=60, tokens=6000)
    assert rates(await post(door, b"x" * 400)) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "5900",
        "x-ratelimit-reset-tokens": "1s",
    }


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("GET", "/v1/models", {}, 200),
        ("POST", CHAT, {}, 200),
        ("POST", CHAT + "?cut_stream", {}, 200),
        ("POST", CHAT + "?refuse", {}, 429),
        ("POST", CHAT, {"headers": LARGE}, 413),
        ("POST", CHAT, {"parts": [b"x" * 110_000] * 10}, 413),
        ("POST", "/v1/images/generations", {}, 404),
    ],
)
async def test_also_answers_that_are_errors(
    door: Any, method: str, path: str, more: dict[str, Any], status: int
) -> None:
    door.limit(requests=60)
    answered = await door.ask(method, path, **more)
    assert answered.status == status
    assert rates(answered) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
    }


async def test_a_key_without_limits_and_a_stranger_are_told_nothing(door: Any) -> None:
    assert rates(await door.ask("POST", CHAT)) == {}
    door.limit(concurrency=5)
    assert rates(await door.ask("POST", CHAT)) == {}
    door.limit(requests=5)
    assert rates(await door.ask("POST", CHAT, headers={})) == {}


async def test_a_key_with_a_limit_of_tokens_hears_of_tokens_only(door: Any) -> None:
    door.limit(tokens=5)
    assert {name.rsplit("-")[-1] for name in rates(await door.ask("GET", "/v1/models"))} == {"tokens"}


# Who gets in


async def test_requests_beyond_the_limit_are_refused_until_there_is_room(door: Any) -> None:
    door.limit(requests=40)
    answers = [await door.ask("GET", "/v1/models") for _ in range(50)]
    assert [answered.status for answered in answers] == [200] * 40 + [429] * 10
    assert len(door.service.seen) == 40
    refused = answers[-1]
    assert error(refused)["type"] == "rate_limit_exceeded" and error(refused)["code"] == 429
    assert "40 requests per minute" in error(refused)["message"] and "1.5s" in error(refused)["message"]
    assert (refused.headers["retry-after"], refused.headers["retry-after-ms"]) == ("2", "1500")
    assert rates(refused) == {
        "x-ratelimit-limit-requests": "40",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m0s",
    }
    door.clock.advance(1.5)
    assert [(await door.ask("GET", "/v1/models")).status for _ in range(2)] == [200, 429]


async def test_a_limit_is_checked_after_the_key_and_before_all_else(door: Any) -> None:
    door.limit(requests=1)
    await post(door)
    assert (await door.ask("POST", CHAT, headers={"authorization": "Bearer sk-wrong"})).status == 401
    assert (await door.ask("POST", "/v1/images/generations")).status == 429
    assert (await door.ask("POST", CHAT, headers=LARGE)).status == 429

    async def never() -> Any:
        raise AssertionError("the body was read")

    async def gateway(scope: Any, receive: Any, send: Any) -> None:
        await door.gateway(scope, never, send)

    assert (await Client(gateway, "POST", CHAT, headers=AUTHORIZED).send()).status == 429


async def test_a_refusal_speaks_the_dialect_of_its_route(door: Any) -> None:
    door.limit(requests=1)
    await post(door)
    answered = await door.ask("POST", "/v1/messages")
    assert answered.status == 429 and error(answered)["type"] == "rate_limit_error"
    assert answered.headers["retry-after"] == "60"


@pytest.mark.parametrize("declared", [True, False])
async def test_a_request_that_can_never_fit(door: Any, declared: bool) -> None:
    door.limit(tokens=100, requests=10)
    ask = post(door, b"x" * 404) if declared else door.ask("POST", CHAT, parts=[b"x" * 202] * 2)
    answered = await ask
    assert answered.status == 429 and "never fit" in error(answered)["message"]
    assert answered.headers["x-should-retry"] == "false" and "retry-after" not in answered.headers
    assert answered.headers["x-ratelimit-remaining-requests"] == "10"
    assert tokens_left(answered) == 100 and door.service.seen == []


async def test_a_large_body_that_is_refused_leaves_no_file(door: Any) -> None:
    door.limit(tokens=100)
    assert (await door.ask("POST", CHAT, parts=[b"x" * 90_000] * 10)).status == 429
    assert [path for path in door.folder.rglob("*") if path.is_file()] == []


async def test_concurrent_requests_beyond_the_limit_are_refused(door: Any) -> None:
    door.limit(concurrency=2)
    running = [asyncio.create_task(door.ask("POST", CHAT + "?wait")) for _ in range(2)]
    await until(lambda: len(door.service.seen) == 2)
    refused = await door.ask("GET", "/v1/models")
    assert refused.status == 429 and "2 concurrent requests" in error(refused)["message"]
    assert (refused.headers["retry-after"], refused.headers["retry-after-ms"]) == ("1", "1000")
    door.service.released.set()
    assert [(await each).status for each in running] == [200, 200]
    assert (await door.ask("GET", "/v1/models")).status == 200


async def test_many_at_once_are_let_in_exactly_up_to_the_limit(door: Any) -> None:
    door.limit(concurrency=7)
    running = [asyncio.create_task(door.ask("POST", CHAT + "?wait")) for _ in range(100)]
    await until(lambda: sum(each.done() for each in running) == 93 and len(door.service.seen) == 7)
    door.service.released.set()
    assert sorted([(await each).status for each in running]) == [200] * 7 + [429] * 93


# Nothing stays taken


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        (CHAT, {}, 200),
        (CHAT + "?refuse", {}, 429),
        (CHAT + "?cut_stream", {}, 200),
        (CHAT, {"headers": LARGE}, 413),
        (CHAT, {"parts": [b"x" * 110_000] * 10}, 413),
        ("/v1/images/generations", {}, 404),
    ],
)
async def test_a_request_that_has_ended_makes_room(
    door: Any, path: str, more: dict[str, Any], status: int
) -> None:
    door.limit(concurrency=1)
    for _ in range(3):
        assert (await door.ask("POST", path, **more)).status == status
    assert (await door.ask("GET", "/v1/models")).status == 200


async def test_a_client_that_leaves_makes_room(door: Any) -> None:
    door.limit(concurrency=1)
    async with streaming(door):
        assert (await door.ask("GET", "/v1/models")).status == 429
    await leave_while_sending(door)
    assert (await door.ask("GET", "/v1/models")).status == 200


async def test_an_answer_that_is_cut_makes_room(door: Any) -> None:
    door.limit(concurrency=1)
    for _ in range(2):
        with pytest.raises(AnswerCut):
            await door.ask("POST", CHAT + "?cut_json")
    assert (await door.ask("GET", "/v1/models")).status == 200


# What tokens come to in the end


async def test_stated_usage_takes_the_place_of_the_reservation(door: Any) -> None:
    door.limit(tokens=1000)
    door.service.usage = Summary(prompt_tokens=30, completion_tokens=12)
    assert tokens_left(await post(door, b"x" * 400)) == 900
    assert tokens_left(await post(door, b"x" * 4)) == 1000 - 42 - 1
    door.service.usage = Summary(prompt_tokens=3000, completion_tokens=12)
    await post(door, b"x" * 4)
    refused = await post(door, b"x" * 4)
    assert refused.status == 429 and tokens_left(refused) == 0
    assert "tokens per minute" in error(refused)["message"]
    assert (await door.ask("GET", "/v1/models")).status == 200


@pytest.mark.parametrize("query", ["", "?refuse"])
async def test_what_used_no_tokens_gives_its_reservation_back(door: Any, query: str) -> None:
    door.limit(tokens=1000)
    await post(door, b"x" * 2000, query)
    assert tokens_left(await door.ask("GET", "/v1/models")) == 1000


async def test_who_never_came_to_ask_gives_the_reservation_back(door: Any) -> None:
    door.limit(tokens=1_000_000)
    await leave_while_sending(door)
    await door.ask("POST", CHAT, headers=LARGE)
    await door.ask("POST", "/v1/images/generations", headers={**AUTHORIZED, "content-length": "400"})
    assert tokens_left(await door.ask("GET", "/v1/models")) == 1_000_000


async def test_an_answer_that_broke_off_costs_what_was_reserved_and_a_token_per_event(door: Any) -> None:
    door.limit(tokens=1000)
    await post(door, b"x" * 400, "?cut_stream")  # one event came
    assert tokens_left(await door.ask("GET", "/v1/models")) == 899
    async with streaming(door, b"x" * 400):
        pass
    assert tokens_left(await door.ask("GET", "/v1/models")) == 798


async def test_a_client_that_leaves_before_the_answer_is_taken_for_what_was_reserved(door: Any) -> None:
    door.limit(tokens=1000)
    client = door.client("POST", CHAT + "?wait", parts=[b"x" * 400])
    running = asyncio.create_task(client.send())
    await until(lambda: door.service.seen)
    client.leave()
    await running
    assert tokens_left(await door.ask("GET", "/v1/models")) == 900


# Where limits come from


async def test_limits_come_with_the_key_and_go_with_it(door: Any) -> None:
    consumer = ControlConsumer(door.keys, door.limiter)
    record = ApiKey(id="key_1", tenant_id="t", sha256=door.digest, rpm=2, tpm=1000, concurrency=1)

    async def announce(key: ApiKey | None) -> None:
        message = None if key is None else ControlChanged(key="key/key_1", api_key=key)
        await consumer.apply(StateChange("key/key_1", message))

    await announce(record)
    assert len(rates(await door.ask("GET", "/v1/models"))) == 6
    record.rpm = 100
    record.ClearField("tpm")
    await announce(record)
    changed = rates(await door.ask("GET", "/v1/models"))
    assert changed["x-ratelimit-remaining-requests"] == "98" and len(changed) == 3
    assert len(door.limiter) == 1
    await announce(None)
    assert (await door.ask("GET", "/v1/models")).status == 401
    assert len(door.limiter) == 0
