"""Where the words are in what Converse is sent and in what it says: for guards, who may replace them in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.dialects.places import Document, Place, Slot
from hive_routing.guarding.port import Origin

_ORIGINS = {"assistant": Origin.MODEL, "system": Origin.APPLICATION}


def prompt_texts(fields: Mapping[str, Raw]) -> dict[str, Document]:
    found = {}
    for name, slots in _READERS.items():
        if (raw := fields.get(name)) is None:
            continue
        try:
            holder = {name: msgspec.json.decode(raw)}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        found[name] = Document(holder, list(slots(holder[name])))
    return found


def answer_texts(value: Any) -> Iterator[Slot]:
    yield from _blocks(_member(_member(_member(value, "output"), "message"), "content"), Origin.MODEL)


def event_texts(value: Any) -> Iterator[Place]:
    event = _member(value, "contentBlockDelta")
    index, delta = _member(event, "contentBlockIndex"), _member(event, "delta")
    if not isinstance(delta, dict) or not isinstance(index, int):
        return
    if isinstance(delta.get("text"), str):
        yield Place((index, "text"), delta, "text")
    if isinstance(_member(delta.get("toolUse"), "input"), str):
        yield Place((index, "input"), delta["toolUse"], "input", is_json=True)
    if isinstance(_member(delta.get("reasoningContent"), "text"), str):
        yield Place((index, "reasoning"), delta["reasoningContent"], "text")


def _messages(messages: Any) -> Iterator[Slot]:
    for message in _objects(messages):
        origin = _ORIGINS.get(str(message.get("role")), Origin.USER)
        yield from _blocks(message.get("content"), origin)


def _blocks(blocks: Any, origin: Origin) -> Iterator[Slot]:
    for block in _objects(blocks):
        yield from _string(block, "text", origin)
        yield from _string(_member(block.get("guardContent"), "text"), "text", origin)
        reasoning = block.get("reasoningContent")
        yield from _string(_member(reasoning, "reasoningText"), "text", Origin.MODEL)
        yield from _blocks(_member(block.get("citationsContent"), "content"), origin)
        yield from _within(block.get("toolUse"), "input", Origin.MODEL)
        yield from _blocks(_member(block.get("searchResult"), "content"), origin)
        yield from _document(block.get("document"), origin)
        for result in _objects(_member(block.get("toolResult"), "content")):
            yield from _blocks([result], Origin.TOOL)
            yield from _within(result, "json", Origin.TOOL)


def _document(document: Any, origin: Origin) -> Iterator[Slot]:
    yield from _string(document, "context", origin)
    yield from _string(_member(document, "source"), "text", origin)
    yield from _blocks(_member(_member(document, "source"), "content"), origin)


def _descriptions(config: Any) -> Iterator[Slot]:
    for tool in _objects(_member(config, "tools")):
        yield from _string(tool.get("toolSpec"), "description", Origin.APPLICATION)


def _variables(variables: Any) -> Iterator[Slot]:
    for variable in variables.values() if isinstance(variables, dict) else ():
        yield from _string(variable, "text", Origin.USER)


_READERS = {
    "messages": _messages,
    "system": lambda blocks: _blocks(blocks, Origin.APPLICATION),
    "toolConfig": _descriptions,
    "promptVariables": _variables,
}


def _within(place: Any, key: str, origin: Origin) -> Iterator[Slot]:
    """All texts that are anywhere within a member, names of members excepted."""
    if _member(place, key) is not None:
        yield from _deep(place, key, origin)


def _deep(place: Any, key: Any, origin: Origin) -> Iterator[Slot]:
    match place[key]:
        case str():
            yield Slot.at(place, key, origin)
        case dict() as members:
            for name in members:
                yield from _deep(members, name, origin)
        case list() as items:
            for index in range(len(items)):
                yield from _deep(items, index, origin)


def _string(place: Any, key: str, origin: Origin) -> Iterator[Slot]:
    if isinstance(_member(place, key), str):
        yield Slot.at(place, key, origin)


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
