"""Clients that are slow or leave, and bodies that break off."""

from __future__ import annotations

import asyncio
import socket
import struct

from structlog.testing import capture_logs

from hive_host.protocol import Limits
from hive_relay.asgi import Message, Receive, Scope, Send
from libs.host.tests.listening import (
    CHUNKED,
    HEAD,
    Echo,
    answer,
    begin,
    both_loops,
    chunk,
    client,
    listening,
    request,
    until,
    whole_body,
)


@both_loops
async def test_a_body_that_the_app_does_not_read_stays_with_the_client() -> None:
    full, sizes = asyncio.Event(), []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await full.wait()
        while (message := await receive())["type"] == "http.request":
            sizes.append(len(message["body"]))

    async with listening(app) as listener, client(listener) as c:
        await c.send(HEAD + b"Content-Length: 900000000\r\n\r\n")
        for _ in range(200):
            sending = asyncio.ensure_future(c.send(bytes(1_000_000)))
            if not (await asyncio.wait([sending], timeout=0.2))[0]:
                break
        assert not sending.done()
        full.set()
        await sending
    assert max(sizes) < 500_000


@both_loops
async def test_send_waits_for_a_slow_client_and_gives_up_on_one_that_reads_nothing() -> None:
    sent = 0
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await whole_body(receive)
        departure = asyncio.ensure_future(receive())
        await begin(send)
        while sent < 50_000_000:
            await chunk(send, bytes(100_000))
            await asyncio.sleep(0)  # where the connection was cut, `receive` returns now
            if departure.done():
                break
            sent += 100_000
        heard.append(await departure)

    limits = Limits(write_idle_seconds=0.3)
    async with listening(app, limits) as listener, client(listener, read_buffer=4096) as c:
        await c.send(request())
        await until(lambda: bool(heard), "the app ended")
        await until(lambda: listener.connections == 0, "the connection was cut")
    assert 0 < sent < 5_000_000
    assert heard == [{"type": "http.disconnect"}]


@both_loops
async def test_a_body_that_breaks_while_the_answer_is_under_way_ends_the_connection() -> None:
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send)
        await chunk(send, bytes(10_000_000))
        await chunk(send, b"more")
        heard.append(await receive())

    limits = Limits(body_idle_seconds=0.1, write_idle_seconds=0.5)
    async with listening(app, limits) as listener, client(listener, read_buffer=4096) as c:
        await c.send(CHUNKED)
        await c.reader.readexactly(100)
        await c.send(b"zz\r\n")
        await until(lambda: listener.connections == 0, "the connection is cut")
        await until(lambda: bool(heard), "the app ended")
    assert heard == [{"type": "http.disconnect"}]


@both_loops
async def test_a_waiting_app_hears_of_the_client_s_departure() -> None:
    echo = Echo()
    async with listening(echo) as listener:
        async with client(listener) as c:
            await c.send(HEAD + b"Content-Length: 10\r\n\r\nabc")
            await until(lambda: bool(echo.scopes), "the app runs")
        await until(lambda: bool(echo.heard), "the app heard of it")
    assert echo.heard == ["/first broken off"]


@both_loops
async def test_a_streaming_app_hears_of_the_client_s_departure_and_sends_in_vain() -> None:
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await whole_body(receive)
        departure = asyncio.ensure_future(receive())
        await begin(send)
        while not departure.done():
            await chunk(send, b"data: x\n\n")
            await asyncio.sleep(0.005)
        heard.append(departure.result())
        for _ in range(10):
            await chunk(send, b"data: x\n\n")
        heard.append(await receive())

    with capture_logs() as logs:
        async with listening(app) as listener:
            async with client(listener) as c:
                await c.send(request())
                await c.reader.readuntil(b"data: x")
            await until(lambda: len(heard) == 2, "the app heard of it")
    assert heard == [{"type": "http.disconnect"}] * 2
    assert logs == []


@both_loops
async def test_departure_is_heard_of_while_the_next_requests_wait() -> None:
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await whole_body(receive)
        heard.append(await receive())

    async with listening(app) as listener:
        async with client(listener) as c:
            await c.send(request("/one") + request("/two") + request("/three"))
            await until(lambda: listener.connections == 1, "it is connected")
        await until(lambda: bool(heard), "the app heard of it")
    assert heard == [{"type": "http.disconnect"}]


@both_loops
async def test_the_next_request_does_not_run_for_a_client_that_has_left() -> None:
    heard = []
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(scope["path"])
        await go_on.wait()
        await answer(send, b"too late")

    async with listening(app) as listener:
        async with client(listener) as c:
            reset = struct.pack("ii", 1, 0)
            c.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            await c.send(request("/one") + request("/two"))
            await until(lambda: bool(heard), "the first one runs")
            c.writer.transport.abort()
            go_on.set()
        await until(lambda: listener.connections == 0, "the client has left")
    assert heard == ["/one"]
