"""What a listener refuses: heads and bodies that are malformed, too large or too many, and nothing behind them runs."""

from __future__ import annotations

import asyncio

import pytest

from hive_host.protocol import Limits
from hive_relay.asgi import Receive, Scope, Send
from libs.host.tests.listening import (
    CHUNKED,
    CLOSE,
    HEAD,
    SMUGGLED,
    Echo,
    begin,
    both_loops,
    chunk,
    client,
    listening,
    request,
    until,
)

MALFORMED = {
    "length and chunked": HEAD + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 0\r\nContent-Length: 40\r\n\r\n",
    "the same length twice": HEAD + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a list of lengths": HEAD + b"Content-Length: 0, 0\r\n\r\n",
    "a signed length": HEAD + b"Content-Length: +0\r\n\r\n",
    "a hexadecimal length": HEAD + b"Content-Length: 0x0\r\n\r\n",
    "an empty length": HEAD + b"Content-Length:\r\n\r\n",
    "an endless length": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "gzip, chunked": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, chunked": HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "xchunked": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "quoted chunked": HEAD + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "chunked after a control": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "identity": HEAD + b"Transfer-Encoding: identity\r\n\r\n",
    "chunked in 1.0": b"POST /first HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded line": HEAD + b"A: b\r\n c\r\n\r\n",
    "a folded encoding": HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a folded first line": b"POST /first HTTP/1.1\r\n Host: a\r\n\r\n",
    "space before the colon": HEAD + b"Content-Length : 0\r\n\r\n",
    "tab before the colon": HEAD + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "no colon": HEAD + b"Abc\r\n\r\n",
    "no name": HEAD + b": b\r\n\r\n",
    "bare LF in all lines": b"POST /first HTTP/1.1\nHost: a\n\n",
    "bare LF in one line": HEAD + b"A: b\nContent-Length: 0\r\n\r\n",
    "bare LF at the end": HEAD + b"\n",
    "bare CR in a value": HEAD + b"A: b\rContent-Length: 0\r\n\r\n",
    "CR CR LF": HEAD + b"A: b\r\r\n\r\n",
    "NUL in a value": HEAD + b"A: b\0c\r\n\r\n",
    "control in a value": HEAD + b"A: b\x01c\r\n\r\n",
    "NUL in a name": HEAD + b"A\0: b\r\n\r\n",
    "parenthesis in a name": HEAD + b"A(: b\r\n\r\n",
    "high byte in a name": HEAD + b"A\xff: b\r\n\r\n",
    "no host": b"POST /first HTTP/1.1\r\n\r\n",
    "two hosts": HEAD + b"Host: b\r\n\r\n",
    "two hosts and an offer of h2c": HEAD + b"Host: b\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "version 2.0": b"GET /first HTTP/2.0\r\nHost: a\r\n\r\n",
    "version 0.9": b"GET /first HTTP/0.9\r\nHost: a\r\n\r\n",
    "version 1.2": b"GET /first HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "lower-case protocol": b"GET /first http/1.1\r\nHost: a\r\n\r\n",
    "unknown method": b"STEAL /first HTTP/1.1\r\nHost: a\r\n\r\n",
    "lower-case method": b"get /first HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute target": b"GET http://evil/first HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT evil:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "fragment": b"GET /first#a HTTP/1.1\r\nHost: a\r\n\r\n",
    "space in the target": b"GET /first a HTTP/1.1\r\nHost: a\r\n\r\n",
    "NUL in the target": b"GET /first\0 HTTP/1.1\r\nHost: a\r\n\r\n",
    "high byte in the target": b"GET /first\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "proxy protocol": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
}

