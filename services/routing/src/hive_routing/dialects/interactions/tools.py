"""Tools and the choice among them, both ways. Tools that Google runs itself are carried along whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from hive_routing.dialects.form import Opaque, Tool, ToolChoice
from hive_routing.dialects.gemini.fields import Misfit, Object, optional, present, typed
from hive_routing.dialects.gemini.schemas import json_schema
from hive_routing.dialects.interactions.contents import NAME
from hive_routing.dialects.port import refuse

Mode = Literal["auto", "none", "required", "named"]

_FUNCTION = frozenset({"type", "name", "description", "parameters"})
_MODES: dict[str, Mode] = {"auto": "auto", "any": "required", "none": "none", "validated": "auto"}
_WORDS: dict[Mode, str] = {"auto": "auto", "required": "any", "named": "any", "none": "none"}


class _Allowed(msgspec.Struct):
    mode: str = "auto"
    tools: list[str] = []


def read_tool(value: Any, path: str) -> Tool | Opaque:
    """Raises Misfit."""
    tool = present(value, path)
    kind = typed(tool.get("type"), str, f"{path}.type")
    if kind != "function" or tool.keys() - _FUNCTION:
        return Opaque(NAME, kind, value)
    schema: Object | None = optional(tool, "parameters", dict[str, Any], path)
    if schema is not None and str(schema.get("type", "")).isupper():
        schema = json_schema(schema, f"{path}.parameters")
    return Tool(
        typed(tool.get("name"), str, f"{path}.name"), optional(tool, "description", str, path), schema
    )


def read_choice(value: Any, path: str) -> ToolChoice:
    """Raises Misfit."""
    allowed = _Allowed(typed(value, str, path)) if isinstance(value, str) else _read_allowed(value, path)
    mode = _MODES.get(allowed.mode)
    if mode is None:
        raise Misfit(path, f"Expected one of `{'`, `'.join(_MODES)}`, got `{allowed.mode}`")
    named = mode == "required" and len(allowed.tools) == 1
    return ToolChoice("named" if named else mode, allowed.tools)


def _read_allowed(value: Any, path: str) -> _Allowed:
    at = f"{path}.allowed_tools"
    return typed(present(present(value, path).get("allowed_tools"), at), _Allowed, at)


def write_tools(tools: Sequence[Tool | Opaque], dialect: str) -> list[Object]:
    """Raises Untranslatable for another provider's own tools."""
    written = []
    for place, tool in enumerate(tools):
        if isinstance(tool, Opaque):
            if tool.dialect != dialect:
                refuse(f"tools[{place}]", f"A tool of the kind `{tool.kind}`", dialect)
            written.append(tool.value)
            continue
        function = {
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.schema,
        }
        written.append({name: each for name, each in function.items() if each is not None})
    return written


def write_choice(choice: ToolChoice) -> Any:
    """The `tool_choice`; None where nothing is chosen."""
    if choice.mode is None and not choice.names:
        return None
    mode = _WORDS[choice.mode or "auto"]
    if not choice.names or choice.mode == "none":
        return mode
    return {"allowed_tools": {"mode": "validated" if mode == "auto" else mode, "tools": choice.names}}
