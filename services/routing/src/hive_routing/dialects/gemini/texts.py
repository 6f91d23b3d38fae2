"""Where the words stand in what Google's clients send and get."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.dialects.gemini.fields import camel, listed
from hive_routing.dialects.port import Place
from hive_routing.guarding.holding import UNREADABLE
from hive_routing.guarding.port import Origin
from hive_routing.guarding.texts import Document, Slot


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
        yield from _part(part, Origin.MODEL)


def event_texts(value: Any) -> Iterator[Place]:
    """A channel is what a candidate says, what it thinks, or one text in something that comes whole."""
    for index, part in _answered(value):
        if isinstance(part.get("text"), str):
            yield Place((index, "thought" if part.get("thought") else "text"), part, "text")
            continue
        call = part.get("functionCall")
        named = (call.get("id"), call.get("name")) if isinstance(call, dict) else ()
        for number, slot in enumerate(_part(part, Origin.MODEL)):
            yield Place((index, *named, number), slot.place, slot.key)


def _answered(value: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The index of its candidate, and the part, of each part in a response."""
    candidates = value.get("candidates") if isinstance(value, dict) else None
    for candidate in objects(candidates):
        content = candidate.get("content")
        for part in objects(content.get("parts") if isinstance(content, dict) else None):
            yield candidate.get("index", 0), part


def _contents(holder: dict[str, Any], name: str) -> Iterator[Slot]:
    yield from _content(holder, name, Origin.USER)


def _system(holder: dict[str, Any], name: str) -> Iterator[Slot]:
    yield from _content(holder, name, Origin.APPLICATION)


def _content(holder: Any, key: Any, origin: Origin) -> Iterator[Slot]:
    """A text, a content, a part, or several of them."""
    value = holder[key]
    if isinstance(value, str):
        yield Slot(holder, key, origin)
    elif isinstance(value, list):
        for place in range(len(value)):
            yield from _content(value, place, origin)
    elif isinstance(value, dict):
        if value.get("role") == "model":
            origin = Origin.MODEL
        if "parts" in value:
            yield from _content(value, "parts", origin)
        else:
            yield from _part(value, origin)


def _part(part: dict[str, Any], origin: Origin) -> Iterator[Slot]:
    """But for thoughts that are signed: these come back as Google made them, or not at all."""
    members = {camel(name): name for name in part}
    if isinstance(part.get("text"), str) and not (part.get("thought") and "thoughtSignature" in members):
        yield Slot(part, "text", origin)
    for kind, (inner, whose) in _WORDS.items():
        within = part.get(members.get(kind, ""))
        if isinstance(within, dict) and inner in within:
            yield from strings(within, inner, whose)


_WORDS: Mapping[str, tuple[str, Origin]] = {
    "functionCall": ("args", Origin.MODEL),
    "functionResponse": ("response", Origin.TOOL),
    "executableCode": ("code", Origin.MODEL),
    "codeExecutionResult": ("output", Origin.TOOL),
}
"""By kind of part: the member that has words in it, at whatever depth, and whose they are."""


def _tools(holder: dict[str, Any], name: str) -> Iterator[Slot]:
    for tool in objects(listed(holder[name])):
        for declarations in ("functionDeclarations", "function_declarations"):
            for function in objects(tool.get(declarations)):
                if isinstance(function.get("description"), str):
                    yield Slot(function, "description", Origin.APPLICATION)


_READERS: Mapping[str, Callable[[dict[str, Any], str], Iterator[Slot]]] = {
    "contents": _contents,
    "systemInstruction": _system,
    "tools": _tools,
}


def strings(holder: Any, key: Any, origin: Origin) -> Iterator[Slot]:
    """All texts at that place, at whatever depth."""
    value = holder[key]
    if isinstance(value, str):
        yield Slot(holder, key, origin)
    elif isinstance(value, dict):
        for name in value:
            yield from strings(value, name, origin)
    elif isinstance(value, list):
        for place in range(len(value)):
            yield from strings(value, place, origin)


def objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
