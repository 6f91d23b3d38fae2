"""A server that notes what it is asked and answers as it is told, and sites that point at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from hive_routing.providers.over_http import Site
from hive_routing.providers.port import Provider, ProviderAnswer, ProviderCall, Timeouts
from hive_routing.providers.registry import MAKERS

PATIENT = Timeouts(connect=2, first_byte=2, idle=2, total=5)


@dataclass(frozen=True)
class Asked:
    """One request: its method, its path with the query, lower-case headers, and the body."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass
class Told:
    status: int
    body: bytes
    kind: str


class Recorder:
    """Answers with what was told last, or by a path's beginning."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.port = 0
        self._told = Told(200, b"{}", "application/json")
        self._by_path: dict[str, Told] = {}
        self.serving: dict[asyncio.StreamWriter, asyncio.Task[Any] | None] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def last(self) -> Asked:
        return self.asked[-1]

    def tell(self, body: Any, status: int = 200, kind: str = "application/json", path: str = "") -> None:
        told = Told(status, body if isinstance(body, bytes) else msgspec.json.encode(body), kind)
        if path:
            self._by_path[path] = told
        else:
            self._told = told

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving[writer] = asyncio.current_task()
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.rstrip().split("\r\n")
                method, path, _ = first.split(" ")
                pairs = [line.split(": ", 1) for line in lines]
                headers = {name.lower(): value for name, value in pairs}
                assert len(headers) == len(pairs), "a header came twice"
                body = await reader.readexactly(int(headers["content-length"]))
                self.asked.append(Asked(method, path, headers, body))
                told = next(
                    (each for start, each in self._by_path.items() if path.startswith(start)), self._told
                )
                writer.write(
                    f"HTTP/1.1 {told.status} X\r\ncontent-type: {told.kind}\r\n"
                    f"content-length: {len(told.body)}\r\n\r\n".encode()
                    + told.body
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    recorder = Recorder()
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    recorder.port = server.sockets[0].getsockname()[1]
    yield recorder
    server.close()
    for writer in recorder.serving:
        writer.transport.abort()
    async with asyncio.timeout(2):
        await asyncio.gather(*filter(None, recorder.serving.values()), return_exceptions=True)


@dataclass
class Speaker:
    """An adapter that asks the recorder."""

    provider: Provider
    recorder: Recorder
    headers: dict[str, str] = field(default_factory=dict)

    async def send(
        self, operation: str, body: Any, *, model: str = "m-1", stream: bool = False
    ) -> tuple[int, bytes]:
        """The status, and the body read whole."""
        answer = await self.answer(operation, body, model=model, stream=stream)
        try:
            return answer.status, b"".join([data async for data in answer.body])
        finally:
            await answer.body.aclose()

    async def answer(
        self, operation: str, body: Any, *, model: str = "m-1", stream: bool = False
    ) -> ProviderAnswer:
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        call = ProviderCall(operation, model, raw, stream, "req_1-1-1", PATIENT, self.headers)
        return await self.provider.send(call)


Speaking = Callable[..., Speaker]


@pytest.fixture
async def speaking(recorder: Recorder) -> AsyncIterator[Speaking]:
    """Makes an adapter of a kind. path: of the base URL. Further keywords are of `Site`."""
    async with AsyncExitStack() as stack:

        def make(
            kind: str, path: str = "", *, headers: dict[str, str] | None = None, **fields: Any
        ) -> Speaker:
            fields = {"credential": "sk-secret", **fields}
            provider = MAKERS[kind](Site("acme", kind, recorder.url + path, **fields))
            stack.push_async_callback(provider.close)
            return Speaker(provider, recorder, headers or {})

        yield make
