"""The client and the upstream of the gateway, in step: a chunk is sent when the client has the one before.

So the gateway reads each chunk by itself and does the same at every run, however busy the machine is.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from benchmarks import answers

TIMEOUT = 60.0
PAUSE = 0.1
"""Seconds after the first chunk of a stream: what is written behind a request is written once in it, and once after
it, however long the machine takes for the rest."""
BUFFER = 1 << 20
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class WrongAnswer(Exception):
    """The gateway did not answer as it must; its text says what came."""


class Driver:
    """One connection to the gateway, and an upstream on `port`."""

    def __init__(self) -> None:
        self.port = 0
        self._step = asyncio.Semaphore(0)
        self._stack = AsyncExitStack()
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Driver]:
        driver = cls()
        server = await asyncio.start_server(driver._provide, "127.0.0.1", 0, limit=BUFFER)
        driver.port = server.sockets[0].getsockname()[1]
        async with server, driver._stack:
            yield driver

    async def connect(self, gateway_port: int) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", gateway_port, limit=BUFFER)
        self._stack.callback(self._writer.close)

    async def send(self, request: bytes) -> None:
        """One request until its whole answer is there. Raises WrongAnswer."""
        async with asyncio.timeout(TIMEOUT):
            self._writer.write(request)
            head = await self._reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise WrongAnswer((head + await self._reader.read(1000)).decode(errors="replace"))
            if b"text/event-stream" in head:
                await self._follow()
            else:
                await self._reader.readexactly(_length(head))

    async def _follow(self) -> None:
        chunks = 0
        while size := int(await self._reader.readline(), 16):
            piece = await self._reader.readexactly(size + 2)
            for _ in range(piece.count(answers.CONTENT_MARK)):
                chunks += 1
                self._step.release()
        await self._reader.readline()
        if chunks != answers.CHUNKS:
            raise WrongAnswer(f"a stream had {chunks} chunks")

    async def _provide(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The upstream: answer the requests that come over one of the gateway's connections."""
        self._stack.callback(writer.close)
        while head := await _head(reader):
            body = await reader.readexactly(_length(head))
            if b"/embeddings " in head:
                writer.write(answers.EMBEDDINGS)
            elif b'"stream":true' in body:
                await self._stream(writer, b'"include_usage"' in body)
            else:
                writer.write(answers.CHAT)

    async def _stream(self, writer: asyncio.StreamWriter, with_usage: bool) -> None:
        writer.write(answers.STREAM_START)
        await asyncio.sleep(PAUSE)
        for _ in range(answers.CHUNKS - 1):
            await self._step.acquire()
            writer.write(answers.CHUNK)
        await self._step.acquire()
        writer.write(answers.STREAM_FINISH_WITH_USAGE if with_usage else answers.STREAM_FINISH)


async def _head(reader: asyncio.StreamReader) -> bytes:
    """The head of the next request; empty where none follows."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


def _length(head: bytes) -> int:
    found = _LENGTH.search(head)
    return int(found[1]) if found else 0
