"""Tools and the choice among them, both ways.

Functions are the form's; tools that Google runs itself, and functions that say more than the form can, are carried
along whole. Whether arguments are held to the schema (`strict`) is left to Google.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from hive_routing.dialects.form import Opaque, Tool, ToolChoice
from hive_routing.dialects.gemini.fields import Object, listed, members, optional, typed
from hive_routing.dialects.gemini.schemas import json_schema
from hive_routing.dialects.gemini.seals import NAME
from hive_routing.dialects.port import refuse

Mode = Literal["auto", "none", "required", "named"]

_FUNCTION = frozenset({"name", "description", "parameters", "parametersJsonSchema"})
_MODES: dict[str, Mode] = {"AUTO": "auto", "ANY": "required", "NONE": "none", "VALIDATED": "auto"}


class _Choosing(msgspec.Struct, rename="camel"):
    mode: str | None = None
    allowed_function_names: list[str] = []


def read_tools(value: Any) -> list[Tool | Opaque]:
    """Raises Misfit."""
    found: list[Tool | Opaque] = []
    for place, each in enumerate(listed(value)):
        path = f"tools[{place}]"
        for kind, tool in members(each, path).items():
            if kind == "functionDeclarations":
                at = f"{path}.{kind}"
                found += [_function(one, f"{at}[{n}]") for n, one in enumerate(typed(tool, list[Any], at))]
            else:
                found.append(Opaque(NAME, kind, {kind: tool}))
    return found


def _function(value: object, path: str) -> Tool | Opaque:
    function = members(value, path)
    if function.keys() - _FUNCTION:
        return Opaque(NAME, "functionDeclarations", {"functionDeclarations": [value]})
    name = typed(function.get("name"), str, f"{path}.name")
    schema: Object | None = optional(function, "parametersJsonSchema", dict[str, Any], path)
    if schema is None and "parameters" in function:
        schema = json_schema(function["parameters"], f"{path}.parameters")
    return Tool(name, optional(function, "description", str, path), schema)


def write_tools(tools: Sequence[Tool | Opaque], dialect: str) -> list[Object]:
    """Functions that stand together share one entry. Raises Untranslatable for another provider's own tools."""
    written: list[Object] = []
    declared: list[Object] | None = None
    for place, tool in enumerate(tools):
        if isinstance(tool, Tool):
            if declared is None:
                declared = []
                written.append({"functionDeclarations": declared})
            declared.append(_declaration(tool))
            continue
        if tool.dialect != dialect:
            refuse(f"tools[{place}]", f"A tool of the kind `{tool.kind}`", dialect)
        written.append(tool.value)
        declared = None
    return written


def _declaration(tool: Tool) -> Object:
    declaration: Object = {"name": tool.name}
    if tool.description is not None:
        declaration["description"] = tool.description
    if tool.schema is not None:
        declaration["parametersJsonSchema"] = tool.schema
    return declaration


def read_choice(value: Any, path: str) -> tuple[ToolChoice, Object]:
    """The choice that `toolConfig` makes, and what else it says, by dotted name. Raises Misfit."""
    config = members(value, path)
    rest = {f"{path}.{name}": each for name, each in config.items() if name != "functionCallingConfig"}
    at = f"{path}.functionCallingConfig"
    calling = members(config.get("functionCallingConfig", {}), at)
    choosing = typed(calling, _Choosing, at)
    rest |= {
        f"{at}.{name}": each for name, each in calling.items() if name not in ("mode", "allowedFunctionNames")
    }
    mode = _MODES.get((choosing.mode or "").upper())
    if mode == "required" and len(choosing.allowed_function_names) == 1:
        mode = "named"
    return ToolChoice(mode, choosing.allowed_function_names), rest


def write_choice(choice: ToolChoice) -> Object:
    """The `functionCallingConfig`. That tools be called one at a time is a wish that Google has no word for."""
    names = {"allowedFunctionNames": choice.names} if choice.names else {}
    match choice.mode:
        case "none":
            return {"mode": "NONE"}
        case "required" | "named":
            return {"mode": "ANY"} | names
        case "auto":  # AUTO does not look at the names
            return {"mode": "VALIDATED" if names else "AUTO"} | names
        case None:
            return {"mode": "VALIDATED"} | names if names else {}
