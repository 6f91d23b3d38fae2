"""Answers in the OpenAI dialect: from pieces of text to JSON, or to server-sent events."""

from __future__ import annotations

import binascii
import uuid
from array import array
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from math import sqrt
from operator import mul
from typing import Any, Protocol

import msgspec

from hive_routing.providers.local.frames import Finished, FromWorker, Piece
from hive_routing.providers.local.models import Event

Json = dict[str, Any]
Told = AsyncGenerator[Event, None]
_encode = msgspec.json.Encoder().encode
_DONE = b"data: [DONE]\n\n"


class Usage:
    """Tokens of all choices; a prompt counts once, however many answers it gets."""

    def __init__(self, choices_per_prompt: int) -> None:
        self._choices_per_prompt = choices_per_prompt
        self._prompt = self._cached = self._completion = 0

    def add(self, place: int, finished: Finished) -> None:
        self._completion += finished.completion_tokens
        if place % self._choices_per_prompt == 0:
            self._prompt += finished.prompt_tokens
            self._cached += finished.cached_tokens

    def json(self) -> Json:
        return {
            "prompt_tokens": self._prompt,
            "completion_tokens": self._completion,
            "total_tokens": self._prompt + self._completion,
            "prompt_tokens_details": {"cached_tokens": self._cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }


class Form(Protocol):
    """How one endpoint words its answers."""

    prefix: str
    object: str
    chunk_object: str

    def choice(self, index: int, text: str, reason: str) -> Json:
        """A whole choice."""
        ...

    def opening(self, index: int) -> Iterator[Json]:
        """The choices that begin a streamed answer."""
        ...

    def piece(self, index: int, text: str) -> Json: ...

    def closing(self, index: int, reason: str) -> Json: ...


class TextForm:
    """POST /v1/completions. echoes: per choice, the prompt to repeat before the answer."""

    prefix, object, chunk_object = "cmpl-", "text_completion", "text_completion"

    def __init__(self, echoes: list[str]) -> None:
        self._echoes = echoes

    def choice(self, index: int, text: str, reason: str) -> Json:
        return self._choice(index, self._echoes[index] + text, reason)

    def opening(self, index: int) -> Iterator[Json]:
        if self._echoes[index]:
            yield self._choice(index, self._echoes[index], None)

    def piece(self, index: int, text: str) -> Json:
        return self._choice(index, text, None)

    def closing(self, index: int, reason: str) -> Json:
        return self._choice(index, "", reason)

    def _choice(self, index: int, text: str, reason: str | None) -> Json:
        return {"text": text, "index": index, "logprobs": None, "finish_reason": reason}


class ChatForm:
    """POST /v1/chat/completions, in words."""

    prefix, object, chunk_object = "chatcmpl-", "chat.completion", "chat.completion.chunk"

    def choice(self, index: int, text: str, reason: str) -> Json:
        message: Json = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}

    def opening(self, index: int) -> Iterator[Json]:
        yield _delta(index, {"role": "assistant", "content": ""})

    def piece(self, index: int, text: str) -> Json:
        return _delta(index, {"content": text})

    def closing(self, index: int, reason: str) -> Json:
        return _delta(index, {}, reason)


class CallForm(ChatForm):
    """POST /v1/chat/completions, where each answer calls one function: the pieces are its arguments."""

    def __init__(self, function: str) -> None:
        self._function = function

    def choice(self, index: int, text: str, reason: str) -> Json:
        calls = [self._call(text)]
        message: Json = {"role": "assistant", "content": None, "refusal": None, "tool_calls": calls}
        return {"index": index, "message": message, "logprobs": None, "finish_reason": _calling(reason)}

    def opening(self, index: int) -> Iterator[Json]:
        yield _delta(index, {"role": "assistant", "content": None})
        yield _delta(index, {"tool_calls": [{"index": 0, **self._call("")}]})

    def piece(self, index: int, text: str) -> Json:
        return _delta(index, {"tool_calls": [{"index": 0, "function": {"arguments": text}}]})

    def closing(self, index: int, reason: str) -> Json:
        return _delta(index, {}, _calling(reason))

    def _call(self, arguments: str) -> Json:
        function = {"name": self._function, "arguments": arguments}
        return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}


