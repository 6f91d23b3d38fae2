"""The texts of a client's event that the guards read, with their places and whose words they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hive_routing.dialects.places import Slot
from hive_routing.guarding.port import Origin

_ROLES = {"system": Origin.APPLICATION, "assistant": Origin.MODEL}
_TOOL_ITEMS = frozenset({"function_call_output", "mcp_call"})


def _settings(value: Any) -> Iterator[Slot]:
    """Of a session, or of one response."""
    if not isinstance(value, dict):
        return
    yield from _strings(value, ("instructions",), Origin.APPLICATION)
    prompt = _at(value, "audio", "input", "transcription") or _at(value, "input_audio_transcription")
    if isinstance(prompt, dict):
        yield from _strings(prompt, ("prompt",), Origin.APPLICATION)
    for tool in _objects(value.get("tools")):
        yield from _strings(tool, ("description",), Origin.APPLICATION)
    for item in _objects(value.get("input")):
        yield from _item(item)


def _item(value: Any) -> Iterator[Slot]:
    if not isinstance(value, dict):
        return
    kind = value.get("type")
    origin = Origin.TOOL if kind in _TOOL_ITEMS else _ROLES.get(str(value.get("role")), Origin.USER)
    yield from _strings(value, ("output",), Origin.TOOL)
    if isinstance(value.get("arguments"), str):
        yield Slot.at(value, "arguments", Origin.MODEL, is_json=True)
    for part in _objects(value.get("content")):
        yield from _strings(part, ("text", "transcript"), origin)


SPOKEN: Mapping[str, tuple[str, Callable[[Any], Iterator[Slot]]]] = {
    "conversation.item.create": ("item", _item),
    "session.update": ("session", _settings),
    "transcription_session.update": ("session", _settings),
    "response.create": ("response", _settings),
}
"""By the type of an event: the member that holds texts, and how they are found in it."""


def _strings(holder: dict[str, Any], names: tuple[str, ...], origin: Origin) -> Iterator[Slot]:
    for name in names:
        if isinstance(holder.get(name), str) and holder[name]:
            yield Slot.at(holder, name, origin)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))


def _at(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
