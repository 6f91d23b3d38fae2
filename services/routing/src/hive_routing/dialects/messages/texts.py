"""Where the words stand in bodies, answers and events of Anthropic's messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.dialects.encoded import Decoded, is_text
from hive_routing.dialects.places import UNREADABLE, Document, Place, Slot
from hive_routing.dialects.words import Spot, everywhere, label, words
from hive_routing.guarding.port import Origin

_ROLES = {"system": Origin.APPLICATION, "assistant": Origin.MODEL}
_WORDS = frozenset(
    {
        "cited_text",
        "content",
        "context",
        "error_message",
        "lines",
        "stderr",
        "stdout",
        "text",
        "thinking",
        "title",
    }
)
"""Members of blocks that are words, at whatever depth: addresses and what is encrypted are none."""
_DELTAS = {"text_delta": "text", "thinking_delta": "thinking"}


def prompt_texts(fields: Mapping[str, Raw]) -> dict[str, Document]:
    """By the member of the body that holds them. What cannot be read is refused elsewhere.

    What a model thought is among them: nobody but its maker could say whether it is as it was. So one in which
    something is replaced is refused there.
    """
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
        yield from _block(block, Origin.MODEL)


def event_texts(value: Any) -> Iterator[Place]:
    """A channel is one text of one block."""
    if not isinstance(value, dict):
        return
    delta, block = value.get("delta"), value.get("content_block")
    index = label(value.get("index"))
    if isinstance(delta, dict):
        yield from _of_delta(index, delta)
    if isinstance(block, dict):
        for member in ("text", "thinking"):
            if isinstance(block.get(member), str):
                yield Place((index, member), block, member)
        others = (slot for slot in _block(block, Origin.MODEL) if not _is_spoken(slot, block))
        for number, slot in enumerate(others):
            yield Place((index, "block", number), slot.place, slot.key)


def _of_delta(index: object, delta: dict[str, Any]) -> Iterator[Place]:
    kind = str(delta.get("type"))
    member = _DELTAS.get(kind)
    if member is not None:
        if isinstance(delta.get(member), str):
            yield Place((index, member), delta, member)
    elif kind == "input_json_delta":
        if isinstance(delta.get("partial_json"), str):
            yield Place((index, "partial_json"), delta, "partial_json", is_json=True)
    elif isinstance(citation := delta.get("citation"), dict):
        for slot in _block(citation, Origin.MODEL):
            yield Place((index, "citation"), slot.place, slot.key)
    elif kind.endswith("_delta"):
        for slot in _block(delta, Origin.MODEL):
            yield Place((index, kind), slot.place, slot.key)


def _is_spoken(slot: Slot, block: dict[str, Any]) -> bool:
    return slot.place is block and slot.key in ("text", "thinking")


def _system(holder: dict[str, Any], name: str) -> Iterator[Slot]:
    yield from _content(holder, name, Origin.APPLICATION)


def _messages(holder: dict[str, Any], name: str) -> Iterator[Slot]:
    for message in _objects(holder[name]):
        yield from _content(message, "content", _ROLES.get(str(message.get("role")), Origin.USER))


def _tools(holder: dict[str, Any], name: str) -> Iterator[Slot]:
    for tool in _objects(holder[name]):
        if isinstance(tool.get("description"), str):
            yield Slot.at(tool, "description", Origin.APPLICATION)
        if "input_examples" in tool:
            yield from words(Spot(tool, "input_examples", Origin.APPLICATION, everywhere))


_READERS: Mapping[str, Callable[[dict[str, Any], str], Iterator[Slot]]] = {
    "system": _system,
    "messages": _messages,
    "tools": _tools,
}


def _content(holder: dict[str, Any], name: str, origin: Origin) -> Iterator[Slot]:
    if name in holder:
        yield from words(Spot(holder, name, origin, _within))


def _block(block: dict[str, Any], origin: Origin) -> Iterator[Slot]:
    yield from words(Spot([block], 0, origin, _within))


def _within(value: dict[str, Any], origin: Origin) -> Iterator[Spot]:
    """Where words may be in a content block of whatever kind, or in an object in it."""
    kind = str(value.get("type"))
    is_call = kind.endswith("tool_use")
    origin = Origin.MODEL if is_call else Origin.TOOL if kind.endswith("tool_result") else origin
    for name, each in value.items():
        if name == "input" and is_call:
            yield Spot(value, name, origin, everywhere)
        elif name == "data" and isinstance(each, str):
            if kind == "text":
                yield Spot(value, name, origin, _within)
            elif is_text(value.get("media_type")):
                yield Spot(Decoded(value), name, origin, _within)
        elif name in _WORDS or isinstance(each, dict):
            yield Spot(value, name, origin, _within)
        elif isinstance(each, list):
            yield from (
                Spot(each, place, origin, _within)
                for place, inner in enumerate(each)
                if not isinstance(inner, str)
            )


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
