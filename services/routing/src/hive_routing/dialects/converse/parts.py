"""Content blocks of Converse, read as parts of the form.

A block of a kind that the form does not have, or with a member that has no place in it, is carried along whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from hive_routing.dialects.converse.formats import TYPES
from hive_routing.dialects.form import (
    CacheMark,
    Call,
    Media,
    Opaque,
    Part,
    Result,
    Seal,
    Text,
    Thinking,
    Tool,
)
from hive_routing.dialects.messages.parts import arguments_of
from hive_routing.dialects.seals import unpacked

NAME = "converse"
GIVEN_NAME = re.compile(r"document-\d+")
"""How documents are named that have no name: Converse wants one of each."""

Block = dict[str, Any]


class _CachePoint(msgspec.Struct):
    type: Literal["default"]
    ttl: str | None = None


class _Image(msgspec.Struct):
    format: str
    source: Block


class _Document(msgspec.Struct):
    name: str
    source: Block
    format: str = ""
    context: str | None = None


class _ToolUse(msgspec.Struct):
    toolUseId: str
    name: str
    input: Any


class _ToolResult(msgspec.Struct):
    toolUseId: str
    content: list[Block]
    status: Literal["success", "error"] = "success"


class _ReasoningText(msgspec.Struct):
    text: str
    signature: str = ""


def parts_of(blocks: list[Block]) -> list[Part]:
    """`Text` of no characters is left out. Raises msgspec.ValidationError."""
    parts: list[Part] = []
    for place, block in enumerate(blocks):
        try:
            part = _part_of(block)
        except msgspec.ValidationError as error:
            problem, _, at = str(error).partition(" - at `$")
            raise msgspec.ValidationError(f"{problem} - at `$[{place}]{at.rstrip('`')}`") from None
        if isinstance(part, CacheMark):
            mark(parts, part)
        elif part != Text():
            parts.append(part)
    return parts


def mark(parts: list[Part] | list[Tool | Opaque], point: CacheMark) -> None:
    """A cache point belongs to what stands before it; where that cannot have one, it is carried along."""
    last = parts[-1] if parts else None
    if isinstance(last, Text | Media | Call | Result | Tool) and last.cache is None:
        last.cache = point
    else:
        parts.append(Opaque(NAME, "cachePoint", _cache_point(point)))


def cache_mark(value: Any) -> CacheMark:
    """Raises msgspec.ValidationError."""
    return CacheMark(msgspec.convert(value, _CachePoint).ttl)


def only_member(block: Block) -> tuple[str, Any]:
    """The name and the value of the member that a union has. Raises msgspec.ValidationError."""
    if len(block) != 1:
        raise msgspec.ValidationError(f"Expected one member, got {len(block)}")
    return next(iter(block.items()))


def _cache_point(point: CacheMark) -> Block:
    return {"type": "default"} | ({} if point.ttl is None else {"ttl": point.ttl})


def _part_of(block: Block) -> Part | CacheMark:
    kind, value = only_member(block)
    try:
        return cache_mark(value) if kind == "cachePoint" else _read(kind, value)
    except msgspec.ValidationError as error:
        problem, _, at = str(error).partition(" - at `$")
        raise msgspec.ValidationError(f"{problem} - at `$.{kind}{at.rstrip('`')}`") from None


def _read(kind: str, value: Any) -> Part:
    reading = _READINGS.get(kind)
    if reading is None or (isinstance(value, dict) and not value.keys() <= reading.members):
        return Opaque(NAME, kind, value)
    return reading.read(kind, value)


def _text(kind: str, value: Any) -> Part:
    return Text(msgspec.convert(value, str))


def _media(kind: str, value: Any) -> Part:
    read = msgspec.convert(value, _Image)
    return _sourced(kind, value, read.format, read.source, Media("image"))


def _document(kind: str, value: Any) -> Part:
    read = msgspec.convert(value, _Document)
    name = None if GIVEN_NAME.fullmatch(read.name) else read.name
    return _sourced(kind, value, read.format, read.source, Media("document", name=name, context=read.context))


def _sourced(kind: Any, value: Block, format: str, source: Block, media: Media) -> Part:
    """The medium with what it is of; in a form that is not known here, the whole block."""
    media.kind, media.mime = kind, TYPES[kind].get(format)
    place = source.get("s3Location")
    if source.keys() == {"bytes"}:
        media.data = msgspec.convert(source["bytes"], str)
    elif source.keys() == {"s3Location"} and isinstance(place, dict) and place.keys() == {"uri"}:
        media.url = msgspec.convert(place["uri"], str)
    else:
        return Opaque(NAME, kind, value)
    return media if media.mime is not None else Opaque(NAME, kind, value)


def _call(kind: str, value: Any) -> Part:
    read = msgspec.convert(value, _ToolUse)
    is_object = isinstance(read.input, dict)
    arguments = arguments_of(read.input) if is_object else msgspec.json.encode(read.input).decode()
    return Call(read.toolUseId, read.name, arguments)


def _result(kind: str, value: Any) -> Part:
    """What is given as JSON is read as its source: models are shown nothing else."""
    read = msgspec.convert(value, _ToolResult)
    blocks = [
        {"text": msgspec.json.encode(block["json"]).decode()} if block.keys() == {"json"} else block
        for block in read.content
    ]
    parts: list[Text | Media | Opaque] = []
    for part in parts_of(blocks):
        if not isinstance(part, Text | Media | Opaque):
            raise msgspec.ValidationError("Expected text, JSON, images or the like - at `$.content`")
        parts.append(part)
    return Result(read.toolUseId, parts, is_error=read.status == "error")


def _thinking(kind: str, value: Any) -> Part:
    kind, value = only_member(msgspec.convert(value, Block))
    if kind == "redactedContent":
        return Thinking(seal=Seal(NAME, "redacted", msgspec.convert(value, str)))
    if kind != "reasoningText":
        return Opaque(NAME, "reasoningContent", {kind: value})
    read = msgspec.convert(value, _ReasoningText)
    return Thinking(read.text, unpacked(read.signature, NAME, "signature") if read.signature else None)


class _Reading(NamedTuple):
    """How a kind of block is read. members: those that the form has a place for."""

    read: Callable[[str, Any], Part]
    members: frozenset[str]


def _reading(read: Callable[[str, Any], Part], *members: str) -> _Reading:
    return _Reading(read, frozenset(members))


_READINGS: Mapping[str, _Reading] = {
    "text": _reading(_text),
    "image": _reading(_media, "format", "source"),
    "video": _reading(_media, "format", "source"),
    "audio": _reading(_media, "format", "source"),
    "document": _reading(_document, "format", "name", "source", "context"),
    "toolUse": _reading(_call, "toolUseId", "name", "input"),
    "toolResult": _reading(_result, "toolUseId", "content", "status"),
    "reasoningContent": _reading(_thinking, "reasoningText", "redactedContent"),
}
