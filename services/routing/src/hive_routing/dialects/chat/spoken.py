"""What an assistant said, read as parts: the same members hold it in answers and in prompts.

Of members that compatible providers and clients put beside OpenAI's, these are known: `reasoning_content` and
`reasoning` (what the model thought), `images`, `extra_content` of a call (Google's thought signature),
and `reasoning_details` as far as it is ours (`details.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from hive_routing.dialects.chat.details import Detail, divided, read_details, seal_of, unpacked_part
from hive_routing.dialects.form import Call, Media, Opaque, Part, Refusal, Seal, Text, Thinking
from hive_routing.dialects.seals import unpacked, unsealed_id

NAME = "chat"
THOUGHT = ("reasoning_content", "reasoning")
"""Members that hold what a model thought. Providers who have one want it back there."""
VENDORS = ("google", "vertex")
"""Who has a place for thought signatures in `extra_content`."""
BLOCK = "thinking"
"""Mistral's type of a part of `content` that holds what the model thought."""


class Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class ToolCall(msgspec.Struct):
    id: str | None = None
    index: int | None = None
    type: str | None = None
    function: Function | None = None
    custom: dict[str, Any] | None = None
    extra_content: Any = None


class Spoken(msgspec.Struct):
    """The members of a message, or of a delta, that are the assistant's."""

    content: str | list[dict[str, Any]] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    reasoning_details: Any = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    audio: dict[str, Any] | None = None
    annotations: Any = None
    images: list[Any] | None = None
    extra_content: Any = None


def thought(member: str) -> Seal:
    """Marks what a provider thought by the place where it wants it back."""
    return Seal(NAME, member, "")


def thinking_of(said: Spoken, details: Sequence[Detail]) -> list[Thinking]:
    """Some providers tell it in both members."""
    member, text = THOUGHT[0], said.reasoning_content
    if not text and isinstance(said.reasoning, str):
        member, text = THOUGHT[1], said.reasoning
    stretches = divided(text or "", details, "thinking")
    return [
        Thinking(each, thought(member))
        if detail is None
        else Thinking(each, seal_of(detail), detail.is_summary, detail.id)
        for each, detail in stretches
    ]


def text_of(text: str, details: Sequence[Detail]) -> list[Text]:
    stretches = divided(text, details, "text")
    return [Text(each, seal=seal_of(detail) if detail is not None else None) for each, detail in stretches]


def block_text(block: dict[str, Any]) -> str:
    """Of a part of `content` that holds thoughts: a string, or parts of text."""
    inner = block.get(BLOCK)
    if isinstance(inner, str):
        return inner
    texts = [each.get("text") for each in inner or () if isinstance(each, dict)]
    return "".join(text for text in texts if isinstance(text, str))


def blocks_of(content: Sequence[dict[str, Any]]) -> list[Part]:
    """The parts of an answer's `content` where it is a list."""
    parts: list[Part] = []
    for block in content:
        kind = str(block.get("type", "text"))
        if kind == "text":
            text = block.get("text")
            if isinstance(text, str) and text:
                parts.append(Text(text))
        elif kind == "refusal":
            parts.append(Refusal(str(block.get("refusal", ""))))
        elif kind == BLOCK:
            parts.append(Thinking(block_text(block), thought(BLOCK)))
        else:
            parts.append(Opaque(NAME, kind, block))
    return parts


def parts_of(said: Spoken, content: list[Part] | None, new_id: Callable[[], str]) -> list[Part]:
    """In the order of the form. content: its parts, where they were read already. new_id: of a call without one."""
    details = read_details(said.reasoning_details)
    if content is None:
        text = said.content
        content = blocks_of(text) if isinstance(text, list) else [*text_of(text or "", details)]
    parts: list[Part] = [*thinking_of(said, details), *content]
    if said.refusal:
        parts.append(Refusal(said.refusal))
    parts += map(image_of, said.images or ())
    if said.audio:
        parts.append(Opaque(NAME, "audio", said.audio))
    if said.annotations:
        parts.append(Opaque(NAME, "annotations", said.annotations))
    parts += [part for part in map(unpacked_part, details) if part is not None]
    parts += [call_of(call, new_id) for call in said.tool_calls or ()]
    if said.function_call is not None:
        parts.append(call_of(ToolCall(function=said.function_call), new_id))
    return parts


def image_of(value: Any) -> Media | Opaque:
    """What a model drew, as vendors of such models give it."""
    inner = value.get("image_url") if isinstance(value, dict) else None
    url = inner.get("url") if isinstance(inner, dict) else inner
    if not isinstance(url, str):
        return Opaque(NAME, "images", value)
    head, comma, data = url.partition(";base64,")
    return Media("image", head.removeprefix("data:"), data) if comma else Media("image", url=url)


def call_of(call: ToolCall, new_id: Callable[[], str]) -> Call | Opaque:
    id, seal = unsealed_id(call.id) if call.id else (new_id(), None)
    if call.custom is not None:
        return Opaque(NAME, "custom", {"id": id, "type": "custom", "custom": call.custom})
    function = call.function or Function()
    return Call(
        id, function.name or "", source_of(function.arguments), seal=seal or signature(call.extra_content)
    )


def source_of(arguments: str | dict[str, Any] | None) -> str:
    """JSON source; some providers give the object itself."""
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()


def signature(extra: Any) -> Seal | None:
    """What Google's models want back with a call. One that is not packed came from a provider of chat."""
    for vendor in VENDORS:
        place = extra.get(vendor) if isinstance(extra, dict) else None
        value = place.get("thought_signature") if isinstance(place, dict) else None
        if isinstance(value, str):
            return unpacked(value, NAME, vendor)
    return None
