"""Our own count of what went in and came out: before a provider states its figures, and where it never does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from hive_routing.dialects.form import (
    Answer,
    Call,
    Media,
    Opaque,
    Part,
    Prompt,
    Refusal,
    Result,
    Text,
    Thinking,
    Tool,
)
from hive_routing.request import Request
from hive_routing.tokens import PER_IMAGE, PER_MESSAGE, PER_NAME, PER_REPLY, Countable, TokenCounter
from hive_routing.usage import Usage

_AS_JSON = ("tools", "functions", "response_format")
_AS_TOKENS = ("prompt", "suffix", "input", "query", "documents")
"""In this order in every process: texts are counted one behind the other."""
_BESIDE = frozenset((*_AS_JSON, *_AS_TOKENS))


async def estimate(request: Request, output: Countable, model: str, counter: TokenCounter) -> Usage:
    """Usage by our own count."""
    prompt = await counter.count(prompt_of(request), model)
    return Usage.counted(prompt, await counter.count(output, model))


def prompt_of(request: Request) -> Countable:
    """What a model is asked, for counting."""
    if not request.endpoint.fields:
        return prompt_countable(request.prompt())
    counted, fields = Countable(), request.fields
    more = not _BESIDE.isdisjoint(fields)
    for name in _AS_JSON if more else ():
        if name in fields:
            counted.add_json(_value(request, name))
    if request.spoken is not None:
        texts = counted.texts
        for slot in request.spoken:
            texts += (slot.place["role"], slot.text)
        counted.extra += PER_REPLY + PER_MESSAGE * len(request.spoken)
    elif "messages" in fields:
        counted.add_messages(request.messages or _value(request, "messages"))
    for name in _AS_TOKENS if more else ():
        if name in fields:
            counted.add_tokens(_value(request, name))
    return counted


def prompt_countable(prompt: Prompt) -> Countable:
    """A prompt in the form between dialects, for counting."""
    counted = Countable(extra=PER_REPLY)
    for tool in prompt.tools:
        counted.add_json(_tool(tool) if isinstance(tool, Tool) else tool.value)
    counted.add_json(prompt.format.schema)
    for turn in prompt.turns:
        counted.extra += PER_MESSAGE
        if turn.name:
            counted.extra += PER_NAME
            counted.add(turn.name)
        _add_parts(counted, turn.parts)
    return counted


def answer_countable(answer: Answer) -> Countable:
    """An answer in the form between dialects, for counting."""
    counted = Countable()
    for choice in answer.choices:
        _add_parts(counted, choice.parts)
    return counted


def _tool(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": tool.schema}


def _add_parts(counted: Countable, parts: Iterable[Part]) -> None:
    for part in parts:
        match part:
            case Text() | Refusal() | Thinking():
                counted.add(part.text)
            case Call():
                counted.add([part.name, part.arguments])
            case Result():
                counted.extra += PER_MESSAGE
                _add_parts(counted, part.parts)
            case Media():
                _add_media(counted, part)
            case Opaque():
                counted.add_json(part.value)


def _add_media(counted: Countable, media: Media) -> None:
    if media.kind == "image":
        counted.extra += PER_IMAGE
        counted.images += 1
    elif media.data is None:
        counted.unseen += 1
    else:
        counted.media += len(media.data)


def _value(request: Request, name: str) -> Any:
    if name in request.decoded:
        return request.decoded.pop(name)
    try:
        return msgspec.json.decode(request.fields[name])
    except (msgspec.DecodeError, RecursionError):
        return None
