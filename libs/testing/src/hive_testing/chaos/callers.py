"""Those who call: each kind of call that the official client makes, with how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx2
import openai
from openai.types.chat import ChatCompletionMessageParam

from hive_testing.chaos.endings import ANSWERED, LEFT, SILENT, Ending, How, of_error
from hive_testing.chaos.witness import SEEN, Witness

BIG_BYTES = 300 * 1024
"""More than an envelope carries: the body goes through blob storage."""
IDLE_SECONDS = 90.0
LONGEST_SECONDS = 240.0
IMPATIENCE_SECONDS = 0.3
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}},
            "required": ["place"],
        },
    },
}
MODELS = {
    "plain": "gpt-4o",
    "slow": "sim/latency=0.5",
    "stream": "sim/chunks=40,chunk_bytes=8,chunk_delay=0.05",
    "long": "sim/chunks=120,chunk_bytes=8,chunk_delay=0.05",
    "endless": "sim/chunks=100000,chunk_bytes=8,chunk_delay=0.05",
}
"""Chat models by what their provider does."""
EMBEDDER = "embedder"

Call = Callable[["Callers", str], Awaitable[Ending]]


@dataclass(frozen=True, slots=True)
class Kind:
    """weight: how often it is made beside the others. further, reasons: errors that it may get beside 502, 503, 504."""

    name: str
    weight: int
    call: Call
    further: tuple[int, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass
class Callers:
    """The official client with its default retries. idempotent: the calls that were made with a key of their own."""

    url: str
    key: str
    limited_key: str
    witness: Witness = field(default_factory=Witness)
    idempotent: list[str] = field(default_factory=list)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        http = httpx2.AsyncClient(transport=self.witness, timeout=IDLE_SECONDS)
        await self._stack.enter_async_context(http)
        self.client = openai.AsyncOpenAI(
            base_url=f"{self.url}/v1", api_key=self.key, timeout=IDLE_SECONDS, http_client=http
        )
        self.limited = self.client.with_options(api_key=self.limited_key)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def ending(self, kind: Kind, name: str) -> Ending:
        """Make one call and say how it ended. name: what no other call has."""
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                return await kind.call(self, name)
        except (openai.OpenAIError, httpx2.TransportError, TimeoutError) as error:
            return of_error(error, kind.further, kind.reasons)

    async def plain(self, name: str) -> Ending:
        return _echoed(await self._chat(self.client, name), name)

    async def slow(self, name: str) -> Ending:
        return _echoed(await self._chat(self.client, name, model="slow"), name)

    async def impatient(self, name: str) -> Ending:
        """Leaves before there is an answer."""
        try:
            async with asyncio.timeout(IMPATIENCE_SECONDS):
                return _echoed(await self._chat(self.client, name, model="slow"), name)
        except TimeoutError:
            return LEFT

    async def with_limits(self, name: str) -> Ending:
        return _echoed(await self._chat(self.limited, name), name)

    async def big(self, name: str) -> Ending:
        answer = await self._chat(self.client, f"{name} {'x' * BIG_BYTES}", max_tokens=4)
        return ANSWERED if (answer.choices[0].message.content or "").startswith("Echo:") else _wrong(answer)

    async def once(self, name: str) -> Ending:
        """With an Idempotency-Key; where it was answered, the same again gets the same answer."""
        self.idempotent.append(name)
        headers = {"Idempotency-Key": name}
        first = await self._chat(self.client, name, extra_headers=headers)
        if (ending := _echoed(first, name)) is not ANSWERED:
            return ending
        second = await self._chat(self.client, name, extra_headers=headers)
        return ANSWERED if second.id == first.id else Ending(How.WRONG, f"{second.id} after {first.id}")

    async def tools(self, name: str) -> Ending:
        answer = await self._chat(self.client, name, tools=[WEATHER], tool_choice="required")
        calls = answer.choices[0].message.tool_calls
        return ANSWERED if calls and calls[0].function.name == "weather" else _wrong(answer)

    async def stream(self, name: str) -> Ending:
        return await self._stream(name, "stream")

    async def long_stream(self, name: str) -> Ending:
        return await self._stream(name, "long")

    async def stream_of_tools(self, name: str) -> Ending:
        return await self._stream(name, "plain", tools=[WEATHER], tool_choice="required")

    async def leaving(self, name: str) -> Ending:
        """Leaves after some of a stream."""
        events = await self._open(name, "endless")
        async with events:
            count = 0
            async for _ in events:
                count += 1
                if count == 8:
                    return LEFT
        return SILENT

    async def embedding(self, name: str) -> Ending:
        answer = await self.client.embeddings.create(model=EMBEDDER, input=[name, "x"], dimensions=8)
        return ANSWERED if [len(each.embedding) for each in answer.data] == [8, 8] else _wrong(answer)

    async def models(self, name: str) -> Ending:
        listed = {model.id async for model in self.client.models.list()}
        return ANSWERED if listed >= {*MODELS, EMBEDDER} else Ending(How.WRONG, f"{name}: {listed}")

    async def _chat(self, client: openai.AsyncOpenAI, text: str, model: str = "plain", **fields: Any) -> Any:
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": text}]
        return await client.chat.completions.create(model=model, messages=messages, **fields)

    async def _open(self, name: str, model: str, **fields: Any) -> openai.AsyncStream[Any]:
        events = await self._chat(self.client, name, model, stream=True, **fields)
        assert isinstance(events, openai.AsyncStream)
        return events

    async def _stream(self, name: str, model: str, **fields: Any) -> Ending:
        """Answered only where all was there: the finish, and the end of the protocol."""
        events = await self._open(name, model, **fields)
        finished = False
        async for event in events:
            finished = finished or bool(event.choices and event.choices[0].finish_reason)
        if not events.response.extensions[SEEN].is_done:
            return SILENT
        return ANSWERED if finished else Ending(How.WRONG, "ended without a finish")


KINDS = (
    Kind("plain", 6, Callers.plain),
    Kind("slow", 2, Callers.slow),
    Kind("stream", 4, Callers.stream),
    Kind("long stream", 2, Callers.long_stream),
    Kind("tools", 2, Callers.tools),
    Kind("stream of tools", 1, Callers.stream_of_tools),
    Kind("embedding", 3, Callers.embedding),
    Kind("big body", 1, Callers.big),
    Kind("idempotent", 2, Callers.once, further=(409,), reasons=("outcome_unknown",)),
    Kind("limited", 2, Callers.with_limits, further=(429,)),
    Kind("leaves a stream", 2, Callers.leaving),
    Kind("leaves a wait", 1, Callers.impatient),
    Kind("models", 1, Callers.models),
)
"""All kinds of calls."""


def catalogue(provider_url: str, price: Mapping[str, object]) -> dict[str, Any]:
    """The configuration that these callers expect."""
    provider = {"name": "sim", "kind": "openai", "base_url": provider_url, "api_key": "sk-sim"}
    models = [_model(id, name, price) for id, name in MODELS.items()]
    embedder = _model(EMBEDDER, "text-embedding-3-small", price) | {"mode": "embedding"}
    return {"providers": [provider], "models": [*models, embedder]}


def _model(id: str, name: str, price: Mapping[str, object]) -> dict[str, Any]:
    return {"id": id, "deployments": [{"provider": "sim", "model": name}], "price": dict(price)}


def _echoed(answer: Any, text: str) -> Ending:
    return ANSWERED if answer.choices[0].message.content == f"Echo: {text}" else _wrong(answer)


def _wrong(answer: object) -> Ending:
    return Ending(How.WRONG, repr(answer)[:500])
