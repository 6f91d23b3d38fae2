"""Streams that can be resumed, at the public door: what passes in and out, and who is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hive_relay.stream_id import StreamId, tag_of
from hive_runtime.errors import HiveError, Kind

KEY = "sk-hive-" + "k" * 43
STREAM = StreamId("req_1", tag_of("routing-0"), "0123abcd")
LOST = StreamId("req_1", tag_of("routing-9"), "0123abcd")
EVENTS = [(b"content-type", b"text/event-stream"), (b"x-hive-request-id", str(STREAM).encode())]


def headers(**more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEY}", **{name.replace("_", "-"): each for name, each in more.items()}}


async def ask(door: Any, path: str = "/v1/chat/completions", method: str = "POST", **more: str) -> Any:
    return await door.ask(method, path, headers=headers(**more))


async def test_the_service_hears_what_is_asked_for(door: Any) -> None:
    await ask(door)  # whoever has answered once is known
    await ask(door, x_hive_resume="60")
    await ask(door, last_event_id=f"{STREAM}:3")
    _, begun, resumed = door.service.seen
    assert begun["headers"] == {"x-hive-resume": "60"}
    assert resumed["headers"] == {"last-event-id": f"{STREAM}:3"}


async def test_the_id_of_a_stream_goes_to_the_client(door: Any) -> None:
    async def stream(send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
        await send({"type": "http.response.body", "body": b"data: 1\n\n"})

    door.service.do_stream = stream
    answered = await ask(door, "/v1/chat/completions?stream")
    assert answered.headers["x-hive-request-id"] == str(STREAM)
    assert answered.headers["x-request-id"] == answered.headers["request-id"] != str(STREAM)
    (line,) = await door.lines(1)
    assert line.request_id == answered.headers["x-request-id"]


async def test_a_stream_whose_process_is_gone(door: Any) -> None:
    answered = await ask(door, last_event_id=f"{LOST}:3")
    error = json.loads(answered.body)["error"]
    assert answered.status == 502 and answered.headers["x-should-retry"] == "false"
    assert (error["reason"], error["param"]) == ("stream_lost", "Last-Event-ID")
    assert door.service.seen == []


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("GET", "/v1/models", f"{LOST}:3"),
        ("POST", "/v1/chat/completions", "17"),
        ("POST", "/v1/chat/completions", "req_1:17"),
    ],
)
async def test_any_process_answers_what_names_none(door: Any, method: str, path: str, told: str) -> None:
    answered = await ask(door, path, method, last_event_id=told)
    assert answered.status == 200 and door.service.seen[0]["headers"] == {"last-event-id": told}


async def test_an_error_is_numbered_behind_what_the_client_had(door: Any) -> None:
    async def broken(send: Any) -> None:
        resumed = [*EVENTS, (b"x-hive-resumed", b"7")]
        await send({"type": "http.response.start", "status": 200, "headers": resumed})
        await send({"type": "http.response.body", "body": b"data: 8\n\n", "more_body": True})
        raise HiveError(Kind.UPSTREAM_FAILED, "cut")

    door.service.do_broken = broken
    answered = await ask(door, "/v1/responses?broken")
    last = answered.body.rstrip().rpartition(b"data: ")[2]
    assert json.loads(last)["sequence_number"] == 8
