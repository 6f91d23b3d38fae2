"""The promises of `Listener`, seen through sockets: on uvloop, which serves, and on asyncio's own loop."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import json
import random
import socket
import struct
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvloop
from structlog.testing import capture_logs

from hive_host.listener import CannotListen, Listener
from hive_host.protocol import Limits
from hive_relay import asgi
from hive_relay.asgi import App, Message, Receive, Scope, Send

PATIENT = Limits()
CLOSE = b"Connection: close\r\n"


def both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test on each of the two event loops."""
    own = list(inspect.signature(test).parameters.values())
    loop = inspect.Parameter("new_loop", inspect.Parameter.KEYWORD_ONLY)

    @functools.wraps(test)
    def run(new_loop: Callable[[], asyncio.AbstractEventLoop], **arguments: Any) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(30):
                await test(**arguments)

        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(bounded())

    del run.__wrapped__
    run.__signature__ = inspect.Signature([*own, loop])  # type: ignore[attr-defined]
    loops = [uvloop.new_event_loop, asyncio.new_event_loop]
    pytest.mark.parametrize("new_loop", loops, ids=["uvloop", "asyncio"])(run)
    return run


async def until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"waited in vain until {what}")


def open_sockets() -> int:
    names = []
    for file in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists the folder is gone by now
            names.append(str(file.readlink()))
    return sum(name.startswith("socket:") for name in names)


@asynccontextmanager
async def listening(app: App, limits: Limits = PATIENT) -> AsyncIterator[Listener]:
    """A listener at a free port; afterwards not a task, not a socket, not a complaint of it may be left."""
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, complaint: complaints.append(complaint))
    listener = Listener(app, "127.0.0.1", 0, limits=limits, name="public")
    await listener.start()
    try:
        yield listener
    finally:
        await listener.close()
    assert listener.connections == 0
    await until(lambda: asyncio.all_tasks() <= tasks, "no task is left")
    await until(lambda: open_sockets() <= sockets, "no socket is left")
    assert complaints == []


