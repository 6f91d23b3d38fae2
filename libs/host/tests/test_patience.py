"""How long a listener waits for a client, and what becomes of a body that the app has not read when it answers."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from hive_host.protocol import Limits
from hive_relay.asgi import Receive, Scope, Send
from libs.host.tests.listening import (
    CHUNKED,
    CLOSE,
    HASTY,
    HEAD,
    Echo,
    answer,
    both_loops,
    client,
    listening,
    request,
    until,
    whole_body,
)


@both_loops
async def test_a_connection_without_a_request_is_closed_without_a_word() -> None:
    async with listening(Echo(), HASTY) as listener, client(listener) as c, client(listener) as d:
        assert (await d.ask()).status == 200
        assert await c.closed()
        assert await d.closed()


@pytest.mark.parametrize("part", [b"G", b"POST / HTTP/1.1\r\nHost: a\r\nA: b", HEAD])
@both_loops
async def test_half_a_head_is_answered_with_408(part: bytes) -> None:
    async with listening(Echo(), HASTY) as listener, client(listener) as c:
        assert (await c.ask()).status == 200
        await c.send(part)
        answer = await c.answer()
        assert (answer.status, answer.error["type"]) == (408, "timeout_error")
        assert await c.closed()


@pytest.mark.parametrize("start", [HEAD + b"Content-Length: 1000\r\n\r\nabc", CHUNKED + b"5\r\nabc"])
@both_loops
async def test_a_body_that_stops_is_answered_with_408_and_the_app_hears_of_it(start: bytes) -> None:
    echo = Echo()
    async with listening(echo, HASTY) as listener, client(listener) as c:
        await c.send(start)
        answer = await c.answer()
        assert (answer.status, answer.error["type"]) == (408, "timeout_error")
        assert await c.closed()
        await until(lambda: bool(echo.heard), "the app heard of the broken request")
    assert echo.heard == ["/first broken off"]


@pytest.mark.parametrize("drop", [b"a", b"1\r\na\r\n"])
@both_loops
async def test_a_body_that_drips_for_ever_is_answered_with_408(drop: bytes) -> None:
    length = CHUNKED if drop[:1] == b"1" else HEAD + b"Content-Length: 100000\r\n\r\n"
    async with (
        listening(Echo(), Limits(body_seconds=0.4, body_rate=10**6)) as listener,
        client(listener) as c,
    ):
        await c.send(length)
        waiting = asyncio.ensure_future(c.answer())
        for _ in range(500):
            await c.send(drop)
            if (await asyncio.wait([waiting], timeout=0.02))[0]:
                break
        assert (await waiting).status == 408


@both_loops
async def test_a_client_is_not_blamed_while_the_app_does_not_read() -> None:
    time_passed = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await time_passed.wait()
        body, _ = await whole_body(receive)
        await answer(send, str(len(body)).encode())

    size = 30_000_000
    limits = Limits(idle_seconds=0.8, body_idle_seconds=0.2, body_seconds=0.5)
    async with listening(app, limits) as listener, client(listener) as c, client(listener) as idle:
        await c.send(HEAD + f"Content-Length: {size}\r\n\r\n".encode())
        sending = asyncio.ensure_future(c.send(bytes(size)))
        assert await idle.closed()
        time_passed.set()
        assert (await c.answer()).body == str(size).encode()
        await sending


@both_loops
async def test_a_client_that_waits_for_100_continue_is_not_blamed() -> None:
    time_passed = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await time_passed.wait()
        await answer(send, (await whole_body(receive))[0])

    limits = Limits(idle_seconds=0.8, body_idle_seconds=0.2)
    async with listening(app, limits) as listener, client(listener) as c, client(listener) as idle:
        await c.send(HEAD + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert await idle.closed()
        time_passed.set()
        assert b"100 Continue" in await c.reader.readuntil(b"\r\n\r\n")
        await c.send(b"abc")
        assert (await c.answer()).body == b"abc"


@both_loops
async def test_a_slow_app_is_waited_for() -> None:
    time_passed = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await time_passed.wait()
        await answer(send, b"late")

    async with listening(app, HASTY) as listener, client(listener) as c, client(listener) as idle:
        await c.send(request())
        assert await idle.closed()
        time_passed.set()
        assert (await c.answer()).body == b"late"


# Answers before the body was read


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, b"no", 413)
    assert (await receive())["type"] == "http.disconnect"


@both_loops
async def test_an_early_answer_can_be_read_by_a_client_that_sends_everything_first() -> None:
    size = 20_000_000
    async with listening(refuse) as listener, client(listener) as c:
        await c.send(HEAD + f"Content-Length: {size}\r\n\r\n".encode())
        await c.send(bytes(size))
        assert (await c.answer()).body == b"no"
        assert (await c.ask("/the connection is still good".replace(" ", "-"))).status == 413


@pytest.mark.parametrize("more", [b"", CLOSE])
@both_loops
async def test_the_rest_of_an_answered_request_is_read_up_to_a_bound(more: bytes) -> None:
    limits = Limits(linger_bytes=100_000, linger_seconds=60)
    async with listening(refuse, limits) as listener, client(listener) as c:
        await c.send(HEAD + more + b"Content-Length: 900000000\r\n\r\n")
        assert (await c.answer()).body == b"no"
        for _ in range(1000):
            await c.send(bytes(100_000))
            if c.writer.transport.is_closing():
                break
        else:
            raise AssertionError("the listener has read a hundred megabytes")
        assert await c.closed()


@pytest.mark.parametrize("more", [b"", CLOSE])
@both_loops
async def test_the_rest_of_an_answered_request_is_waited_for_up_to_a_bound(more: bytes) -> None:
    async with listening(refuse, Limits(linger_seconds=0.2)) as listener, client(listener) as c:
        await c.send(HEAD + more + b"Content-Length: 900000000\r\n\r\nabc")
        assert (await c.answer()).body == b"no"
        assert await c.closed()
        await until(lambda: listener.connections == 0, "the connection is closed")


@both_loops
async def test_the_connection_ends_where_the_body_was_neither_asked_for_nor_sent() -> None:
    with capture_logs() as logs:
        async with listening(refuse) as listener, client(listener) as c:
            await c.send(HEAD + b"Content-Length: 50\r\nExpect: 100-continue\r\n\r\n")
            assert (await c.answer()).headers["connection"] == "close"
            assert await c.closed()
    assert logs == []


@pytest.mark.parametrize("start", [HEAD + CLOSE, HEAD + b"A : b\r\n", request(more=CLOSE)])
@both_loops
async def test_the_last_answer_of_a_connection_can_be_read_by_a_client_that_goes_on_sending(
    start: bytes,
) -> None:
    async with listening(refuse) as listener, client(listener) as c:
        c.writer.write(start + b"Content-Length: 20000000\r\n\r\n" + bytes(20_000_000))
        await c.writer.drain()
        assert (await c.answer()).status in (400, 413)
        assert await c.closed()
