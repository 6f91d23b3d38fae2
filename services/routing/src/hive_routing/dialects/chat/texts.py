"""Where the words stand in bodies, answers and chunks of chat completions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.dialects.places import UNREADABLE, Document, Place, Slot
from hive_routing.guarding.port import Origin

_ROLES = {
    "system": Origin.APPLICATION,
    "developer": Origin.APPLICATION,
    "tool": Origin.TOOL,
    "function": Origin.TOOL,
    "assistant": Origin.MODEL,
}
"""Members of most messages."""
_SPOKEN = ("content", "reasoning_content", "reasoning", "refusal")
"""Members of messages and deltas that hold text."""


def prompt_texts(fields: Mapping[str, Raw], messages: list[Any] | None = None) -> Mapping[str, Document]:
    """What cannot be read holds none. messages: those of the fields, where they are decoded already."""
    found = {}
    if messages is not None:
        found["messages"] = _conversation(messages)
        if _BESIDE.isdisjoint(fields):
            return found
    for name, slots in _READERS.items():
        if name not in fields or name in found:
            continue
        try:
            value = msgspec.json.decode(fields[name])
        except UNREADABLE:
            continue
        found[name] = Document({name: value}, list(slots(value)))
    return found


def answer_texts(value: Any) -> Iterator[Slot]:
    for choice in _objects(value.get("choices") if isinstance(value, dict) else None):
        if isinstance(message := choice.get("message"), dict):
            yield from spoken(message, Origin.MODEL)


def event_texts(chunk: Any) -> Iterator[Place]:
    """The texts in a chunk of chat or text completions."""
    for choice in _objects(chunk.get("choices") if isinstance(chunk, dict) else None):
        index = choice.get("index", 0)
        if isinstance(choice.get("text"), str):
            yield Place((index, "text"), choice, "text")
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            continue
        for key in _SPOKEN:
            if isinstance(delta.get(key), str):
                yield Place((index, key), delta, key)
        for part in _objects(delta.get("content")):
            if isinstance(part.get("text"), str):
                yield Place((index, "content"), part, "text")
        if isinstance(spoken := delta.get("audio"), dict) and isinstance(spoken.get("transcript"), str):
            yield Place((index, "transcript"), spoken, "transcript")
        for number, call in enumerate(_objects(delta.get("tool_calls"))):
            place = call.get("index", number)
            yield from _call_arguments((index, "tool", place), call.get("function"))
            custom = call.get("custom")
            if isinstance(custom, dict) and isinstance(custom.get("input"), str):
                yield Place((index, "custom", place), custom, "input")
        yield from _call_arguments((index, "function"), delta.get("function_call"))


def _call_arguments(name: tuple[Any, ...], function: Any) -> Iterator[Place]:
    if isinstance(function, dict) and isinstance(function.get("arguments"), str):
        yield Place(name, function, "arguments", is_json=True)


def spoken(said: dict[str, Any], origin: Origin) -> Iterator[Slot]:
    """The texts of a message, or of a piece of one."""
    yield from _strings(said, _SPOKEN, origin)
    for part in _objects(said.get("content")):
        yield from _strings(part, ("text", "refusal"), origin)
    if isinstance(audio := said.get("audio"), dict):
        yield from _strings(audio, ("transcript",), origin)
    for call in _objects(said.get("tool_calls")):
        yield from _arguments(call.get("function"))
        if isinstance(custom := call.get("custom"), dict):
            yield from _strings(custom, ("input",), Origin.MODEL)
    yield from _arguments(said.get("function_call"))


def _conversation(messages: list[Any]) -> Document:
    found: list[Slot] = []
    is_plain = True
    for message in messages:
        if not isinstance(message, dict):
            is_plain = False
            continue
        role, content = message.get("role"), message.get("content")
        if len(message) == 2 and isinstance(role, str) and isinstance(content, str):  # as nearly all are
            found.append(Slot(content, _ROLES.get(role, Origin.USER), 0, message, "content"))
        else:
            found += spoken(message, _ROLES.get(str(role), Origin.USER))
            is_plain = False
    return Document({"messages": messages}, found, is_plain)


def _messages(value: Any) -> list[Slot]:
    return _conversation(value).slots if isinstance(value, list) else []


def _prediction(value: Any) -> Iterator[Slot]:
    if isinstance(value, dict):
        yield from spoken(value, Origin.APPLICATION)


def _tools(value: Any) -> Iterator[Slot]:
    for tool in _objects(value):
        for holder in (tool, tool.get("function"), tool.get("custom")):
            if isinstance(holder, dict) and isinstance(holder.get("description"), str):
                yield Slot.at(holder, "description", Origin.APPLICATION)


_READERS: Mapping[str, Callable[[Any], Iterable[Slot]]] = {
    "messages": _messages,
    "prediction": _prediction,
    "tools": _tools,
    "functions": _tools,
}
_BESIDE = frozenset(_READERS) - {"messages"}


def _arguments(function: Any) -> Iterator[Slot]:
    if isinstance(function, dict) and isinstance(function.get("arguments"), str):
        yield Slot.at(function, "arguments", Origin.MODEL, is_json=True)


def _strings(place: dict[str, Any], names: Sequence[str], origin: Origin) -> Iterator[Slot]:
    yield from (Slot.at(place, name, origin) for name in names if isinstance(place.get(name), str))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
