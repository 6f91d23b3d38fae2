"""Where the words stand in what clients of the Interactions API send and get."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.dialects.gemini.fields import listed
from hive_routing.dialects.gemini.texts import objects, strings
from hive_routing.dialects.port import Place
from hive_routing.guarding.holding import UNREADABLE
from hive_routing.guarding.port import Origin
from hive_routing.guarding.texts import Document, Slot


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
            for item in objects(value.get(name)):
                yield from _item(item, Origin.MODEL)


def event_texts(value: Any) -> Iterator[Place]:
    """A channel is what one step says."""
    if not isinstance(value, dict):
        return
    index, delta, step = value.get("index"), value.get("delta"), value.get("step")
    if isinstance(delta, dict):
        kind, content = delta.get("type"), delta.get("content")
        if kind == "arguments_delta" and isinstance(delta.get("arguments"), str):
            yield Place((index, "arguments"), delta, "arguments", is_json=True)
        elif kind == "thought_summary" and isinstance(content, dict):
            yield from _piece((index, "summary"), content)
        elif kind == "text":
            yield from _piece((index, "text"), delta)
        else:
            for number, slot in enumerate(_item(delta, Origin.MODEL)):
                yield Place((index, "whole", number), slot.place, slot.key)
    if isinstance(step, dict):
        yield from _started(index, step)


def _started(index: Any, step: dict[str, Any]) -> Iterator[Place]:
    """What a step has at its start already: for texts that go on growing, their first pieces."""
    for member, channel in (("content", "text"), ("summary", "summary")):
        for content in objects(step.get(member)):
            yield from _piece((index, channel), content)
    for number, slot in enumerate(_words(step)):
        yield Place((index, "start", number), slot.place, slot.key)


def _piece(channel: tuple[Any, ...], holder: dict[str, Any]) -> Iterator[Place]:
    if isinstance(holder.get("text"), str):
        yield Place(channel, holder, "text")


def _input(holder: Any, key: Any) -> Iterator[Slot]:
    value = holder[key]
    if isinstance(value, str):
        yield Slot(holder, key, Origin.USER)
    for item in objects(listed(value)):
        yield from _item(item, Origin.USER)


def _item(item: dict[str, Any], origin: Origin) -> Iterator[Slot]:
    """A content, a step, or a turn. Thoughts that are signed come back as they were made, or not at all."""
    kind = item.get("type")
    if kind == "thought" and item.get("signature"):
        return
    if kind == "model_output" or item.get("role") == "model":
        origin = Origin.MODEL
    if isinstance(item.get("text"), str):
        yield Slot(item, "text", origin)
    for member in ("content", "summary"):
        if isinstance(item.get(member), str):
            yield Slot(item, member, origin)
        for content in objects(item.get(member)):
            yield from _item(content, Origin.MODEL if member == "summary" else origin)
    yield from _words(item)


def _words(step: dict[str, Any]) -> Iterator[Slot]:
    """Of a call, and of what it gave: contents, or any JSON."""
    if "arguments" in step:
        yield from strings(step, "arguments", Origin.MODEL)
    if isinstance(step.get("result"), list):
        for content in objects(step["result"]):
            yield from _item(content, Origin.TOOL)
    elif "result" in step:
        yield from strings(step, "result", Origin.TOOL)


def _instruction(holder: Any, key: Any) -> Iterator[Slot]:
    if isinstance(holder[key], str):
        yield Slot(holder, key, Origin.APPLICATION)


def _tools(holder: Any, key: Any) -> Iterator[Slot]:
    for tool in objects(holder[key]):
        if isinstance(tool.get("description"), str):
            yield Slot(tool, "description", Origin.APPLICATION)


_READERS: Mapping[str, Callable[[Any, Any], Iterator[Slot]]] = {
    "input": _input,
    "system_instruction": _instruction,
    "tools": _tools,
}
