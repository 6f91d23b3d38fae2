"""The promises of `Listener`, seen through sockets: on uvloop, which serves, and on asyncio's own loop."""

from __future__ import annotations

import asyncio

import httpx2

from hive_relay import asgi
from hive_relay.asgi import Receive, Scope, Send
from libs.host.tests.listening import (
    CHUNKED,
    HEAD,
    SMUGGLED,
    Echo,
    begin,
    both_loops,
    chunk,
    client,
    listening,
    request,
)


@both_loops
async def test_requests_of_one_connection_are_answered_one_after_the_other() -> None:
    async with listening(Echo()) as listener, httpx2.AsyncClient(base_url=listener.url) as http:
        first = await http.post("/one", content=b"x" * 300_000)
        second = await http.get("/two%20words?q=1")
        assert (first.text, second.text) == ("POST /one " + "x" * 300_000, "GET /two words ")
        assert "date" in first.headers
        assert "server" not in first.headers
        assert listener.connections == 1


@both_loops
async def test_a_chunked_body_arrives_whole_and_its_trailers_are_no_headers() -> None:
    echo = Echo()
    async with listening(echo) as listener, client(listener) as c:
        await c.send(CHUNKED + b"2\r\nab\r\n3;name=value\r\ncde\r\n0\r\nAuthorization: Bearer sk-x\r\n\r\n")
        assert (await c.answer()).body == b"POST /first abcde"
        assert (await c.ask("/second")).status == 200
    assert b"authorization" not in dict(echo.scopes[0]["headers"])


@both_loops
async def test_pipelined_requests_are_answered_in_their_order() -> None:
    async with listening(Echo()) as listener, client(listener) as c:
        await c.send(b"".join(request(f"/{n}", b"b" * n) for n in range(10)))
        bodies = [(await c.answer()).body for _ in range(10)]
    assert bodies == [f"POST /{n} {'b' * n}".encode() for n in range(10)]


@both_loops
async def test_a_head_request_gets_the_headers_only() -> None:
    async with listening(Echo()) as listener, client(listener) as c:
        await c.send(request("/a", method="HEAD"))
        assert b"content-length: 8" in await c.reader.readuntil(b"\r\n\r\n")
        assert (await c.ask("/b")).body == b"POST /b "


@both_loops
async def test_the_headers_that_frame_an_answer_are_written_once() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"transfer-encoding", b"chunked"), (b"connection", b"keep-alive")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await chunk(send, b"ok", more=False)

    async with listening(app) as listener, client(listener) as c:
        await c.send(request())
        head = await c.reader.readuntil(b"\r\n\r\n")
        assert (head.count(b"transfer-encoding"), head.count(b"connection")) == (1, 0)


@both_loops
async def test_headers_are_written_in_lower_case_and_each_as_often_as_it_was_sent() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"Content-Length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await chunk(send, b"ok", more=False)

    async with listening(app) as listener, client(listener) as c:
        await c.send(request())
        head = await c.reader.readuntil(b"\r\n\r\n")
        assert head.endswith(b"\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 2\r\n\r\n")


@both_loops
async def test_headers_that_http_forbids_are_not_written_though_their_names_are_known() -> None:
    sent = [
        [(b"x-a", b"b"), (b"content-length", b"2")],
        [(b"X-A", b"b"), (b"x-a", b"c"), (b"connection", b"keep-alive"), (b"content-length", b"2")],
        [(b"x-a", b"b\r\nx-c: d"), (b"content-length", b"2")],
        [(b"x-a", b"b"), (b"x a", b"b"), (b"content-length", b"2")],
    ]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": sent.pop(0)})
        await chunk(send, b"ok", more=False)

    async with listening(app) as listener:
        heads = []
        for _ in range(4):
            async with client(listener) as c:
                await c.send(request())
                heads.append(await c.reader.readuntil(b"\r\n\r\n"))
    assert heads[0].endswith(b"\r\nx-a: b\r\ncontent-length: 2\r\n\r\n")
    assert heads[1].endswith(b"\r\nx-a: b\r\nx-a: c\r\ncontent-length: 2\r\n\r\n")
    assert all(head.startswith(b"HTTP/1.1 500 ") and b"x-c" not in head for head in heads[2:])


@both_loops
async def test_an_app_may_take_a_body_and_answer_without_waiting() -> None:
    bodies: list[bytes | None] = []
    waits = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal waits
        at_hand: asgi.Client = scope["hive.client"]
        bodies.append(at_hand.whole_body())
        if bodies[-1] is None:
            bodies.append((await receive())["body"])
        at_hand.start(200, [(b"x-a", b"b")])
        for number in range(200):
            if at_hand.is_full:
                await at_hand.room()
            full = at_hand.write(b"%d" % (number % 10) * 10_000, number < 199)
            assert full is (at_hand.is_full and number < 199)
            waits += full

    async with listening(app) as listener, client(listener) as c:
        await c.send(request("/first", b"whole"))
        answer = await c.answer()
        assert answer.headers["x-a"] == "b"
        assert answer.body == b"".join(b"%d" % (number % 10) * 10_000 for number in range(200))
        first, rest = request("/second", b"in parts")[:-5], request("/second", b"in parts")[-5:]
        await c.send(first)
        while len(bodies) < 2:
            await asyncio.sleep(0.001)
        await c.send(rest)
        assert (await c.answer()).status == 200
    assert waits > 0
    assert bodies[:2] == [b"whole", None] and bodies[2] in (b"in ", b"in parts")


@both_loops
async def test_a_stream_to_an_http_1_0_client_ends_with_the_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send)
        await chunk(send, b"one ")
        await chunk(send, b"two", more=False)

    async with listening(app) as listener, client(listener) as c:
        await c.send(b"GET / HTTP/1.0\r\n\r\n" + SMUGGLED)
        answer = await c.answer()
        assert answer.body == b"one two"
        assert "transfer-encoding" not in answer.headers


@both_loops
async def test_the_body_is_asked_for_with_100_continue_once_the_app_wants_it() -> None:
    async with listening(Echo()) as listener, client(listener) as c:
        await c.send(HEAD + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert await c.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await c.send(b"abc")
        assert (await c.answer()).body == b"POST /first abc"
        assert (await c.ask("/again")).status == 200


@both_loops
async def test_an_offer_of_h2c_is_ignored_and_the_body_stays_a_body() -> None:
    echo = Echo()
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n"
    async with listening(echo) as listener, client(listener) as c:
        await c.send(request("/java", SMUGGLED, offer) + request("/next"))
        assert (await c.answer()).body == b"POST /java " + SMUGGLED
        assert (await c.answer()).body == b"POST /next "
    assert echo.heard == ["/java", "/next"]


@both_loops
async def test_a_websocket_is_not_found() -> None:
    echo = Echo()
    handshake = b"GET /v1/realtime HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with listening(echo) as listener, client(listener) as c:
        await c.send(handshake + SMUGGLED)
        answer = await c.answer()
        assert (answer.status, answer.error["type"]) == (404, "not_found_error")
        assert await c.closed()
    assert echo.heard == []
