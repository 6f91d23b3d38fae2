"""WebSockets at a listener, seen through the client of the `websockets` library and through bare sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol

from hive_host.listener import Listener
from hive_host.protocol import Limits
from hive_relay.asgi import App, Message, Receive, Scope, Send

SECONDS = 10.0


async def no_http(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


class Echo:
    """Lets everyone in and gives back what it gets; `ended` has how each session ended."""

    def __init__(self) -> None:
        self.ended: asyncio.Queue[Message] = asyncio.Queue()
        self.subprotocol: str | None = None
        self.greeting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept", "subprotocol": self.subprotocol})
        for _ in range(self.greeting):
            await send({"type": "websocket.send", "bytes": bytes(65536)})
        while (message := await receive())["type"] == "websocket.receive":
            if message.get("text") == "bye":
                await send({"type": "websocket.close", "code": 4000, "reason": "as you wish"})
            await send({**message, "type": "websocket.send"})
        await self.ended.put(message)


@asynccontextmanager
async def listening(app: App | None, limits: Limits = Limits()) -> AsyncIterator[Listener]:
    listener = Listener(no_http, "127.0.0.1", 0, limits=limits, sockets=app)
    await listener.start()
    try:
        async with asyncio.timeout(SECONDS):
            yield listener
    finally:
        await listener.close()
    assert listener.connections == 0


@asynccontextmanager
async def connected(listener: Listener, offers: list[str] | None = None) -> AsyncIterator[ClientConnection]:
    url = listener.url.replace("http", "ws") + "/there?a=b"
    names = None if offers is None else [Subprotocol(each) for each in offers]
    async with connect(url, subprotocols=names, proxy=None, max_size=None, ping_interval=None) as client:
        yield client


@pytest.mark.parametrize("message", ["hello", "ünïcode", b"\x00\xff", "", "x" * 300_000])
async def test_messages_come_back(message: str | bytes) -> None:
    async with listening(Echo()) as listener, connected(listener) as client:
        await client.send(message)
        assert await client.recv() == message


async def test_a_message_in_fragments_is_one() -> None:
    async with listening(Echo()) as listener, connected(listener) as client:
        await client.send(iter(["a", "ü", "c"]))
        assert await client.recv() == "aüc"


async def test_the_subprotocol_is_what_the_app_says() -> None:
    echo = Echo()
    echo.subprotocol = "realtime"
    async with listening(echo) as listener, connected(listener, ["realtime", "a.secret"]) as client:
        assert client.subprotocol == "realtime"


async def test_the_client_s_close_reaches_the_app_behind_what_it_said() -> None:
    echo = Echo()
    async with listening(echo) as listener, connected(listener) as client:
        await client.send("one")
        await client.close(4001, "enough")
        assert await echo.ended.get() == {"type": "websocket.disconnect", "code": 4001, "reason": "enough"}


async def test_the_app_s_close_reaches_the_client() -> None:
    async with listening(Echo()) as listener, connected(listener) as client:
        await client.send("bye")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (4000, "as you wish")


async def test_a_client_that_vanishes_is_gone() -> None:
    echo = Echo()
    async with listening(echo) as listener, connected(listener) as client:
        client.transport.abort()
        assert (await echo.ended.get())["code"] == 1006


async def test_a_refusal_is_an_http_answer() -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "websocket.http.response.start", "status": 402, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"{}"})

    async with listening(refuse) as listener:
        with pytest.raises(InvalidStatus) as refused:
            async with connected(listener):
                pass
    assert (refused.value.response.status_code, refused.value.response.body) == (402, b"{}")


async def test_an_app_that_fails_is_a_500_or_a_1011() -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["query_string"] == b"a=b":
            await send({"type": "websocket.accept"})
        raise ValueError("boom")

    async with listening(fail) as listener:
        async with connected(listener) as client:
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1011
        with pytest.raises(InvalidStatus) as refused:
            async with connect(listener.url.replace("http", "ws"), proxy=None):
                pass
        assert refused.value.response.status_code == 500


async def test_without_an_app_it_is_not_found() -> None:
    async with listening(None) as listener:
        with pytest.raises(InvalidStatus) as refused:
            async with connected(listener):
                pass
    assert refused.value.response.status_code == 404


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 400),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 400),
    ],
)
async def test_what_is_no_handshake_is_refused(lines: str, status: int) -> None:
    async with listening(Echo()) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(lines.encode())
        assert f" {status} ".encode() in await reader.readline()
        writer.close()


async def test_a_message_above_the_bound_ends_the_session() -> None:
    async with listening(Echo(), Limits(message_bytes=1000)) as listener, connected(listener) as client:
        await client.send("x" * 1000)
        assert await client.recv() == "x" * 1000
        with suppress(ConnectionClosed):
            await client.send("x" * 1001)
            await client.recv()
        await client.wait_closed()
        assert client.close_code == 1009


async def test_text_that_is_no_utf8_ends_the_session() -> None:
    async with listening(Echo()) as listener, connected(listener) as client:
        client.transport.write(Frame(Opcode.TEXT, b"\xff").serialize(mask=True))
        await client.wait_closed()
        assert client.close_code == 1007


async def test_pings_are_answered() -> None:
    async with listening(Echo()) as listener, connected(listener) as client:
        await (await client.ping())


async def test_a_client_that_answers_no_ping_is_given_up() -> None:
    echo = Echo()
    limits = Limits(ping_seconds=0.05, pong_seconds=0.05, linger_seconds=0.2)
    async with listening(echo, limits) as listener, connected(listener) as answering:
        _reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(HANDSHAKE)
        assert (await echo.ended.get())["code"] == 1006
        await answering.send("still here")
        assert await answering.recv() == "still here"
        writer.close()


HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def test_a_client_that_takes_nothing_makes_the_app_wait_and_is_cut_off() -> None:
    echo = Echo()
    echo.greeting = 1000
    limits = Limits(write_idle_seconds=0.2, linger_seconds=0.2)
    async with listening(echo, limits) as listener:
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1024)
        writer.write(HANDSHAKE)
        assert (await echo.ended.get())["code"] == 1006
        writer.close()


async def test_an_app_that_takes_nothing_makes_the_client_wait() -> None:
    go = asyncio.Event()
    taken: list[int] = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await go.wait()
        while (message := await receive())["type"] == "websocket.receive":
            taken.append(len(message["bytes"]))

    async with listening(slow) as listener, connected(listener) as client:
        sent = 0
        with suppress(TimeoutError):
            while sent < 2000:
                async with asyncio.timeout(0.3):
                    await client.send(bytes(64 * 1024))
                sent += 1
        assert sent < 2000, "125 MiB were taken for an app that takes nothing"
        go.set()
        await client.close()
    assert len(taken) >= sent


async def test_draining_closes_with_1012() -> None:
    echo = Echo()
    async with listening(echo) as listener, connected(listener) as client:
        assert await listener.drain(5)
        await client.wait_closed()
        assert client.close_code == 1012
        assert (await echo.ended.get())["code"] == 1012
