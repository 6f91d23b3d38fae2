"""A model provider that costs next to nothing: fixed OpenAI-compatible answers, written as they lie in memory.

`python -m benchmarks.upstream` prints its port and serves until its standard input closes.

Chat answers are 0.8 KB and come at once. A streamed one has 50 chunks of 280 bytes, 5 ms apart. The model
`bench-hold` sends its first chunk and keeps the stream open until somebody posts to `/release`. Who offers tools is
asked to call one, and gets the chat answer for what the tool said. Below `/failing/` everything is a 503.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import cast

import httptools
import uvloop

from benchmarks import answers
from benchmarks.placement import settle_in


class Connection(asyncio.Protocol):
    """One connection of a client; `held` are the connections whose stream waits for its release."""

    def __init__(self, loop: asyncio.AbstractEventLoop, held: set[Connection]) -> None:
        self._loop = loop
        self._held = held
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._held.discard(self)
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    # What httptools calls while it reads a request:

    def on_message_begin(self) -> None:
        self._url = b""
        self._body.clear()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        body = b"".join(self._body)
        if self._url.startswith(b"/failing/"):
            self._transport.write(answers.FAILURE)
        elif self._url.endswith(b"/embeddings"):
            self._transport.write(answers.BATCH if b'"bench-batch"' in body else answers.EMBEDDINGS)
        elif self._url == b"/release":
            self._release()
        elif b'"stream":true' in body or b'"stream": true' in body:
            self._stream(body)
        elif b'"tools"' in body and b'"tool_call_id"' not in body:
            self._transport.write(answers.TOOL_CALL)
        else:
            self._transport.write(answers.CHAT)

    def _stream(self, body: bytes) -> None:
        with_usage = b'"include_usage"' in body
        self._finish = answers.STREAM_FINISH_WITH_USAGE if with_usage else answers.STREAM_FINISH
        self._left = answers.CHUNKS - 1
        self._transport.write(answers.STREAM_START)
        if b'"bench-hold"' in body:
            self._held.add(self)
        else:
            self._due = self._loop.time()
            self._wait()

    def _wait(self) -> None:
        self._due += answers.CHUNK_GAP
        self._timer = self._loop.call_at(self._due, self._send_chunk)

    def _send_chunk(self) -> None:
        self._left -= 1
        if self._left:
            self._transport.write(answers.CHUNK)
            self._wait()
        else:
            self._transport.write(answers.CHUNK + self._finish)
            self._timer = None

    def _release(self) -> None:
        for each in self._held:
            each._transport.write(each._finish)
        self._held.clear()
        self._transport.write(answers.RELEASED)


async def serve(announce: Callable[[int], None]) -> None:
    """Serve on a free port of the loopback address until standard input closes."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    held: set[Connection] = set()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    server = await loop.create_server(lambda: Connection(loop, held), "127.0.0.1", 0, backlog=2048)
    async with server:
        announce(server.sockets[0].getsockname()[1])
        await ended.wait()


def main() -> None:
    settle_in(0)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(lambda port: print(port, flush=True)))


if __name__ == "__main__":
    main()
