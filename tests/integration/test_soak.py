"""Ten thousand requests, good and bad: afterwards the process holds what it held before."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from hive_testing.gateway import PRICE, Gateway
from hive_testing.simulator import SimulatorThread

pytestmark = pytest.mark.embedded

REQUESTS = 10_000
WORKERS = 24
WARM_UP = 1_500
MOST_GROWTH = 12 * 1024 * 1024
"""Resident bytes that the second half may add to what the first half left: allocators are not exact."""

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def lonely(
    catalogue: dict[str, Any], provider: SimulatorThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A process that nothing else has asked before. What the provider does is in its models' names."""
    failing = {
        "refusing": "sim/status=400",
        "cut": "sim/cut_after=4,chunk_delay=0.001",
        "endless": "sim/chunks=300,chunk_bytes=4,chunk_delay=0.05",
        "malformed": "sim/malformed_chunk=3,chunk_delay=0.001",
    }
    models = [
        {"id": id, "deployments": [{"provider": "sim", "model": model}], "price": PRICE}
        for id, model in failing.items()
    ]
    everything = catalogue | {"models": [*catalogue["models"], *models]}
    with Gateway(tmp_path_factory.mktemp("soak"), everything) as running:
        yield running


class Kind:
    """One kind of request, with the statuses that it may get and what its answer holds."""

    def __init__(self, name: str, request: bytes, *statuses: int, mark: bytes = b"", leaves: bool = False):
        self.name, self.request, self.statuses, self.mark, self.leaves = name, request, statuses, mark, leaves


def kinds(gateway: Gateway) -> list[Kind]:
    """The mixture; what stands here twice is asked for twice as often.

    A broken stream has a status of its own (502) where the provider's fault came together with its first words,
    and is not asked for at all (503) while its deployment's breaker is open and another request tries it.
    """

    def post(path: str, body: Any, **headers: str) -> bytes:
        return gateway.public.request("POST", path, body, headers or None, keep_alive=True)

    def chat(model: str = "gpt-4o", **fields: Any) -> bytes:
        return post("/v1/chat/completions", {"model": model, "messages": HELLO, **fields})

    done, error = b"data: [DONE]\n\n", b'{"error":'
    plain = Kind("plain", chat(), 200, mark=b"Echo: hello")
    stream = Kind("stream", chat(stream=True), 200, mark=done)
    vector = {"model": "text-embedding-3-small", "input": "a", "dimensions": 8}
    large = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x" * 400_000}], "max_tokens": 1}
    return [
        *[plain] * 6,
        *[stream] * 4,
        Kind("embedding", post("/v1/embeddings", vector), 200),
        Kind("models", gateway.public.request("GET", "/v1/models", keep_alive=True), 200),
        Kind("count", post("/v1/utils/token_counter", {"model": "gpt-4o", "prompt": "a"}), 200),
        Kind("malformed body", post("/v1/chat/completions", b'{"model": '), 400),
        Kind("wrong field", chat(temperature=9), 400),
        Kind("wrong key", post("/v1/chat/completions", {}, authorization="Bearer wrong"), 401),
        Kind("unknown model", chat("nothing"), 404),
        Kind("unknown path", post("/v1/nothing", {}), 404),
        Kind("later", post("/v1/images/generations", {}), 404),
        Kind("refused by the provider", chat("refusing"), 400),
        Kind("a stream that is cut", chat("cut", stream=True), 200, 502, 503, mark=error),
        Kind("a malformed stream", chat("malformed", stream=True), 200, 502, 503, mark=error),
        Kind("a client that leaves", chat("endless", stream=True), 200, leaves=True),
        Kind("large", post("/v1/chat/completions", large), 200),
    ]


class Caller:
    """A client on one connection, which it opens again where it was closed."""

    def __init__(self, gateway: Gateway) -> None:
        where = urlsplit(gateway.url)
        self._address = (where.hostname, where.port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, kind: Kind) -> None:
        """One request to its end; asserts that the answer is what it should be."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        writer.write(kind.request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert int(head[9:12]) in kind.statuses, (kind.name, head)
        if kind.leaves:
            await reader.readuntil(b"\n\n")
            await self.close()
            return
        body = await self._body(reader, head.lower())
        assert kind.mark in body, (kind.name, body)
        if b"connection: close" in head.lower():
            await self.close()

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            await self._streams[1].wait_closed()
            self._streams = None

    async def _body(self, reader: asyncio.StreamReader, head: bytes) -> bytes:
        if b"content-length: " in head:
            return await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
        return body


async def send(gateway: Gateway, count: int) -> Counter[str]:
    """So many requests of all kinds in turn, `WORKERS` at a time; every connection is closed afterwards."""
    mixture = kinds(gateway)
    numbers = iter(range(count))
    sent: Counter[str] = Counter()

    async def work() -> None:
        caller = Caller(gateway)
        try:
            for number in numbers:
                kind = mixture[number % len(mixture)]
                async with asyncio.timeout(30):
                    await caller.ask(kind)
                sent[kind.name] += 1
        finally:
            await caller.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work())
    return sent


async def test_ten_thousand_requests_leave_nothing(lonely: Gateway, provider: SimulatorThread) -> None:
    await send(lonely, WARM_UP)
    shown = await asyncio.to_thread(lonely.command, "usage")  # by now the analytical store has been opened
    assert shown.returncode == 0, shown.stderr
    before = await asyncio.to_thread(lonely.footprint, provider.url)
    memory = []
    for _ in range(2):
        sent = await send(lonely, REQUESTS // 2)
        assert sent.total() == REQUESTS // 2
        await asyncio.to_thread(lonely.settles, provider.url, before)
        memory.append(lonely.memory)

    first, second = memory
    assert second - first < MOST_GROWTH, f"{first} bytes after the first half, {second} after the second"
    assert not list((lonely.folder / "data" / "blobs").rglob("*req_*")), "bodies of requests are left"


def test_the_log_says_nothing_of_it(lonely: Gateway) -> None:
    """No caller's mistake and no provider's fault is an error of the process."""
    assert lonely.complaints() == []
    assert not any(json.loads(line)["event"] == "task failed" for line in lonely.log.splitlines())