class Echo:
    """Answers a request with its own method, path and body, and remembers it."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        body, gone = await whole_body(receive)
        if gone:
            self.heard.append(f"{scope['path']} broken off")
            return
        self.heard.append(scope["path"])
        await answer(send, f"{scope['method']} {scope['path']} ".encode() + body)


async def whole_body(receive: Receive) -> tuple[bytes, bool]:
    """The body, and whether the client left before its end."""
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            return body, False
    return body, True


async def answer(send: Send, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def begin(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def chunk(send: Send, body: bytes, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


class Answer:
    def __init__(self, head: bytes, body: bytes) -> None:
        status_line, *lines = head.decode().split("\r\n")
        self.status = int(status_line.split()[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines if line)
        self.body = body

    @property
    def error(self) -> dict[str, Any]:
        """The error object, after a look at the form that was promised."""
        assert self.headers["content-type"] == "application/json"
        assert self.headers["connection"] == "close"
        (error,) = json.loads(self.body).values()
        assert sorted(error) == ["code", "message", "param", "type"]
        assert error["code"] == self.status
        assert error["message"]
        return dict(error)


class Client:
    """A socket that sends what it is told, and reads answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Hand over what the other side takes; it may have hung up."""
        with suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def answer(self) -> Answer:
        head = await self.reader.readuntil(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head:
            return Answer(head, b"".join([part async for part in self.chunks()]))
        if b"content-length" in head:
            size = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            return Answer(head, await self.reader.readexactly(size))
        return Answer(head, b"" if b" 100 " in head else await self.reader.read())

    async def chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self.reader.readline(), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)

    async def closed(self) -> bool:
        """Wait for the end; true where nothing came before it."""
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True

    async def ask(self, path: str = "/", body: bytes = b"", more: bytes = b"") -> Answer:
        await self.send(request(path, body, more))
        return await self.answer()


@asynccontextmanager
async def client(listener: Listener, read_buffer: int = 0) -> AsyncIterator[Client]:
    """A connection of its own; `read_buffer` makes the kernel keep little of what we do not read."""
    sock = socket.socket()
    sock.setblocking(False)
    if read_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, read_buffer)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", listener.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=read_buffer or 2**16)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


def request(path: str = "/", body: bytes = b"", more: bytes = b"", method: str = "POST") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n".encode()
    return head + more + b"\r\n" + body


SMUGGLED = request("/smuggled")
HEAD = b"POST /first HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


# What clients may rely on


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


# What is refused

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


# Time

HASTY = Limits(head_seconds=0.2, idle_seconds=0.4, body_idle_seconds=0.2)


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


# Memory, back-pressure, departures


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


# Failures of the app


def failures(logs: list[Any]) -> list[Any]:
    return [entry for entry in logs if entry["log_level"] == "error"]


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


# Bounds on connections


@both_loops
async def test_connections_above_the_limit_are_told_503_and_later_ones_are_served() -> None:
    async with listening(Echo(), Limits(connections=2)) as listener:
        async with client(listener) as a, client(listener) as b:
            assert [(await a.ask()).status, (await b.ask()).status] == [200, 200]
            async with client(listener) as c:
                await c.send(request())
                answer = await c.answer()
                assert (answer.status, answer.error["type"]) == (503, "server_error")
                assert answer.headers["retry-after"] == "1"
                assert await c.closed()
            assert (await a.ask()).status == 200
        await until(lambda: listener.connections == 0, "all have left")
        async with client(listener) as d:
            assert (await d.ask()).status == 200
            assert listener.connections == 1


HOSTILE: list[bytes] = [
    HEAD,
    b"G",
    b"",
    b"\0" * 1000,
    HEAD + b"A: b\r\n" * 50_000,
    HEAD + b"A: " + b"b" * 200_000,
    HEAD + b"Content-Length: 900000000\r\n\r\n" + bytes(200_000),
    CHUNKED + b"1\r\na\r\n" * 20_000,
    CHUNKED + b"1;" + b"a" * 200_000,
    request("/many") * 3000,
]


@both_loops
async def test_200_hostile_connections_do_not_keep_a_good_request_from_its_answer() -> None:
    async def attack(listener: Listener, data: bytes) -> None:
        async with client(listener, read_buffer=4096) as c:
            await c.send(data)
            await over.wait()

    over = asyncio.Event()
    async with listening(Echo()) as listener:
        attacks = [asyncio.ensure_future(attack(listener, HOSTILE[n % len(HOSTILE)])) for n in range(200)]
        await until(lambda: listener.connections >= 100, "the attack is under way")
        async with httpx2.AsyncClient(base_url=listener.url, timeout=10) as http:
            for n in range(20):
                assert (await http.post(f"/good/{n}", content=b"x")).text == f"POST /good/{n} x"
        over.set()
        await asyncio.gather(*attacks)


GOOD: list[bytes] = [
    request("/a"),
    request("/b", bytes(100_000)),
    CHUNKED + b"3\r\nabc\r\n0\r\nA: b\r\n\r\n",
    HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\nab",
    HEAD + b"Content-Length: 3\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nabc",
    b"GET /old HTTP/1.0\r\n\r\n",
]
SPLINTERS: list[bytes] = [b"\r\n", b"\n", b"\0", b" ", b"0\r\n\r\n", CLOSE, b"Transfer-Encoding: chunked\r\n"]


def broken(chance: random.Random) -> bytes:
    """A few good requests with a few bytes too many or too few."""
    data = bytearray(b"".join(chance.choices(GOOD, k=3)))
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(data))
        data[at : at + chance.choice([0, 0, 1, 3])] = chance.choice(SPLINTERS)
    return bytes(data)


@both_loops
async def test_whatever_is_sent_the_answers_are_whole() -> None:
    async def exchange(listener: Listener, seed: int) -> None:
        chance = random.Random(seed)
        data = broken(chance)
        async with client(listener) as c:
            while data:
                size = chance.choice([1, 10, 1000, 200_000])
                await c.send(data[:size])
                data = data[size:]
            try:
                while (answer := await c.answer()).status in (100, 200):
                    continue
                assert answer.error["code"] in (400, 408)
                assert await c.closed()
            except asyncio.IncompleteReadError as end:
                assert end.partial == b""

    async with listening(Echo(), HASTY) as listener:
        await asyncio.gather(*(exchange(listener, seed) for seed in range(150)))


# Start and end


@both_loops
async def test_a_taken_port_is_named_with_the_setting_to_change() -> None:
    async with listening(Echo()) as listener:
        for name, setting in (("public", "HIVE_PORT"), ("internal", "HIVE_INTERNAL_PORT")):
            second = Listener(Echo(), "127.0.0.1", listener.port, name=name)
            with pytest.raises(CannotListen, match=rf"127\.0\.0\.1:{listener.port}: .* {setting}\."):
                await second.start()
            await second.close()


@both_loops
async def test_an_address_of_another_machine_is_named_with_the_setting_to_change() -> None:
    with pytest.raises(CannotListen, match=r"192\.0\.2\.1:1: .*HIVE_HOST"):
        await Listener(Echo(), "192.0.2.1", 1, name="public").start()


@both_loops
async def test_closing_ends_running_calls_and_may_be_done_twice() -> None:
    ended = []
    running = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(scope["path"])

    with capture_logs() as logs:
        async with listening(app) as listener, client(listener) as c, client(listener) as d:
            await d.send(HEAD)
            await c.send(request("/hangs"))
            await running.wait()
            await listener.close()
            await listener.close()
            assert await c.closed()
            assert await d.closed()
    assert (ended, failures(logs)) == (["/hangs"], [])


@both_loops
async def test_a_stream_reaches_its_end_while_draining_and_another_listener_answers() -> None:
    draining = asyncio.Event()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send)
        for n in range(30):
            await chunk(send, f"data: {n}\n\n".encode())
            if n == 5:
                await draining.wait()
            await asyncio.sleep(0.005)
        await chunk(send, b"data: [DONE]\n\n", more=False)

    async with (
        listening(stream) as public,
        listening(Echo()) as internal,
        client(public) as c,
        client(public) as idle,
    ):
        await c.send(request("/stream"))
        await c.reader.readuntil(b"data: 5\n\n")
        drained = asyncio.ensure_future(public.drain(20))
        assert await idle.closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", public.port)
        async with httpx2.AsyncClient(base_url=internal.url) as http:
            assert (await http.get("/livez")).status_code == 200
        assert not drained.done()
        draining.set()
        assert b"data: 29\n\n" in await c.reader.readuntil(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert await c.closed()
        assert await drained is True


@both_loops
async def test_a_request_that_is_being_sent_while_draining_is_served_and_no_other() -> None:
    echo = Echo()
    limits = Limits(linger_seconds=0.2)
    async with (
        listening(echo, limits) as listener,
        client(listener) as c,
        client(listener) as d,
        client(listener) as idle,
    ):
        await d.send(HEAD)
        await c.send(HEAD + b"Content-Length: 6\r\n\r\nabc")
        await until(lambda: bool(echo.scopes), "the later of the two is running")
        drained = asyncio.ensure_future(listener.drain(20))
        assert await idle.closed()
        await c.send(b"def" + SMUGGLED)
        answer = await c.answer()
        assert (answer.body, answer.headers["connection"]) == (b"POST /first abcdef", "close")
        assert await c.closed()
        await d.send(b"\r\n" + SMUGGLED)
        assert (await d.answer()).status == 200
        assert await d.closed()
        assert await drained is True
    assert echo.heard == ["/first", "/first"]


@both_loops
async def test_nothing_runs_behind_the_rest_of_an_answered_request_while_draining() -> None:
    heard = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(scope["path"])
        await answer(send, b"no", 413)

    async with listening(app) as listener, client(listener) as c, client(listener) as idle:
        await c.send(HEAD + b"Content-Length: 6\r\n\r\nabc")
        assert (await c.answer()).status == 413
        drained = asyncio.ensure_future(listener.drain(20))
        assert await idle.closed()
        await c.send(b"def" + SMUGGLED)
        assert await c.closed()
        assert await drained is True
    assert heard == ["/first"]


@both_loops
async def test_what_answered_a_request_is_not_left_to_the_garbage_collector() -> None:
    class Visit:
        def __init__(self, client: asgi.Client) -> None:
            self.client = client

        def leave(self) -> None:
            """Nobody leaves here."""

    visits: list[weakref.ref[Visit]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        visit = Visit(scope["hive.client"])
        visits.append(weakref.ref(visit))
        visit.client.watch(visit.leave)
        visit.client.start(200, [(b"content-length", b"2")])
        visit.client.write(b"ok", False)

    gc.disable()
    try:
        async with listening(app) as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            await until(lambda: visits[0]() is None, "the visit was gone")
            writer.close()
    finally:
        gc.enable()


@both_loops
async def test_draining_ends_after_its_time_and_says_so() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send)
        await chunk(send, b"for ever")
        await asyncio.Event().wait()

    async with listening(app) as listener, client(listener) as c:
        await c.send(request())
        await c.reader.readuntil(b"for ever\r\n")
        assert await listener.drain(0.1) is False
        assert await c.closed()
