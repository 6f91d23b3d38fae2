"""How sessions are opened at providers: address, credential, and what it means where they are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from hive_routing.providers.azure import AzureProvider
from hive_routing.providers.openai import OpenAIProvider
from hive_routing.providers.over_http import Site
from hive_routing.providers.port import Timeouts
from hive_routing.realtime.port import Closed, Line, Message, SessionCall, SessionProvider
from hive_runtime.errors import HiveError, Kind
from hive_testing.simulator.realtime import RealtimeSimulator

CREDENTIAL = "sk-of-the-gateway"


@pytest.fixture
def sim() -> Iterator[RealtimeSimulator]:
    with RealtimeSimulator() as running:
        yield running


def call(**headers: str) -> SessionCall:
    return SessionCall("gpt-realtime 2", [("intent", "x")], headers, Timeouts(first_byte=5.0))


def openai(url: str, **options: str) -> OpenAIProvider:
    return OpenAIProvider(Site("there", "openai", url, CREDENTIAL, options))


def azure(url: str, **options: str) -> AzureProvider:
    return AzureProvider(Site("there", "azure", url.removesuffix("/v1"), CREDENTIAL, options))


@asynccontextmanager
async def opened(provider: OpenAIProvider | AzureProvider, **headers: str) -> AsyncIterator[Line]:
    assert "realtime" in provider.speaks
    assert isinstance(provider, SessionProvider)
    line = await provider.open_session(call(**headers))
    try:
        yield line
    finally:
        await line.close(1000, "")
        await provider.close()


@pytest.mark.parametrize(
    ("make", "options", "path", "header"),
    [
        (openai, {}, "/v1/realtime?model=gpt-realtime+2&intent=x", ("authorization", f"Bearer {CREDENTIAL}")),
        (openai, {"project": "p"}, "/v1/realtime?model=gpt-realtime+2&intent=x", ("openai-project", "p")),
        (azure, {}, "/openai/v1/realtime?model=gpt-realtime+2&intent=x", ("api-key", CREDENTIAL)),
        (
            azure,
            {"api_version": "2025-04-01"},
            "/openai/realtime?api-version=2025-04-01&deployment=gpt-realtime+2&intent=x",
            ("api-key", CREDENTIAL),
        ),
    ],
)
async def test_where_and_by_what(
    sim: RealtimeSimulator, make: Any, options: dict[str, str], path: str, header: tuple[str, str]
) -> None:
    async with opened(make(sim.url, **options), **{"openai-beta": "realtime=v1", "x-own": "1"}) as line:
        created = msgspec.json.decode((await line.receive()).data)
        assert created["type"] == "session.created"
        heard = sim.heard[0]
    assert heard.path == path
    assert heard.headers[header[0]] == header[1]
    assert heard.headers["openai-beta"] == "realtime=v1"
    assert "x-own" not in heard.headers


async def test_messages_and_closes(sim: RealtimeSimulator) -> None:
    async with opened(openai(sim.url)) as line:
        await line.receive()
        await line.send(Message(b'{"type":"input_audio_buffer.clear"}'))
        assert b"cleared" in (await line.receive()).data
        await line.close(4000, "enough")
        with pytest.raises(Closed):
            await line.receive()
        with pytest.raises(Closed):
            await line.send(Message(b"{}"))
    assert await asyncio.to_thread(sim.wait_for_close) == 4000


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Kind.INVALID),
        (401, Kind.UPSTREAM_FAILED),
        (404, Kind.NOT_FOUND),
        (429, Kind.RATE_LIMITED),
        (500, Kind.UPSTREAM_FAILED),
        (200, Kind.UPSTREAM_FAILED),
    ],
)
async def test_a_refusal(sim: RealtimeSimulator, status: int, kind: Kind) -> None:
    sim.refuse(status, b'{"error":{"message":"no: %b"}}' % CREDENTIAL.encode())
    with pytest.raises(HiveError) as refused:
        async with opened(openai(sim.url)):
            pass
    assert refused.value.kind is kind
    assert CREDENTIAL not in refused.value.message


async def test_a_provider_that_is_away() -> None:
    with pytest.raises(HiveError) as refused:
        async with opened(openai("http://127.0.0.1:1/v1")):
            pass
    assert refused.value.kind is Kind.UNAVAILABLE


async def test_a_provider_that_hangs_up() -> None:
    def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(HiveError) as refused:
            async with opened(openai(f"http://127.0.0.1:{port}/v1")):
                pass
    assert refused.value.kind in (Kind.UPSTREAM_FAILED, Kind.UNAVAILABLE)
