"""Which tools the model calls, and with what: decided by the request alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from hive_testing.simulator import schema, tokens
from hive_testing.simulator.reply import InvalidRequest


class Named(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class Tool(msgspec.Struct):
    type: str = "function"
    function: Named | None = None
    custom: Named | None = None

    @property
    def name(self) -> str:
        """The name of the function or custom tool; raises `InvalidRequest` where it is neither."""
        target = self.function or self.custom
        if target is None:
            raise InvalidRequest(f"a tool of type {self.type!r} needs a field of that name", "tools")
        return target.name


class AllowedTools(msgspec.Struct):
    mode: str
    tools: list[Tool]


class ToolChoice(Tool):
    allowed_tools: AllowedTools | None = None


class Call(NamedTuple):
    """A decision to call a tool: its kind, its name, and the JSON of its arguments or its input."""

    kind: str
    name: str
    arguments: str


class ToolCall(msgspec.Struct):
    """A call of a function (`arguments` is JSON text) or of a custom tool (`arguments` is its input)."""

    id: str
    name: str
    arguments: str
    kind: str = "function"

    @property
    def payload(self) -> str:
        """The name of the field that holds `arguments`."""
        return "arguments" if self.kind == "function" else "input"

    @property
    def decoded(self) -> dict[str, Any]:
        """The arguments as an object; an empty one where they are none, as where they were cut."""
        try:
            return msgspec.json.decode(self.arguments, type=dict[str, Any])
        except msgspec.DecodeError:
            return {}

    def wire(self) -> dict[str, Any]:
        """The call as a message shows it."""
        return {
            "id": self.id,
            "type": self.kind,
            self.kind: {"name": self.name, self.payload: self.arguments},
        }

    def fragments(self, index: int) -> list[tuple[dict[str, Any], int]]:
        """The stream's deltas with the tokens of each: the name first, then the arguments token by token."""
        opening = {"index": index, "id": self.id, "type": self.kind}
        first = {**opening, self.kind: {"name": self.name, self.payload: ""}}
        rest = [{"index": index, self.kind: {self.payload: token}} for token in tokens.split(self.arguments)]
        return [(first, tokens.count(self.name)), *((delta, 1) for delta in rest)]


def count(calls: list[ToolCall]) -> int:
    """Completion tokens of calls: their names and arguments."""
    return sum(tokens.count(call.name) + tokens.count(call.arguments) for call in calls)


def cut(calls: list[ToolCall], limit: int) -> list[ToolCall]:
    """What `limit` tokens leave of the calls: the last one's arguments end in the middle."""
    kept = []
    for call in calls:
        limit -= tokens.count(call.name)
        if limit < 0:
            break
        kept.append(msgspec.structs.replace(call, arguments=tokens.cut(call.arguments, limit)))
        limit -= tokens.count(call.arguments)
    return kept


def chosen(offered: list[Tool], choice: str | ToolChoice | None, parallel: bool, said: str) -> list[Call]:
    """The calls to make: every tool whose name is in `said`, the user's last words.

    A required call goes to the first tool if the user named none; a tool that `choice` names is called in
    any case. Raises `InvalidRequest`.
    """
    named, mode, offered = _demand(offered, choice)
    if mode == "none" or not offered:
        return []
    picked = [tool for tool in offered if tool.name in said]
    if named:
        picked = [tool for tool in offered if tool.name == named]
    elif mode == "required" and not picked:
        picked = offered[:1]
    return [Call(tool.type, tool.name, _arguments(tool)) for tool in (picked if parallel else picked[:1])]


def _demand(offered: list[Tool], choice: str | ToolChoice | None) -> tuple[str | None, str, list[Tool]]:
    """The tool that must be called, the mode, and the tools that may be called."""
    if not isinstance(choice, ToolChoice):
        return None, choice or "auto", offered
    if allowed := choice.allowed_tools:
        names = {tool.name for tool in allowed.tools}
        return None, allowed.mode, [tool for tool in offered if tool.name in names]
    if all(tool.name != choice.name for tool in offered):
        raise InvalidRequest(
            f"tool_choice names {choice.name!r}, which is not among the tools", "tool_choice"
        )
    return choice.name, "required", offered


def _arguments(tool: Tool) -> str:
    if tool.function is None:
        return f"input of {tool.name}"
    try:
        arguments = schema.smallest(tool.function.parameters or {"type": "object"})
    except ValueError as error:
        raise InvalidRequest(str(error), "tools") from error
    return msgspec.json.encode(arguments).decode()
