"""Where the words stand in bodies, answers and chunks of chat completions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.dialects.port import Place
from hive_routing.guarding.holding import UNREADABLE, chunk_texts
from hive_routing.guarding.port import Origin
from hive_routing.guarding.texts import Document, Slot, spoken

_ROLES = {
    "system": Origin.APPLICATION,
    "developer": Origin.APPLICATION,
    "tool": Origin.TOOL,
    "function": Origin.TOOL,
    "assistant": Origin.MODEL,
}


def prompt_texts(fields: Mapping[str, Raw]) -> Mapping[str, Document]:
    """What cannot be read holds none."""
    found = {}
    for name, slots in _READERS.items():
        raw = fields.get(name)
        if raw is None:
            continue
        try:
            holder = {name: msgspec.json.decode(raw)}
        except UNREADABLE:
            continue
        found[name] = Document(holder, list(slots(holder[name])))
    return found


def answer_texts(value: Any) -> Iterator[Slot]:
    for choice in _objects(value.get("choices") if isinstance(value, dict) else None):
        if isinstance(message := choice.get("message"), dict):
            yield from spoken(message, Origin.MODEL)


def event_texts(value: Any) -> Iterator[Place]:
    return chunk_texts(value)


def _messages(value: Any) -> Iterator[Slot]:
    for message in _objects(value):
        yield from spoken(message, _ROLES.get(str(message.get("role")), Origin.USER))


def _prediction(value: Any) -> Iterator[Slot]:
    if isinstance(value, dict):
        yield from spoken(value, Origin.APPLICATION)


def _tools(value: Any) -> Iterator[Slot]:
    for tool in _objects(value):
        for holder in (tool, tool.get("function"), tool.get("custom")):
            if isinstance(holder, dict) and isinstance(holder.get("description"), str):
                yield Slot(holder, "description", Origin.APPLICATION)


_READERS = {"messages": _messages, "prediction": _prediction, "tools": _tools, "functions": _tools}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
