"""An Ollama is found, followed, and lost without a trace; whatever else stands there does no harm."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hive_console import ollama


class FakeOllama:
    """Answers every connection with the same bytes; None: not at all."""

    def __init__(self) -> None:
        self.answer: bytes | None = b""
        self.asked: list[bytes] = []
        self.server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self.server is not None:
            self.server.close()
            await self.server.wait_closed()

    def has(self, *names: str, status: str = "200 OK") -> None:
        body = json.dumps(
            {"object": "list", "data": [{"id": name, "object": "model"} for name in names] or None}
        )
        self.answer = f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n{body}".encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        if self.answer is None:
            await reader.read()
        else:
            writer.write(self.answer)
        writer.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    fake = FakeOllama()
    await fake.open()
    yield fake
    await fake.close()


async def asleep(clock: Any) -> None:
    """Until the watch waits for its next minute, as the outbox does."""
    async with asyncio.timeout(5):
        while len([due for due, ended in clock.sleepers if due > clock.time + 30 and not ended.done()]) < 2:
            await asyncio.sleep(0.005)


async def test_its_models_come_and_go_with_it(start: Any, clock: Any, fake: FakeOllama) -> None:
    fake.has("llama3.2:1b", "nomic-embed-text:latest", "not a model name")
    async with start(discover=True, ollama_url=fake.url) as desk:
        await desk.until(
            lambda r: r.keys("model") == {"ollama/llama3.2:1b", "ollama/nomic-embed-text:latest"}
        )
        assert desk.records.now["provider/ollama"].provider.base_url == f"{fake.url}/v1"
        assert desk.records.now["provider/ollama"].provider.free
        assert desk.records.now["model/ollama/llama3.2:1b"].model.mode == "chat"
        assert desk.records.now["model/ollama/nomic-embed-text:latest"].model.mode == "embedding"
        assert (await desk.ask("GET", "/models/ollama/llama3.2:1b"))["source"] == "discovered"
        assert fake.asked[0].startswith(b"GET /v1/models HTTP/1.0\r\n")

        fake.has("qwen3:4b")
        await asleep(clock)
        clock.advance(60)
        await desk.until(lambda records: records.keys("model") == {"ollama/qwen3:4b"})

        await asleep(clock)
        await fake.close()
        clock.advance(60)
        await desk.until(lambda records: not records.keys("model") and not records.keys("provider"))


async def test_one_that_fails_to_answer_keeps_its_models(start: Any, clock: Any, fake: FakeOllama) -> None:
    fake.has("llama3.2:1b")
    async with start(discover=True, ollama_url=fake.url) as desk:
        await desk.until(lambda records: records.keys("model"))
        await asleep(clock)
        fake.has(status="500 Internal Server Error")
        clock.advance(60)
        await asleep(clock)
        assert len(fake.asked) == 2
        assert desk.records.keys("model") == {"ollama/llama3.2:1b"}


async def test_what_did_not_change_is_not_told_again(start: Any, clock: Any, fake: FakeOllama) -> None:
    fake.has("llama3.2:1b")
    async with start(discover=True, ollama_url=fake.url) as desk:
        await desk.until(lambda records: records.keys("model"))
        await asleep(clock)
        heard = len(desk.records.story)
        clock.advance(60)
        await asleep(clock)
        assert len(fake.asked) == 2
        assert len(desk.records.story) == heard


async def test_nobody_is_asked_where_discovery_is_off(start: Any, fake: FakeOllama) -> None:
    fake.has("llama3.2:1b")
    async with start(discover=True, ollama_url=fake.url) as desk:
        await desk.until(lambda records: records.keys("model"))
    async with start(ollama_url=fake.url) as desk:
        assert desk.records.keys("model") == desk.records.keys("provider") == set()
    assert len(fake.asked) == 1


async def test_an_empty_ollama_is_none(start: Any, clock: Any, fake: FakeOllama) -> None:
    fake.has()
    async with start(discover=True, ollama_url=fake.url) as desk:
        await asleep(clock)
        assert len(fake.asked) == 1
        assert desk.records.keys("provider") == set()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 404 Not Found\r\n\r\n200 ",
        b"HTTP/1.0 200 OK\r\n\r\n<html>",
        b'HTTP/1.0 200 OK\r\n\r\n{"data": [{"name": "x"}]}',
        b"HTTP/1.0 200 OK\r\n\r\n" + b" " * 1_200_000,
    ],
)
async def test_what_is_no_ollama_is_an_error_with_words(fake: FakeOllama, answer: bytes) -> None:
    fake.answer = answer
    with pytest.raises(ValueError, match="models"):
        await ollama.list_models(f"{fake.url}/v1")


async def test_one_that_says_nothing_is_waited_for_a_short_time(
    fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ollama, "SECONDS", 0.05)
    fake.answer = None
    with pytest.raises(TimeoutError):
        await ollama.list_models(f"{fake.url}/v1")


async def test_nobody_there_is_no_error(fake: FakeOllama) -> None:
    await fake.close()
    assert await ollama.list_models(f"{fake.url}/v1") is None
