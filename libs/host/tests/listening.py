"""A listener for tests on either event loop, apps to serve, and a client that sends bytes as they are."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from hive_host.listener import Listener
from hive_host.protocol import Limits
from hive_relay.asgi import App, Receive, Scope, Send

PATIENT = Limits()
HASTY = Limits(head_seconds=0.2, idle_seconds=0.4, body_idle_seconds=0.2)
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


def failures(logs: list[Any]) -> list[Any]:
    return [entry for entry in logs if entry["log_level"] == "error"]
