"""Content blocks of Anthropic's messages, read as parts of the form.

A block of a kind that the form does not have, or with a member that has no place in it, is carried along whole.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from hive_routing.dialects.form import CacheMark, Call, Media, Opaque, Part, Result, Text, Thinking
from hive_routing.dialects.seals import unpacked, unsealed_id

NAME = "messages"
INVALID_JSON = "INVALID_JSON"
"""Anthropic's own name for the only member of an input that stands for text which is no JSON object."""

Block = dict[str, Any]

_SAYS_NOTHING: Mapping[str, tuple[Any, ...]] = {
    "caller": ({"type": "direct"},),
    "citations": ([], {"enabled": False}),
    "transformations": ({},),
}
"""Values of members without a place in the form that are the same as none."""


class _CacheControl(msgspec.Struct):
    type: str
    ttl: str | None = None


class _TextBlock(msgspec.Struct):
    text: str
    cache_control: _CacheControl | None = None


class _Source(msgspec.Struct):
    type: str
    media_type: str | None = None
    data: str = ""
    url: str = ""
    file_id: str = ""


class _MediaBlock(msgspec.Struct):
    type: Literal["image", "document"]
    source: _Source
    title: str | None = None
    context: str | None = None
    cache_control: _CacheControl | None = None


class _ToolUse(msgspec.Struct):
    id: str
    name: str
    input: dict[str, Any] = {}
    cache_control: _CacheControl | None = None


class _ToolResult(msgspec.Struct):
    tool_use_id: str
    content: str | list[Block] | None = None
    is_error: bool | None = None
    cache_control: _CacheControl | None = None


class _ThinkingBlock(msgspec.Struct):
    thinking: str
    signature: str = ""


class _RedactedThinking(msgspec.Struct):
    data: str


class _Reading(NamedTuple):
    """How a kind of block is read. members: those that the form has a place for."""

    members: frozenset[str]
    read: Callable[[Block], Part]


def part_of(block: Block) -> Part:
    """Raises msgspec.ValidationError for a block of a known kind that is not as it has to be."""
    kind = block.get("type")
    if not isinstance(kind, str):
        raise msgspec.ValidationError("Object missing required field `type`")
    reading = _READINGS.get(kind)
    if reading is None or (not block.keys() <= reading.members and _has_more(block, reading.members)):
        return Opaque(NAME, kind, block)
    return reading.read(block)


def parts_of(content: str | list[Block]) -> list[Part]:
    """The parts of what may be said as a string."""
    parts = [Text(content)] if isinstance(content, str) else [part_of(block) for block in content]
    return [part for part in parts if not says_nothing(part)]


def says_nothing(part: Part) -> bool:
    """Such parts are left out of the form."""
    return isinstance(part, Text | Thinking) and not part.text and part.seal is None


def arguments_of(input: dict[str, Any]) -> str:
    """JSON source, with the members in their order."""
    if input.keys() == {INVALID_JSON} and isinstance(input[INVALID_JSON], str):
        return str(input[INVALID_JSON])
    return msgspec.json.encode(input).decode()


def mark_of(control: _CacheControl | None) -> CacheMark | None:
    return None if control is None else CacheMark(control.ttl)


def cache_mark(control: Any) -> CacheMark | None:
    """Of a decoded `cache_control`. Raises msgspec.ValidationError."""
    return mark_of(msgspec.convert(control, _CacheControl | None))


def _has_more(block: Block, members: frozenset[str]) -> bool:
    return any(
        name not in members and value is not None and value not in _SAYS_NOTHING.get(name, ())
        for name, value in block.items()
    )


def _text(block: Block) -> Part:
    read = msgspec.convert(block, _TextBlock)
    return Text(read.text, mark_of(read.cache_control))


def _media(block: Block) -> Part:
    read = msgspec.convert(block, _MediaBlock)
    media = Media(read.type, name=read.title, context=read.context, cache=mark_of(read.cache_control))
    source = read.source
    if source.type == "base64":
        media.mime, media.data = source.media_type, source.data
    elif source.type == "text" and read.type == "document":
        media.mime, media.data = "text/plain", base64.b64encode(source.data.encode()).decode()
    elif source.type == "url":
        media.url = source.url
    elif source.type == "file":
        media.file_id = source.file_id
    else:
        return Opaque(NAME, read.type, block)
    return media


def _call(block: Block) -> Part:
    read = msgspec.convert(block, _ToolUse)
    id, seal = unsealed_id(read.id)
    return Call(id, read.name, arguments_of(read.input), mark_of(read.cache_control), seal)


def _result(block: Block) -> Part:
    read = msgspec.convert(block, _ToolResult)
    parts: list[Text | Media | Opaque] = []
    for part in parts_of(read.content or ""):
        if not isinstance(part, Text | Media | Opaque):
            raise msgspec.ValidationError("Expected text, images, documents or the like - at `$.content`")
        parts.append(part)
    id, _ = unsealed_id(read.tool_use_id)
    return Result(id, parts, is_error=bool(read.is_error), cache=mark_of(read.cache_control))


def _thinking(block: Block) -> Part:
    read = msgspec.convert(block, _ThinkingBlock)
    seal = unpacked(read.signature, NAME, "signature") if read.signature else None
    return Thinking(read.thinking, seal)


def _redacted(block: Block) -> Part:
    return Thinking(seal=unpacked(msgspec.convert(block, _RedactedThinking).data, NAME, "redacted"))


def _reading(read: Callable[[Block], Part], *members: str) -> _Reading:
    return _Reading(frozenset(("type", *members)), read)


_READINGS: Mapping[str, _Reading] = {
    "text": _reading(_text, "text", "cache_control"),
    "image": _reading(_media, "source", "cache_control"),
    "document": _reading(_media, "source", "title", "context", "cache_control"),
    "tool_use": _reading(_call, "id", "name", "input", "cache_control"),
    "tool_result": _reading(_result, "tool_use_id", "content", "is_error", "cache_control"),
    "thinking": _reading(_thinking, "thinking", "signature"),
    "redacted_thinking": _reading(_redacted, "data"),
}
