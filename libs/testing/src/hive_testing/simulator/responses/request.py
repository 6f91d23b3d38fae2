"""The request for a response, checked, and what the model is asked by it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from hive_testing.simulator.calls import Call
from hive_testing.simulator.checking import sdk
from hive_testing.simulator.checking.shapes import Members
from hive_testing.simulator.dialect import decoded
from hive_testing.simulator.endpoint import Conversation
from hive_testing.simulator.model import Asked, JsonSchema, ResponseFormat
from hive_testing.simulator.prompt import File, ImageUrl, Message, Part
from hive_testing.simulator.responses import items, rules
from hive_testing.simulator.strict.words import check_types
from hive_testing.simulator.tools import AllowedTools, Named, Tool, ToolChoice

OUTPUTS = ("function_call_output", "custom_tool_call_output")


def read(call: Call, names: Mapping[str, str]) -> Conversation:
    """Raises `InvalidRequest` for what OpenAI refuses."""
    fields = decoded(call)
    check_types(_request(), fields)
    rules.check(fields)
    return Conversation(_asked(fields), fields)


def read_count(call: Call, names: Mapping[str, str]) -> Conversation:
    """The same for a body whose tokens are to be counted."""
    fields = decoded(call)
    check_types(_count(), fields)
    rules.check_conversation(fields)
    return Conversation(_asked(fields), fields)


@cache
def _request() -> Members:
    from openai.types.responses.response_create_params import ResponseCreateParamsBase

    return sdk.typed_dict(ResponseCreateParamsBase, stream=bool | None)


@cache
def _count() -> Members:
    from openai.types.responses.input_token_count_params import InputTokenCountParams

    return sdk.typed_dict(InputTokenCountParams)


def _asked(fields: dict[str, Any]) -> Asked:
    messages = [Message("system", fields["instructions"])] if fields.get("instructions") else []
    for item in items.of(fields):
        if message := _message(item):
            messages.append(message)
    return Asked(
        fields["model"],
        messages,
        stream=fields.get("stream"),
        max_tokens=fields.get("max_output_tokens"),
        logprobs="message.output_text.logprobs" in (fields.get("include") or ()),
        top_logprobs=fields.get("top_logprobs"),
        tools=[_tool(each) for each in fields.get("tools") or () if each["type"] in ("function", "custom")],
        tool_choice=_choice(fields.get("tool_choice")),
        parallel_tool_calls=fields.get("parallel_tool_calls"),
        response_format=_format(fields),
    )


def _message(item: dict[str, Any]) -> Message | None:
    """An item as chat has it; None for what the model is not asked by."""
    match items.kind(item):
        case "message":
            role = "system" if item["role"] == "developer" else item["role"]
            return Message(role, _content(item["content"]))
        case "function_call":
            function = {"name": item["name"], "arguments": item["arguments"]}
            return Message("assistant", None, [{"function": function}])
        case kind if kind in OUTPUTS:
            return Message("tool", _content(item["output"]))
    return None


def _content(content: str | list[dict[str, Any]]) -> str | list[Part]:
    return content if isinstance(content, str) else [_part(part) for part in content]


def _part(part: dict[str, Any]) -> Part:
    match part["type"]:
        case "input_image":
            return Part("image_url", image_url=ImageUrl(part.get("image_url") or "url"))
        case "input_file":
            return Part("file", file=File(part.get("file_id"), part.get("file_data"), part.get("filename")))
    return Part("text", part.get("text") or part.get("refusal"))


def _tool(tool: dict[str, Any]) -> Tool:
    named = Named(tool["name"], tool.get("parameters"))
    return Tool("custom", custom=named) if tool["type"] == "custom" else Tool(function=named)


def _choice(choice: Any) -> str | ToolChoice | None:
    match choice:
        case {"type": "function", "name": name}:
            return ToolChoice(function=Named(name))
        case {"type": "custom", "name": name}:
            return ToolChoice("custom", custom=Named(name))
        case {"type": "allowed_tools", "mode": mode, "tools": allowed}:
            named = [Tool(function=Named(each["name"])) for each in allowed if "name" in each]
            return ToolChoice("allowed_tools", allowed_tools=AllowedTools(mode, named))
    return choice if isinstance(choice, str) else None


def _format(fields: dict[str, Any]) -> ResponseFormat | None:
    match (fields.get("text") or {}).get("format"):
        case {"type": "json_schema", "name": name, "schema": schema}:
            return ResponseFormat("json_schema", JsonSchema(name, schema))
        case {"type": kind}:
            return ResponseFormat(kind)
    return None
