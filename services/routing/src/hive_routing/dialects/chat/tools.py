"""Tools and the choice among them, both ways; the older `functions` and `function_call` are read as them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Raw

from hive_routing.dialects.chat.fields import converted, decoded, invalid
from hive_routing.dialects.chat.parts_in import mark_of
from hive_routing.dialects.chat.spoken import NAME
from hive_routing.dialects.form import Opaque, Prompt, Tool, ToolChoice
from hive_routing.dialects.port import refuse

Object = dict[str, Any]

_MODES: Mapping[str, Any] = {"none": "none", "auto": "auto", "required": "required", "any": "required"}


class _Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: Object | None = None
    strict: bool | None = None


class _Allowed(msgspec.Struct):
    mode: Literal["auto", "required"]
    tools: list[Object]


def read_tools(fields: Mapping[str, Raw]) -> list[Tool | Opaque]:
    tools = [
        _tool(each, f"tools[{number}]")
        for number, each in enumerate(decoded(fields, "tools", list[Object]) or ())
    ]
    for number, each in enumerate(decoded(fields, "functions", list[Object]) or ()):
        tools.append(_function(each, f"functions[{number}]"))
    return tools


def _tool(value: Object, path: str) -> Tool | Opaque:
    kind = converted(value.get("type"), str, f"{path}.type")
    if kind != "function":
        return Opaque(NAME, kind, value)
    tool = _function(value.get("function"), f"{path}.function")
    tool.cache = mark_of(value) or tool.cache
    return tool


def _function(value: Any, path: str) -> Tool:
    function = converted(value, _Function, path)
    return Tool(function.name, function.description, function.parameters, function.strict, mark_of(value))


def read_choice(fields: Mapping[str, Raw]) -> ToolChoice:
    for name in ("tool_choice", "function_call"):
        said = decoded(fields, name, str | Object)
        if said is not None:
            choice = _choice(said, name)
            break
    else:
        choice = ToolChoice()
    choice.parallel = decoded(fields, "parallel_tool_calls", bool)
    if "functions" in fields:  # the older form has no place for a second call
        choice.parallel = False
    return choice


def _choice(said: str | Object, path: str) -> ToolChoice:
    if isinstance(said, str):
        if said not in _MODES:
            raise invalid(path, "expected `none`, `auto`, `required` or an object")
        return ToolChoice(_MODES[said])
    kind = said.get("type", "function")
    if kind == "allowed_tools":
        path = f"{path}.allowed_tools"
        allowed = converted(said.get("allowed_tools"), _Allowed, path)
        names = [_named(each, f"{path}.tools[{number}]") for number, each in enumerate(allowed.tools)]
        return ToolChoice(allowed.mode, names)
    return ToolChoice("named", [_named(said, path)])


def _named(value: Object, path: str) -> str:
    """Of `{"type":"function","function":{"name":…}}`, of the same with `custom`, and of `{"name":…}`."""
    kind = str(value.get("type", "function"))
    inner = value.get(kind)
    holder = inner if isinstance(inner, dict) else value
    return converted(holder.get("name"), str, f"{path}.{kind}.name" if holder is inner else f"{path}.name")


def write_tools(prompt: Prompt) -> Object:
    """The members of a body; saying something of the choice without tools is an error. Raises Untranslatable.

    That another dialect allows some of the tools only is said by leaving out the others: few providers know more.
    """
    names = prompt.choice.names if prompt.dialect != NAME and prompt.choice.mode != "named" else []
    tools = [
        _write_tool(tool, f"tools[{number}]")
        for number, tool in enumerate(prompt.tools)
        if not names or not isinstance(tool, Tool) or tool.name in names
    ]
    body: Object = {"tools": tools}
    choice = _write_choice(prompt, [] if names else prompt.choice.names)
    if choice is not None:
        body["tool_choice"] = choice
    if prompt.choice.parallel is not None:
        body["parallel_tool_calls"] = prompt.choice.parallel
    return body


def _write_tool(tool: Tool | Opaque, path: str) -> Object:
    if isinstance(tool, Opaque):
        if tool.dialect != NAME:
            refuse(path, f"The tool `{tool.kind}`", NAME)
        value: Object = tool.value
        return value
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.schema,
        "strict": tool.strict,
    }
    return {
        "type": "function",
        "function": {name: each for name, each in function.items() if each is not None},
    }


def _write_choice(prompt: Prompt, names: Sequence[str]) -> str | Object | None:
    mode = prompt.choice.mode
    tools = [_choosable(name, prompt.tools) for name in names]
    if mode == "named":
        return tools[0]
    if tools and mode in ("auto", "required"):
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}
    return mode


def _choosable(name: str, tools: Sequence[Tool | Opaque]) -> Object:
    customs = (
        tool.value.get("custom") for tool in tools if isinstance(tool, Opaque) and tool.kind == "custom"
    )
    kind = (
        "custom"
        if any(isinstance(each, dict) and each.get("name") == name for each in customs)
        else "function"
    )
    return {"type": kind, kind: {"name": name}}