MALFORMED_BODIES = {
    "no size": CHUNKED + b"zz\r\n",
    "hexadecimal prefix": CHUNKED + b"0x0\r\n\r\n",
    "negative size": CHUNKED + b"-1\r\n",
    "huge size": CHUNKED + b"fffffffffffffffff\r\n",
    "empty size": CHUNKED + b"\r\n",
    "space after the size": CHUNKED + b"0 \r\n\r\n",
    "LF after the size": CHUNKED + b"5\nabcde\r\n0\r\n\r\n",
    "CR after the size": CHUNKED + b"5\rXabcde\r\n0\r\n\r\n",
    "LF after an extension": CHUNKED + b"5;a=b\nabcde\r\n0\r\n\r\n",
    "LF in a quoted extension": CHUNKED + b'5;a="\n"\r\nabcde\r\n0\r\n\r\n',
    "LF after the data": CHUNKED + b"5\r\nabcde\n0\r\n\r\n",
    "more data than said": CHUNKED + b"5\r\nabcdefg\r\n0\r\n\r\n",
    "LF at the end": CHUNKED + b"0\r\n\n",
    "a length among the trailers": CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n",
    "chunked among the trailers": CHUNKED + b"0\r\nTransfer-Encoding: gzip\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
@both_loops
async def test_a_malformed_head_is_refused_and_nothing_behind_it_runs(name: str) -> None:
    echo = Echo()
    async with listening(echo) as listener, client(listener) as c:
        await c.send(request("/before") + MALFORMED[name] + SMUGGLED * 3)
        assert (await c.answer()).body == b"POST /before "
        answer = await c.answer()
        assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
        assert await c.closed()
    assert echo.heard == ["/before"]


@pytest.mark.parametrize("name", MALFORMED_BODIES)
@both_loops
async def test_a_malformed_body_is_refused_and_nothing_behind_it_runs(name: str) -> None:
    echo = Echo()
    async with listening(echo) as listener, client(listener) as c:
        await c.send(MALFORMED_BODIES[name] + SMUGGLED * 3)
        answer = await c.answer()
        assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
        assert await c.closed()
        await until(lambda: bool(echo.heard), "the app heard of the broken request")
    assert echo.heard == ["/first broken off"]


@both_loops
async def test_nothing_runs_behind_the_last_request_of_a_connection() -> None:
    echo = Echo()
    async with listening(echo) as listener, client(listener) as c:
        await c.send(request("/last", more=CLOSE) + SMUGGLED * 3)
        assert (await c.answer()).headers["connection"] == "close"
        assert await c.closed()
    assert echo.heard == ["/last"]


@both_loops
async def test_nothing_runs_behind_an_answer_that_closes_the_connection() -> None:
    heard = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(scope["path"])
        headers = [(b"connection", b"close"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    async with listening(app) as listener, client(listener) as c:
        await c.send(request("/last") + SMUGGLED * 3)
        assert (await c.answer()).body == b"ok"
        assert await c.closed()
    assert heard == ["/last"]


@both_loops
async def test_a_refusal_waits_for_the_answer_that_is_under_way() -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send)
        await chunk(send, b"one ")
        await go_on.wait()
        await chunk(send, b"two", more=False)

    async with listening(app) as listener, client(listener) as c:
        await c.send(request("/stream"))
        assert b"one" in await c.reader.readuntil(b"one \r\n")
        await c.send(b"\0\0\0" + SMUGGLED)
        go_on.set()
        assert await c.reader.readuntil(b"0\r\n\r\n") == b"3\r\ntwo\r\n0\r\n\r\n"
        assert (await c.answer()).status == 400
        assert await c.closed()


@both_loops
async def test_more_pipelined_requests_than_allowed_are_refused_after_the_others() -> None:
    echo = Echo()
    async with listening(echo, Limits(pipelined=4)) as listener, client(listener) as c:
        await c.send(b"".join(request(f"/{n}") for n in range(50)))
        statuses = [(await c.answer()).status for _ in range(6)]
        assert await c.closed()
    assert statuses == [200, 200, 200, 200, 200, 400]
    assert echo.heard == ["/0", "/1", "/2", "/3", "/4"]


SMALL = Limits(target_bytes=100, head_bytes=1000, header_fields=10)
TOO_LARGE = {
    "target": b"GET /" + b"a" * 100 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "endless target": b"GET /" + b"a" * 300_000,
    "one field": HEAD + b"A: " + b"b" * 1000 + b"\r\n\r\n",
    "endless field": HEAD + b"A: " + b"b" * 600_000,
    "endless name": HEAD + b"A" * 600_000,
    "many bytes": HEAD + (b"A: " + b"b" * 195 + b"\r\n") * 6 + b"\r\n",
    "many fields": HEAD + b"A: b\r\n" * 10 + b"\r\n",
    "endless fields": HEAD + b"A: b\r\n" * 100_000,
    "blank lines": b"\r\n" * 300_000,
    "many trailers": CHUNKED + b"0\r\n" + b"A: b\r\n" * 10 + b"\r\n",
    "endless trailer": CHUNKED + b"0\r\nA: " + b"b" * 600_000,
    "endless extension": CHUNKED + b"1;" + b"a" * 600_000,
}


@pytest.mark.parametrize("name", TOO_LARGE)
@both_loops
async def test_what_is_too_large_is_refused_with_431(name: str) -> None:
    echo = Echo()
    async with listening(echo, SMALL) as listener, client(listener) as c:
        await c.send(TOO_LARGE[name])
        answer = await c.answer()
        assert (answer.status, answer.error["type"]) == (431, "invalid_request_error")
        assert await c.closed()
    assert echo.heard in ([], ["/first broken off"])


@both_loops
async def test_a_head_as_large_as_allowed_is_served_even_byte_by_byte() -> None:
    async with listening(Echo(), SMALL) as listener, client(listener) as c:
        head = b"GET /" + b"a" * 99 + b" HTTP/1.1\r\nHost: a\r\n" + b"A: " + b"b" * 900 + b"\r\n\r\n"
        for byte in range(0, len(head), 7):
            await c.send(head[byte : byte + 7])
        assert (await c.answer()).status == 200