def _delta(index: int, delta: Json, reason: str | None = None) -> Json:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}


def _calling(reason: str) -> str:
    return "tool_calls" if reason == "stop" else reason


class Answer:
    """One answer of a model: its id, time and model are the same in every part of it."""

    def __init__(self, form: Form, model: str, created: int, choices_per_prompt: int) -> None:
        self._form = form
        self._usage = Usage(choices_per_prompt)
        self._head = {"id": f"{form.prefix}{uuid.uuid4().hex}", "created": created, "model": model}

    async def whole(self, events: Told) -> bytes:
        """The JSON body, when all is written. Raises HiveError."""
        texts: dict[int, list[str]] = {}
        choices = []
        async with aclosing(events):
            async for place, event in events:
                if isinstance(event, Piece):
                    texts.setdefault(place, []).append(event.text)
                elif isinstance(event, Finished):
                    self._usage.add(place, event)
                    choices.append(self._form.choice(place, "".join(texts.get(place, ())), event.reason))
        body = {"object": self._form.object, "choices": choices, "usage": self._usage.json()}
        return _encode({**self._head, **body})

    async def stream(self, events: Told, include_usage: bool) -> AsyncGenerator[bytes, None]:
        """Server-sent events. The first item is empty: it says that the model has begun. Raises HiveError."""
        opened: set[int] = set()
        async with aclosing(events):
            async for place, event in events:
                if not opened:
                    yield b""
                if place not in opened:
                    opened.add(place)
                    for choice in self._form.opening(place):
                        yield self._chunk(choice, include_usage)
                for choice in self._choices(place, event):
                    yield self._chunk(choice, include_usage)
        if include_usage:
            yield self._data({"choices": [], "usage": self._usage.json()})
        yield _DONE

    def _choices(self, place: int, event: FromWorker) -> Iterator[Json]:
        if isinstance(event, Piece):
            yield self._form.piece(place, event.text)
        elif isinstance(event, Finished):
            self._usage.add(place, event)
            yield self._form.closing(place, event.reason)

    def _chunk(self, choice: Json, include_usage: bool) -> bytes:
        return self._data({"choices": [choice], "usage": None} if include_usage else {"choices": [choice]})

    def _data(self, body: Json) -> bytes:
        return b"data: " + _encode({**self._head, "object": self._form.chunk_object, **body}) + b"\n\n"


def embeddings(data: bytes, size: int, tokens: int, model: str, base64: bool) -> bytes:
    """The JSON body of POST /v1/embeddings. data: vectors of `size` little-endian float32."""
    step = size * array("f").itemsize
    vectors = (data[start : start + step] for start in range(0, len(data), step))
    words = _base64 if base64 else _floats
    items = [{"object": "embedding", "index": i, "embedding": words(v)} for i, v in enumerate(vectors)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _encode({"object": "list", "data": items, "model": model, "usage": usage})


def ranking(data: bytes, size: int, tokens: int, top_n: int | None) -> bytes:
    """The JSON body of a rerank answer. data: vectors of `size` little-endian float32, that of the query first."""
    step = size * array("f").itemsize
    query, *documents = (array("f", data[start : start + step]) for start in range(0, len(data), step))
    near = [
        max(0.0, sum(map(mul, query, each)) / (_length(query) * _length(each) or 1.0)) for each in documents
    ]
    order = sorted(range(len(near)), key=near.__getitem__, reverse=True)[:top_n]
    results = [{"index": index, "relevance_score": near[index]} for index in order]
    return _encode({"results": results, "meta": {"billed_units": {"input_tokens": tokens}}})


def _length(vector: array[float]) -> float:
    return sqrt(sum(map(mul, vector, vector)))


def _base64(vector: bytes) -> str:
    return binascii.b2a_base64(vector, newline=False).decode()


def _floats(vector: bytes) -> list[float]:
    return array("f", vector).tolist()
