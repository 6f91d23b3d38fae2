"""Tools, and which of them the model may or has to call, both ways."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from hive_routing.dialects.form import Opaque, Tool, ToolChoice
from hive_routing.dialects.port import refuse
from hive_routing.dialects.responses.fields import misfit
from hive_routing.dialects.responses.parts import NAME, Item

_SAID = frozenset({"type", "name", "description", "parameters", "strict"})
_DIRECT = ["direct"]


class _Tool(msgspec.Struct):
    type: str


class _Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Allowed(msgspec.Struct):
    mode: Literal["auto", "required"]
    tools: list[dict[str, Any]]


def read_tools(tools: list[Item]) -> list[Tool | Opaque]:
    """Raises Misfit."""
    read = []
    for place, tool in enumerate(tools):
        try:
            read.append(_tool(tool))
        except msgspec.ValidationError as error:
            raise misfit(error, f"tools[{place}]") from None
    return read


def write_tools(tools: list[Tool | Opaque], *, is_own: bool) -> list[Item]:
    """is_own: they were said in this dialect, where a function is `strict` unless it says otherwise.

    Raises Untranslatable.
    """
    return [_written(place, tool, is_own) for place, tool in enumerate(tools)]


def read_choice(choice: str | Item | None) -> ToolChoice | None:
    """None for a choice that the form cannot say. Raises msgspec.ValidationError."""
    if choice is None:
        return ToolChoice()
    if isinstance(choice, str):
        return ToolChoice(msgspec.convert(choice, Literal["auto", "none", "required"]))
    if choice.get("type") == "function":
        return ToolChoice("named", [msgspec.convert(choice, _Function).name])
    if choice.get("type") == "allowed_tools":
        allowed = msgspec.convert(choice, _Allowed)
        if all(tool.get("type") == "function" for tool in allowed.tools):
            return ToolChoice(allowed.mode, [str(tool.get("name")) for tool in allowed.tools])
    return None


def write_choice(choice: ToolChoice) -> str | Item | None:
    if choice.mode == "named":
        return {"type": "function", "name": choice.names[0]}
    if choice.names:
        allowed = [{"type": "function", "name": name} for name in choice.names]
        return {"type": "allowed_tools", "mode": choice.mode, "tools": allowed}
    return choice.mode


def _tool(tool: Item) -> Tool | Opaque:
    """A function that says more than the form can is carried along whole, as tools of OpenAI's own are."""
    kind = msgspec.convert(tool, _Tool).type
    if kind != "function":
        return Opaque(NAME, kind, tool)
    function = msgspec.convert(tool, _Function)
    if any(value and value != _DIRECT for name, value in tool.items() if name not in _SAID):
        return Opaque(NAME, kind, tool)
    return Tool(function.name, function.description, function.parameters, function.strict)


def _written(place: int, tool: Tool | Opaque, is_own: bool) -> Item:
    if isinstance(tool, Opaque):
        if tool.dialect != NAME:
            refuse(f"tools[{place}]", f"A tool of type `{tool.kind}`", NAME)
        own: Item = tool.value
        return own
    strict = tool.strict if is_own or tool.strict is not None else False
    written: Item = {"type": "function", "name": tool.name, "parameters": tool.schema, "strict": strict}
    if tool.description is not None:
        written["description"] = tool.description
    return written
