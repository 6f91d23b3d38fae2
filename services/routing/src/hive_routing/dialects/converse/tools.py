"""Tools and the choice among them, both ways."""

from __future__ import annotations

from typing import Any

import msgspec

from hive_routing.dialects.converse.blocks import BlockWriter
from hive_routing.dialects.converse.families import Family
from hive_routing.dialects.converse.parts import NAME, Block, cache_mark, mark, only_member
from hive_routing.dialects.form import Call, Opaque, Prompt, Result, Tool, ToolChoice
from hive_routing.dialects.messages.schemas import closed
from hive_routing.dialects.port import refuse

_MEMBERS = frozenset({"name", "description", "inputSchema", "strict"})


class _InputSchema(msgspec.Struct):
    json: dict[str, Any]


class _ToolSpec(msgspec.Struct):
    name: str
    inputSchema: _InputSchema
    description: str | None = None
    strict: bool | None = None


class _Named(msgspec.Struct):
    name: str


class _Config(msgspec.Struct):
    tools: list[Block]
    toolChoice: Block | None = None


def read_tools(config: Any) -> tuple[list[Tool | Opaque], ToolChoice]:
    """Of a `toolConfig`. Raises msgspec.ValidationError."""
    read = msgspec.convert(config, _Config)
    tools: list[Tool | Opaque] = []
    for block in read.tools:
        kind, value = only_member(block)
        if kind == "cachePoint":
            mark(tools, cache_mark(value))
        elif kind == "toolSpec" and isinstance(value, dict) and value.keys() <= _MEMBERS:
            tools.append(_tool(msgspec.convert(value, _ToolSpec)))
        else:
            tools.append(Opaque(NAME, kind, value))
    return tools, ToolChoice() if read.toolChoice is None else _choice(read.toolChoice)


def write_tools(prompt: Prompt, family: Family, writer: BlockWriter) -> Block | None:
    """The `toolConfig`; None where there is none. Raises Untranslatable.

    Converse cannot say that no tool is to be called: the tools are left out then. But it wants to know tools as long
    as the conversation has calls in it.
    """
    is_own = prompt.dialect == NAME
    choice = prompt.choice
    if choice.mode == "none" or not prompt.tools:
        if not is_own and _has_calls(prompt):
            param = "tools" if not prompt.tools else "tool_choice"
            refuse(param, f"{_NO_TOOLS[param]} in a conversation with calls of tools", NAME)
        return None
    chosen = set(choice.names) if choice.mode != "named" else set()
    written = []
    for place, tool in enumerate(prompt.tools):
        if not chosen or (isinstance(tool, Tool) and tool.name in chosen):
            written.append(_written(tool, place, is_own))
            written += writer.mark(tool.cache) if isinstance(tool, Tool) else []
    config: Block = {"tools": written}
    if (say := _chosen(prompt, family)) is not None:
        config["toolChoice"] = say
    return config


def write_one_at_a_time(prompt: Prompt, family: Family) -> Block | None:
    """Anthropic's own `tool_choice`, where calls must not be made at once: Converse has no word for that.

    For other models it stays a wish.
    """
    choice = prompt.choice
    if choice.parallel is not False or choice.mode == "none" or not prompt.tools or not family.is_claude:
        return None
    said: Block = {"type": {"required": "any", "named": "tool"}.get(choice.mode or "", "auto")}
    if choice.mode == "named":
        said["name"] = choice.names[0]
    return {**said, "disable_parallel_tool_use": True}


_NO_TOOLS = {"tools": "A request without `tools`", "tool_choice": "`tool_choice: none`"}


def _chosen(prompt: Prompt, family: Family) -> Block | None:
    """Not where it goes out in Anthropic's words: said twice, it is refused. Few others know the word `auto`."""
    choice, is_own = prompt.choice, prompt.dialect == NAME
    if choice.mode is None or (choice.mode == "auto" and not is_own):
        return None
    if choice.parallel is False and family.is_claude:
        return None
    if choice.mode == "named":
        return {"tool": {"name": choice.names[0]}}
    return {"auto": {}} if choice.mode == "auto" else {"any": {}}


def _tool(spec: _ToolSpec) -> Tool:
    return Tool(spec.name, spec.description, spec.inputSchema.json, spec.strict)


def _choice(said: Block) -> ToolChoice:
    kind, value = only_member(said)
    match kind:
        case "tool":
            return ToolChoice("named", [msgspec.convert(value, _Named).name])
        case "auto":
            return ToolChoice("auto")
        case "any":
            return ToolChoice("required")
    raise msgspec.ValidationError(f"Invalid choice {kind!r}")


def _written(tool: Tool | Opaque, place: int, is_own: bool) -> Block:
    if isinstance(tool, Opaque):
        if tool.dialect != NAME:
            refuse(f"tools[{place}]", f"A tool of type `{tool.kind}`", NAME)
        return {tool.kind: tool.value}
    schema = {"type": "object", "properties": {}} if tool.schema is None else tool.schema
    if not is_own:
        schema = {"type": "object"} | (closed(schema) if tool.strict else schema)
    spec: Block = {"name": tool.name, "inputSchema": {"json": schema}}
    if tool.description is not None and (is_own or tool.description.strip()):
        spec["description"] = tool.description
    if tool.strict is not None and (is_own or tool.strict):
        spec["strict"] = tool.strict
    return {"toolSpec": spec}


def _has_calls(prompt: Prompt) -> bool:
    return any(isinstance(part, Call | Result) for turn in prompt.turns for part in turn.parts)
