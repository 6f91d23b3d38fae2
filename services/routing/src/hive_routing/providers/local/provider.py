"""The provider `local`: chat, text completion and embeddings by models that run in this house."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

import msgspec

from hive_routing.providers.local import dialect, tools
from hive_routing.providers.local.frames import Embed, Generate
from hive_routing.providers.local.limits import (
    CHAT_MODEL,
    DEFAULT_OUTPUT_TOKENS,
    DEFAULT_TEMPERATURE,
    DEFAULT_TOP_P,
    EMBEDDING_MODEL,
    EMBEDDING_SIZE,
)
from hive_routing.providers.local.models import LocalModels, Patience
from hive_routing.providers.local.reading import read_chat, read_completion, read_embedding, read_rerank
from hive_routing.providers.local.template import render
from hive_routing.providers.local.wire import ChatRequest, CompletionRequest, Sampling
from hive_routing.providers.port import ProviderAnswer, ProviderCall
from hive_runtime.clock import Clock, SystemClock
from hive_runtime.errors import HiveError, Kind

_JSON = {"content-type": "application/json"}
_SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_LARGE_BODY = 64 * 1024  # bytes above which reading or writing JSON would be felt by the event loop
_COMPLETION_TOKENS = 16
# Without room for blanks between its tokens, a small model cannot lose itself in them.
_COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}

T = TypeVar("T")


class LocalProvider:
    """Implements the port `Provider`. Model processes start at the first call that needs them.

    threads: for the native code of each model; chosen by the number of cores if None.
    """

    speaks = ("chat", "completions", "embeddings", "rerank")

    def __init__(self, threads: int | None = None, clock: Clock | None = None) -> None:
        self.models = LocalModels(threads)
        self._clock = clock or SystemClock()

    async def send(self, call: ProviderCall) -> ProviderAnswer:
        """Returns when the whole answer is there, or, of a stream, its first token. Raises HiveError."""
        patience = Patience(call.timeouts)
        if call.operation == "embeddings":
            return await self._embed(_for(call, EMBEDDING_MODEL), patience)
        if call.operation == "rerank":
            return await self._rank(_for(call, EMBEDDING_MODEL), patience)
        if call.operation == "completions":
            return await self._complete(_for(call, CHAT_MODEL), patience)
        if call.operation == "chat":
            return await self._chat(_for(call, CHAT_MODEL), patience)
        raise HiveError(Kind.INVALID, f"local models do not serve {call.operation!r}", "model")

    async def close(self) -> None:
        """Calls in flight fail; returns when the model processes are gone."""
        await self.models.close()

    async def _chat(self, call: ProviderCall, patience: Patience) -> ProviderAnswer:
        request = await _off_loop(len(call.body), lambda: read_chat(call.body, call.stream))
        tool = await tools.choose(tools.offered(request), request.messages, self.models, patience)
        form = dialect.CallForm(tool.function.name) if tool else dialect.ChatForm()
        works = [_chat_work(request, tool, place) for place in range(request.n or 1)]
        return await self._answer(call, form, request, works, patience)

    async def _complete(self, call: ProviderCall, patience: Patience) -> ProviderAnswer:
        request = await _off_loop(len(call.body), lambda: read_completion(call.body, call.stream))
        n = request.n or 1
        prompts = [prompt for prompt in request.prompts() for _ in range(n)]
        echoes = [prompt if request.echo and isinstance(prompt, str) else "" for prompt in prompts]
        works = [_completion_work(request, prompt, place % n) for place, prompt in enumerate(prompts)]
        return await self._answer(call, dialect.TextForm(echoes), request, works, patience)

    async def _answer(
        self,
        call: ProviderCall,
        form: dialect.Form,
        request: Sampling,
        works: list[Generate],
        patience: Patience,
    ) -> ProviderAnswer:
        answer = dialect.Answer(form, PREFIX + call.model, int(self._clock.now()), request.n or 1)
        events = self.models.generate(works, patience)
        if not call.stream:
            return ProviderAnswer(200, _JSON, _once(await answer.whole(events)))
        body = answer.stream(events, request.include_usage)
        # Up to the first token: errors are raised from here, and a generator that runs can be closed.
        await anext(body)
        return ProviderAnswer(200, _SSE, body)

    async def _embed(self, call: ProviderCall, patience: Patience) -> ProviderAnswer:
        request = await _off_loop(len(call.body), lambda: read_embedding(call.body))
        size = request.dimensions or EMBEDDING_SIZE
        data, tokens = await self.models.embed(Embed(inputs=request.inputs(), size=size), patience)
        base64 = request.encoding_format == "base64"
        body = await _off_loop(
            len(data), lambda: dialect.embeddings(data, size, tokens, PREFIX + call.model, base64)
        )
        return ProviderAnswer(200, _JSON, _once(body))

    async def _rank(self, call: ProviderCall, patience: Patience) -> ProviderAnswer:
        """By how near the vectors of query and documents are to each other; long documents by their beginning."""
        asked = read_rerank(call.body)
        work = Embed(inputs=[asked.query, *asked.documents], size=EMBEDDING_SIZE, cut=True)
        data, tokens = await self.models.embed(work, patience)
        body = await _off_loop(len(data), lambda: dialect.ranking(data, EMBEDDING_SIZE, tokens, asked.top_n))
        return ProviderAnswer(200, _JSON, _once(body))


PREFIX = "local/"
"""What callers put before these models' names; an answer names the model as they did."""


def _for(call: ProviderCall, model: str) -> ProviderCall:
    if call.model not in (CHAT_MODEL, EMBEDDING_MODEL):
        raise HiveError(Kind.NOT_FOUND, f"there is no local model {call.model!r}", "model")
    if call.model != model:
        message = f"{call.operation} is not possible with {call.model!r}; use {model!r}"
        raise HiveError(Kind.INVALID, message, "model")
    return call


def _chat_work(request: ChatRequest, tool: tools.Call | None, sample: int) -> Generate:
    work = _work(request, render(request.messages, tool.function if tool else None), "messages", sample)
    work.max_tokens = request.max_completion_tokens or request.max_tokens or DEFAULT_OUTPUT_TOKENS
    if tool is not None:
        work.stop = []  # stop texts are for prose: a call that is cut is no call
        work.schema, work.schema_param = _schema(tools.arguments(tool.function)), tool.param
    elif (form := request.response_format) is not None and form.type != "text":
        work.schema = _schema(form.json_schema.schema if form.json_schema else {})
        work.schema_param = "response_format"
    return work


def _completion_work(request: CompletionRequest, prompt: str | list[int], sample: int) -> Generate:
    work = _work(request, prompt, "prompt", sample)
    work.max_tokens = _COMPLETION_TOKENS if request.max_tokens is None else request.max_tokens
    return work


def _work(request: Sampling, prompt: str | list[int], param: str, sample: int) -> Generate:
    return Generate(
        prompt=prompt,
        prompt_param=param,
        temperature=DEFAULT_TEMPERATURE if request.temperature is None else request.temperature,
        top_p=DEFAULT_TOP_P if request.top_p is None else request.top_p,
        stop=request.stops,
        seed=None if request.seed is None else request.seed + sample,
        presence_penalty=request.presence_penalty or 0.0,
        frequency_penalty=request.frequency_penalty or 0.0,
        logit_bias=request.biases(),
    )


def _schema(schema: dict[str, Any]) -> str:
    """One line of JSON; an empty schema asks for any object."""
    return msgspec.json.encode({**(schema or {"type": "object"}), "x-guidance": _COMPACT}).decode()


async def _off_loop(size: int, work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work) if size > _LARGE_BODY else work()


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
