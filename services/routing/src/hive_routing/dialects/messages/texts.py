"""Where the words stand in bodies, answers and events of Anthropic's messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.dialects.port import Place
from hive_routing.guarding.holding import UNREADABLE
from hive_routing.guarding.port import Origin
from hive_routing.guarding.texts import Document, Slot

_ROLES = {"system": Origin.APPLICATION, "assistant": Origin.MODEL}
_WORDS = ("text", "title", "context", "stdout", "stderr", "cited_text")
"""Members of blocks that are words, at whatever depth."""
_DELTAS = {"text_delta": "text", "thinking_delta": "thinking"}


def prompt_texts(fields: Mapping[str, Raw]) -> dict[str, Document]:
    """By the member of the body that holds them. What cannot be read is refused elsewhere."""
    found = {}
    for name, read in _READERS.items():
        raw = fields.get(name)
        if raw is None:
            continue
        try:
            holder = {name: msgspec.json.decode(raw)}
        except UNREADABLE:
            continue
        found[name] = Document(holder, list(read(holder, name)))
    return found


def answer_texts(value: Any) -> Iterator[Slot]:
    content = value.get("content") if isinstance(value, dict) else None
    for block in _objects(content):
        if isinstance(block.get("thinking"), str):
            yield Slot(block, "thinking", Origin.MODEL)
        yield from _block(block, Origin.MODEL)


def event_texts(value: Any) -> Iterator[Place]:
    """A channel is one text of one block."""
    if not isinstance(value, dict):
        return
    index, delta, block = value.get("index"), value.get("delta"), value.get("content_block")
    if isinstance(delta, dict):
        kind = delta.get("type")
        member = _DELTAS.get(str(kind))
        if member is not None and isinstance(delta.get(member), str):
            yield Place((index, member), delta, member)
        elif kind == "input_json_delta" and isinstance(delta.get("partial_json"), str):
            yield Place((index, "partial_json"), delta, "partial_json", is_json=True)
        else:
            for slot in _words(delta.get("citation"), Origin.MODEL):
                yield Place((index, "citation"), slot.place, slot.key)
    if isinstance(block, dict):
        for member in ("text", "thinking"):
            if isinstance(block.get(member), str):
                yield Place((index, member), block, member)
        if block.get("type") not in ("text", "thinking"):
            for number, slot in enumerate(_block(block, Origin.MODEL)):
                yield Place((index, "block", number), slot.place, slot.key)


def _system(holder: dict[str, Any], name: str) -> Iterator[Slot]:
    yield from _content(holder, name, Origin.APPLICATION)


def _messages(holder: dict[str, Any], name: str) -> Iterator[Slot]:
    for message in _objects(holder[name]):
        yield from _content(message, "content", _ROLES.get(str(message.get("role")), Origin.USER))


def _tools(holder: dict[str, Any], name: str) -> Iterator[Slot]:
    for tool in _objects(holder[name]):
        if isinstance(tool.get("description"), str):
            yield Slot(tool, "description", Origin.APPLICATION)


_READERS: Mapping[str, Callable[[dict[str, Any], str], Iterator[Slot]]] = {
    "system": _system,
    "messages": _messages,
    "tools": _tools,
}


def _content(holder: dict[str, Any], name: str, origin: Origin) -> Iterator[Slot]:
    if isinstance(holder.get(name), str):
        yield Slot(holder, name, origin)
    for block in _objects(holder.get(name)):
        yield from _block(block, origin)


def _block(block: dict[str, Any], origin: Origin) -> Iterator[Slot]:
    """But for what a model thought: that is sealed, so it comes back as the provider made it or not at all."""
    kind = str(block.get("type"))
    if kind in ("tool_use", "server_tool_use"):
        if isinstance(block.get("input"), dict):
            yield from _strings(block["input"], Origin.MODEL)
    elif kind.endswith("tool_result"):
        yield from _content(block, "content", Origin.TOOL)
        if isinstance(block.get("content"), dict):
            yield from _words(block["content"], Origin.TOOL)
    elif kind not in ("thinking", "redacted_thinking"):
        yield from _words(block, origin)


def _words(value: Any, origin: Origin) -> Iterator[Slot]:
    """Of a block whose members are not all words: addresses, data and what is encrypted are none."""
    if isinstance(value, list):
        for each in value:
            yield from _words(each, origin)
    if not isinstance(value, dict):
        return
    is_text = value.get("type") in ("text", "content")
    for name, each in value.items():
        if isinstance(each, str):
            if name in _WORDS or (is_text and name in ("data", "content")):
                yield Slot(value, name, origin)
        else:
            yield from _words(each, origin)


def _strings(value: Any, origin: Origin) -> Iterator[Slot]:
    """All that are values in it."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, each in members:
        if isinstance(each, str):
            yield Slot(value, key, origin)
        else:
            yield from _strings(each, origin)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
