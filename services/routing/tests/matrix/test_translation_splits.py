"""A provider's stream in two pieces, cut at every single byte: what the client gets is the same, as is the usage."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from hive_routing.dialects.form import Prompt, Reasoning, Text, Tool, Turn
from hive_routing.dialects.registry import BY_NAME
from hive_routing.dialects.support import CLIENTS, PROVIDERS
from hive_routing.providers.port import ProviderCall, Timeouts
from hive_routing.translation import TranslatedBody, Translation
from hive_routing.usage import Usage
from hive_routing.watching import WatchedStream
from hive_testing.simulator import ScriptedTool
from services.routing.tests.matrix.provided import PROVIDED
from services.routing.tests.matrix.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATIENT = Timeouts(connect=2, first_byte=5, idle=5, total=10)
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
OWN = re.compile(
    rb'"(?:created|created_at|completed_at)":[0-9.]+'
    rb'|(?:chatcmpl-|msg_|resp_|rs_|fc_|call_)[0-9a-f]{16,}|"responseId":"[^"]+"'
)
"""What a writer makes up: when, and ids."""


async def canonical(stage: Stage, provider: str) -> bytes:
    """The stream of a provider that thinks, speaks and calls, as its adapter gives it."""
    tools = [ScriptedTool("see", '{"city":"Zürich 🐝"}')]
    model = PROVIDED[provider].model
    stage.sim.script(content="Salvē 🐝", thinking="Hm.", tool_calls=tools, model=model, once=True)
    prompt = Prompt("form", model, [Turn("user", [Text("Hi")])], [Tool("see", schema=CITY)])
    prompt.reasoning = Reasoning("low", visible=True)
    prompt.max_output, prompt.stream, prompt.usage_asked = 2000, True, True
    body = msgspec.json.encode(BY_NAME[provider].write_prompt(prompt))
    registered = stage.gateway.providers.get(provider)
    assert registered is not None
    call = ProviderCall(provider, model, body, True, "req_1-1-1", PATIENT)
    answer = await registered.adapter.send(call)
    data = b"".join([piece async for piece in answer.body])
    assert answer.status == 200, data
    return data


class Pieces:
    """A provider's body."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = [piece for piece in pieces if piece]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._pieces:
            raise StopAsyncIteration
        return self._pieces.pop(0)

    async def aclose(self) -> None: ...


async def translated(
    provider: str, client: str, prompt: Prompt, *pieces: bytes
) -> tuple[bytes, Usage | None]:
    body: Any = Pieces(*pieces)
    made = TranslatedBody(body, Translation(BY_NAME[client], BY_NAME[provider], prompt, 1), provider)
    out = b"".join([piece async for piece in made])
    return OWN.sub(b"", out), made.usage


def watched(provider: str, prompt: Prompt, *pieces: bytes) -> tuple[bytes, Usage | None]:
    stream = WatchedStream(provider, BY_NAME[provider], prompt)
    out = b"".join([stream.feed(piece) for piece in pieces])
    if not stream.done:
        out += stream.feed_end()
    assert stream.failure is None
    assert stream.done
    return out + stream.last, stream.stated


PAIRS = [(client, provider) for client in CLIENTS for provider in PROVIDERS if client != provider]


@pytest.mark.parametrize(("client", "provider"), PAIRS)
async def test_translated_byte_by_byte(stage: Stage, client: str, provider: str) -> None:
    data = await canonical(stage, provider)
    prompt = Prompt(client, "bee", usage_asked=True, stream=True)
    whole = await translated(provider, client, prompt, data)
    assert b"see" in whole[0]
    assert whole[1] is not None
    every = [data[place : place + 1] for place in range(len(data))]
    assert await translated(provider, client, prompt, *every) == whole


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_translated_from_two_pieces(stage: Stage, provider: str) -> None:
    data = await canonical(stage, provider)
    client = "messages" if provider == "chat" else "chat"
    prompt = Prompt(client, "bee", usage_asked=True, stream=True)
    whole = await translated(provider, client, prompt, data)
    for place in range(1, len(data)):
        assert await translated(provider, client, prompt, data[:place], data[place:]) == whole, place


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_untouched(stage: Stage, provider: str) -> None:
    data = await canonical(stage, provider)
    prompt = Prompt(provider, "bee", usage_asked=True, stream=True)
    whole = watched(provider, prompt, data)
    assert whole[0] == data
    assert whole[1] is not None
    for place in range(1, len(data)):
        assert watched(provider, prompt, data[:place], data[place:]) == whole, place
    assert watched(provider, prompt, *(data[place : place + 1] for place in range(len(data)))) == whole
