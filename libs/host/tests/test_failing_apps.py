"""What a client gets of an app that fails."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from hive_relay.asgi import App, Receive, Scope, Send
from libs.host.tests.listening import (
    HEAD,
    SMUGGLED,
    begin,
    both_loops,
    chunk,
    client,
    failures,
    listening,
    request,
    until,
    whole_body,
)


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("the secret inside")


async def fails_after_the_head(scope: Scope, receive: Receive, send: Send) -> None:
    await begin(send)
    raise ValueError("the secret inside")


async def says_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()


async def splits_the_answer(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"location", b"/\r\nset-cookie: a=b")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await chunk(send, b"", more=False)


async def splits_one_of_two(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"x-a", b"/\r\nset-cookie: a=b"), (b"x-a", b"b")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await chunk(send, b"", more=False)


async def names_no_header(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x a", b"b")]})
    await chunk(send, b"", more=False)


async def is_out_of_order(scope: Scope, receive: Receive, send: Send) -> None:
    await chunk(send, b"too early")


async def says_more_than_announced(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-length", b"3")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await chunk(send, b"too long", more=False)


@pytest.mark.parametrize(
    "app",
    [
        fails,
        fails_after_the_head,
        says_nothing,
        splits_the_answer,
        splits_one_of_two,
        names_no_header,
        is_out_of_order,
        says_more_than_announced,
    ],
)
@both_loops
async def test_what_escapes_the_app_is_a_500_that_tells_nothing_and_one_log_line(app: App) -> None:
    with capture_logs() as logs:
        async with listening(app) as listener, client(listener) as c:
            await c.send(request("/a") + SMUGGLED)
            answer = await c.answer()
            assert (answer.status, answer.error["type"]) == (500, "server_error")
            assert b"secret" not in answer.body
            assert await c.closed()
    assert len(failures(logs)) == 1
    assert failures(logs)[0]["path"] == "/a"


@both_loops
async def test_a_failed_head_request_gets_the_headers_only() -> None:
    with capture_logs():
        async with listening(fails) as listener, client(listener) as c:
            await c.send(request(method="HEAD"))
            assert (await c.reader.read()).endswith(b"connection: close\r\n\r\n")


@both_loops
async def test_what_fails_after_the_client_s_departure_is_no_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if (await whole_body(receive))[1]:
            raise ConnectionError("the client has left")

    with capture_logs() as logs:
        async with listening(app) as listener:
            async with client(listener) as c:
                await c.send(HEAD + b"Content-Length: 10\r\n\r\nabc")
                await until(lambda: listener.connections == 1, "it is connected")
            await until(lambda: bool(logs), "the app has failed")
    assert [entry["log_level"] for entry in logs] == ["info"]


@both_loops
async def test_an_answer_that_fails_on_its_way_is_cut_off() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send)
        await chunk(send, b"half")
        raise ValueError("the secret inside")

    with capture_logs() as logs:
        async with listening(app) as listener, client(listener) as c:
            await c.send(request() + SMUGGLED)
            assert (await c.reader.read()).endswith(b"\r\n\r\n4\r\nhalf\r\n")
    assert len(failures(logs)) == 1
