"""Where the words stand in what clients of the Interactions API send and get."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.dialects.encoded import Decoded, is_text
from hive_routing.dialects.gemini.fields import listed
from hive_routing.dialects.gemini.texts import objects
from hive_routing.dialects.interactions.contents import is_content
from hive_routing.dialects.places import UNREADABLE, Document, Place, Slot
from hive_routing.dialects.words import Spot, everywhere, label, words
from hive_routing.guarding.port import Origin


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
    """Of `steps`, and of `outputs`, which say the same once more."""
    if isinstance(value, dict):
        for name in ("steps", "outputs"):
            if name in value:
                yield from words(Spot(value, name, Origin.MODEL, _said))


def event_texts(value: Any) -> Iterator[Place]:
    """A channel is what one step says."""
    if not isinstance(value, dict):
        return
    index, delta, step = label(value.get("index")), value.get("delta"), value.get("step")
    if isinstance(delta, dict):
        yield from _grown(index, delta)
    if isinstance(step, dict):
        yield from _started(index, step)


def _grown(index: object, delta: dict[str, Any]) -> Iterator[Place]:
    kind, content = delta.get("type"), delta.get("content")
    for number, slot in enumerate(words(Spot({"delta": delta}, "delta", Origin.MODEL, _said))):
        if kind == "text" and slot.place is delta and slot.key == "text":
            yield Place((index, "text"), delta, "text")
        elif kind == "thought_summary" and slot.place is content and slot.key == "text":
            yield Place((index, "summary"), content, "text")
        elif kind == "arguments_delta" and slot.place is delta and slot.key == "arguments":
            yield Place((index, "arguments"), delta, "arguments", is_json=True)
        else:
            yield Place((index, "whole", number), slot.place, slot.key)


def _started(index: object, step: dict[str, Any]) -> Iterator[Place]:
    """What a step has at its start already: for texts that go on growing, their first pieces."""
    growing = {
        id(content): channel
        for member, channel in (("content", "text"), ("summary", "summary"))
        for content in objects(step.get(member))
    }
    for number, slot in enumerate(words(Spot({"step": step}, "step", Origin.MODEL, _said))):
        if slot.key == "text" and id(slot.place) in growing:
            yield Place((index, growing[id(slot.place)]), slot.place, "text")
        else:
            yield Place((index, "start", number), slot.place, slot.key)


def _input(holder: Any, key: Any) -> Iterator[Slot]:
    yield from words(Spot(holder, key, Origin.USER, _said))


def _said(item: dict[str, Any], origin: Origin) -> Iterator[Spot]:
    """In a content, a step, or a turn: whatever it is called, unless it is known to be no words.

    A thought's signature keeps nobody from writing other words beside it, so thoughts are read like all else.
    """
    if item.get("type") == "model_output" or item.get("role") == "model":
        origin = Origin.MODEL
    for name, value in item.items():
        if name == "result":
            yield Spot(item, name, Origin.TOOL, _said if isinstance(value, list) else everywhere)
        elif name == "data":
            if isinstance(value, str) and is_text(item.get("mime_type")):
                yield Spot(Decoded(item), name, origin, everywhere)
        elif name in _SAID:
            yield Spot(item, name, _SAID[name] or origin, _said)
        elif name == "arguments":
            yield Spot(item, name, Origin.MODEL, everywhere)
        elif name not in _WORDLESS and (name != "name" or is_content(item)):
            yield Spot(item, name, origin, everywhere)


_SAID: Mapping[str, Origin | None] = {"content": None, "text": None, "summary": Origin.MODEL}
"""Members that hold contents or texts, and whose they are where that is not whose the rest is."""
_WORDLESS = frozenset(
    {"type", "role", "id", "call_id", "signature", "uri", "mime_type", "resolution", "is_error", "status"}
)


def _instruction(holder: Any, key: Any) -> Iterator[Slot]:
    yield from words(Spot(holder, key, Origin.APPLICATION, _said))


def _tools(holder: Any, key: Any) -> Iterator[Slot]:
    for tool in objects(listed(holder[key])):
        if isinstance(tool.get("description"), str):
            yield Slot.at(tool, "description", Origin.APPLICATION)


_READERS: Mapping[str, Callable[[Any, Any], Iterator[Slot]]] = {
    "input": _input,
    "system_instruction": _instruction,
    "tools": _tools,
}
