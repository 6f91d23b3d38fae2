"""Anthropic's request, checked, and what the model is asked by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hive_testing.simulator.calls import Call
from hive_testing.simulator.dialect import decoded
from hive_testing.simulator.endpoint import Conversation
from hive_testing.simulator.messages import rules, types
from hive_testing.simulator.model import Asked, JsonSchema, ResponseFormat
from hive_testing.simulator.prompt import File, ImageUrl, Message, Part
from hive_testing.simulator.reply import InvalidRequest
from hive_testing.simulator.tools import Named, Tool, ToolChoice

MODES = {"auto": "auto", "any": "required", "none": "none"}
Block = dict[str, Any]


def read(call: Call, names: Mapping[str, str]) -> Conversation:
    """Raises `InvalidRequest` for what Anthropic refuses."""
    return conversation(_versioned(call))


def read_count(call: Call, names: Mapping[str, str]) -> Conversation:
    """The same for a body whose tokens are to be counted."""
    fields = _versioned(call)
    types.check_count(fields)
    rules.check_conversation(fields)
    return Conversation(_asked(fields), fields)


def conversation(fields: dict[str, Any]) -> Conversation:
    """A body, wherever its model and its version stood; raises `InvalidRequest`."""
    types.check(fields)
    rules.check(fields)
    return Conversation(_asked(fields), fields)


def _versioned(call: Call) -> dict[str, Any]:
    if not call.header(b"anthropic-version"):
        raise InvalidRequest("anthropic-version: header is required", "anthropic-version")
    return decoded(call)


def _asked(fields: dict[str, Any]) -> Asked:
    messages = [Message("system", _parts(_blocks(fields["system"])))] if fields.get("system") else []
    for message in fields["messages"]:
        messages += _messages(message)
    choice = fields.get("tool_choice") or {"type": "auto"}
    return Asked(
        fields["model"],
        messages,
        stream=fields.get("stream"),
        max_tokens=fields.get("max_tokens"),
        stop=fields.get("stop_sequences"),
        tools=[_tool(each) for each in fields.get("tools", ()) if "input_schema" in each],
        tool_choice=_choice(choice),
        parallel_tool_calls=not choice.get("disable_parallel_tool_use"),
        response_format=_format(fields),
    )


def _messages(message: dict[str, Any]) -> Iterator[Message]:
    """A turn as chat has it: what tools gave comes in messages of its own, first."""
    blocks = _blocks(message["content"])
    for block in blocks:
        if block["type"] == "tool_result":
            yield Message("tool", _parts(_blocks(block.get("content") or [])))
    rest = [block for block in blocks if block["type"] != "tool_result"]
    if rest or not blocks:
        calls = [_call(block) for block in rest if block["type"] == "tool_use"]
        yield Message(message["role"], _parts(rest), calls or None)


def _blocks(content: str | list[Block]) -> list[Block]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _parts(blocks: list[Block]) -> list[Part]:
    return [part for block in blocks if (part := _part(block))]


def _part(block: Block) -> Part | None:
    match block:
        case {"type": "text", "text": text}:
            return Part("text", text)
        case {"type": "image", "source": source}:
            return Part("image_url", image_url=ImageUrl(_data_url(source) or "url"))
        case {"type": "document", "source": source}:
            return Part("file", file=File(source.get("file_id"), _data_url(source)))
    return None


def _data_url(source: Block) -> str:
    return f"data:{source['media_type']};base64," if "media_type" in source else ""


def _call(block: Block) -> dict[str, Any]:
    arguments = msgspec.json.encode(block["input"]).decode()
    return {"function": {"name": block["name"], "arguments": arguments}}


def _tool(tool: dict[str, Any]) -> Tool:
    return Tool(function=Named(tool["name"], tool["input_schema"]))


def _choice(choice: dict[str, Any]) -> str | ToolChoice:
    if choice["type"] == "tool":
        return ToolChoice(function=Named(choice["name"]))
    return MODES[choice["type"]]


def _format(fields: dict[str, Any]) -> ResponseFormat | None:
    wanted = (fields.get("output_config") or {}).get("format")
    return ResponseFormat("json_schema", JsonSchema("answer", wanted["schema"])) if wanted else None
