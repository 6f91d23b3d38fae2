"""Tools and the choice among them, both ways.

Tools that Anthropic runs itself carry a dated type; like those with members that the form has no place for, they are
carried along whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from hive_routing.dialects.form import Opaque, Prompt, Tool, ToolChoice
from hive_routing.dialects.messages.blocks import marked
from hive_routing.dialects.messages.parts import NAME, Block, cache_mark
from hive_routing.dialects.messages.schemas import closed
from hive_routing.dialects.port import refuse

_MEMBERS = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})
_SAYS_NOTHING: Mapping[str, tuple[Any, ...]] = {
    "allowed_callers": (["direct"], []),
    "defer_loading": (False,),
    "eager_input_streaming": (True, False),  # only how its arguments are cut in a stream
    "input_examples": ([],),
}

Mode = Literal["auto", "none", "required", "named"]
_MODES: Mapping[str, Mode] = {"auto": "auto", "any": "required", "none": "none", "tool": "named"}
_TYPES: Mapping[Mode, str] = {mode: type for type, mode in _MODES.items()}


class _Tool(msgspec.Struct):
    name: str
    input_schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class _Choice(msgspec.Struct):
    type: Literal["auto", "any", "none", "tool"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


def read_tool(tool: Block) -> Tool | Opaque:
    """Raises msgspec.ValidationError."""
    kind = tool.get("type") or "custom"
    if kind != "custom" or any(_is_foreign(name, value) for name, value in tool.items()):
        return Opaque(NAME, str(kind), tool)
    read = msgspec.convert(tool, _Tool)
    mark = cache_mark(tool.get("cache_control"))
    return Tool(read.name, read.description, read.input_schema, read.strict, mark)


def read_choice(choice: Block) -> ToolChoice:
    """Raises msgspec.ValidationError."""
    read = msgspec.convert(choice, _Choice)
    if read.type == "tool" and read.name is None:
        raise msgspec.ValidationError("Object missing required field `name`")
    names = [read.name] if read.type == "tool" and read.name is not None else []
    disabled = read.disable_parallel_tool_use
    return ToolChoice(_MODES[read.type], names, None if disabled is None else not disabled)


def write_tools(prompt: Prompt) -> list[Block]:
    """A choice among some of the tools is the same as none but these."""
    chosen = set(prompt.choice.names) if prompt.choice.mode != "named" else set()
    return [
        _written(tool, place, prompt.dialect == NAME)
        for place, tool in enumerate(prompt.tools)
        if not chosen or (isinstance(tool, Tool) and tool.name in chosen)
    ]


def write_choice(prompt: Prompt) -> Block | None:
    choice = prompt.choice
    mode = choice.mode or ("auto" if choice.parallel is not None else None)
    if mode is None or (not prompt.tools and mode in ("auto", "none")):
        return None  # the default, and Anthropic wants no choice where there are no tools
    written: Block = {"type": _TYPES[mode]}
    if mode == "named":
        written["name"] = choice.names[0]
    if choice.parallel is not None and mode != "none":
        written["disable_parallel_tool_use"] = not choice.parallel
    return written


def _is_foreign(name: str, value: Any) -> bool:
    return name not in _MEMBERS and value is not None and value not in _SAYS_NOTHING.get(name, ())


def _written(tool: Tool | Opaque, place: int, is_own: bool) -> Block:
    if isinstance(tool, Opaque):
        if tool.dialect != NAME:
            refuse(f"tools[{place}]", f"A tool of type `{tool.kind}`", NAME)
        return dict(tool.value)
    schema = {"type": "object", "properties": {}} if tool.schema is None else tool.schema
    if not is_own:
        schema = {"type": "object"} | (closed(schema) if tool.strict else schema)
    written: Block = {"name": tool.name, "input_schema": schema}
    if tool.description is not None:
        written["description"] = tool.description
    if tool.strict is not None:
        written["strict"] = tool.strict
    return marked(written, tool.cache)
