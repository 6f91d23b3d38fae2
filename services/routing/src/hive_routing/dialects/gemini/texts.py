"""Where the words stand in what Google's clients send and get."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.dialects.encoded import Decoded, is_text
from hive_routing.dialects.gemini.fields import camel, listed
from hive_routing.dialects.places import UNREADABLE, Document, Place, Slot
from hive_routing.dialects.words import Spot, everywhere, label, words
from hive_routing.guarding.port import Origin


def prompt_texts(fields: Mapping[str, Raw]) -> dict[str, Document]:
    """By the member of the body that holds them. What cannot be read is refused elsewhere."""
    found = {}
    for name, raw in fields.items():
        read = _READERS.get(camel(name))
        if read is None:
            continue
        try:
            holder = {name: msgspec.json.decode(raw)}
        except UNREADABLE:
            continue
        found[name] = Document(holder, list(read(holder, name)))
    return found


def answer_texts(value: Any) -> Iterator[Slot]:
    for _, part in _answered(value):
        yield from _part(part)


def event_texts(value: Any) -> Iterator[Place]:
    """A channel is what a candidate says, what it thinks, or one text in something that comes whole."""
    for index, part in _answered(value):
        call = part.get("functionCall")
        named = (label(call.get("id")), label(call.get("name"))) if isinstance(call, dict) else ()
        number = 0
        for slot in _part(part):
            if slot.place is part and slot.key == "text":
                yield Place((index, "thought" if part.get("thought") else "text"), part, "text")
                continue
            yield Place((index, *named, number), slot.place, slot.key)
            number += 1


def _answered(value: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The index of its candidate, and the part, of each part in a response."""
    candidates = value.get("candidates") if isinstance(value, dict) else None
    for candidate in objects(candidates):
        content = candidate.get("content")
        for part in objects(content.get("parts") if isinstance(content, dict) else None):
            yield label(candidate.get("index", 0)), part


def _part(part: dict[str, Any]) -> Iterator[Slot]:
    for spot in _said(part, Origin.MODEL):
        yield from words(spot)


def _contents(holder: dict[str, Any], name: str) -> Iterator[Slot]:
    yield from words(Spot(holder, name, Origin.USER, _said))


def _system(holder: dict[str, Any], name: str) -> Iterator[Slot]:
    yield from words(Spot(holder, name, Origin.APPLICATION, _said))


def _said(value: dict[str, Any], origin: Origin) -> Iterator[Spot]:
    """In a content, or a part: whatever it is called, unless it is known to be no words.

    A thought's signature keeps nobody from writing other words beside it, so thoughts are read like all else.
    """
    if any(each == "model" and camel(name) == "role" for name, each in value.items()):
        origin = Origin.MODEL
    for name in value:
        kind = camel(name)
        if kind in _SAID:
            yield Spot(value, name, origin, _said)
        elif kind in _FILES:
            yield Spot(value, name, origin, _file)
        elif kind in _WHOSE:
            yield Spot(value, name, _WHOSE[kind], _inside)
        elif kind not in _WORDLESS:
            yield Spot(value, name, origin, everywhere)


def _inside(value: dict[str, Any], origin: Origin) -> Iterator[Spot]:
    """In a call, or in what it gave."""
    for name in value:
        kind = camel(name)
        if kind == "parts":
            yield Spot(value, name, origin, _said)
        elif kind not in _NAMES:
            yield Spot(value, name, origin, everywhere)


def _file(value: dict[str, Any], origin: Origin) -> Iterator[Spot]:
    """Its name, and its data where these are words."""
    is_words = any(is_text(each) and camel(name) == "mimeType" for name, each in value.items())
    for name, each in value.items():
        kind = camel(name)
        if kind == "displayName":
            yield Spot(value, name, origin, everywhere)
        elif kind == "data" and is_words and isinstance(each, str):
            yield Spot(Decoded(value), name, origin, everywhere)


_SAID = frozenset({"text", "parts"})
_FILES = frozenset({"inlineData", "fileData"})
_WORDLESS = frozenset({"role", "thought", "thoughtSignature", "videoMetadata", "mediaResolution"})
_NAMES = frozenset({"id", "name", "language", "outcome", "toolType", "willContinue", "scheduling"})
"""Members of calls and results that say which one it is."""
_WHOSE: Mapping[str, Origin] = {
    "functionCall": Origin.MODEL,
    "functionResponse": Origin.TOOL,
    "executableCode": Origin.MODEL,
    "codeExecutionResult": Origin.TOOL,
    "toolCall": Origin.MODEL,
    "toolResponse": Origin.TOOL,
}
"""By kind of part."""


def _tools(holder: dict[str, Any], name: str) -> Iterator[Slot]:
    for tool in objects(listed(holder[name])):
        for kind, declared in tool.items():
            if camel(kind) == "functionDeclarations":
                for function in objects(listed(declared)):
                    yield from _description(function)


def _description(function: dict[str, Any]) -> Iterator[Slot]:
    for name, each in function.items():
        if camel(name) == "description" and isinstance(each, str):
            yield Slot.at(function, name, Origin.APPLICATION)


_READERS: Mapping[str, Callable[[dict[str, Any], str], Iterator[Slot]]] = {
    "contents": _contents,
    "systemInstruction": _system,
    "tools": _tools,
}


def objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
