"""Amazon's request, checked, and what the model is asked by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from hive_testing.simulator.calls import Call
from hive_testing.simulator.checking import aws
from hive_testing.simulator.checking.shapes import Misfit, Shape, dotted
from hive_testing.simulator.converse import rules
from hive_testing.simulator.dialect import decoded
from hive_testing.simulator.endpoint import Conversation
from hive_testing.simulator.model import Asked, JsonSchema, ResponseFormat
from hive_testing.simulator.prompt import File, ImageUrl, InputAudio, Message, Part
from hive_testing.simulator.reply import InvalidRequest
from hive_testing.simulator.tools import Named, Tool, ToolChoice

SERVICE = "bedrock-runtime"
Block = dict[str, Any]


def read(call: Call, names: Mapping[str, str]) -> Conversation:
    """Raises `InvalidRequest` for what Amazon refuses."""
    return _conversation(_fitting(decoded(call), "Converse"), names)


def read_stream(call: Call, names: Mapping[str, str]) -> Conversation:
    """The same for an answer that streams."""
    return _conversation(_fitting(decoded(call), "ConverseStream"), names)


def read_count(call: Call, names: Mapping[str, str]) -> Conversation:
    """The same for a body whose tokens are to be counted."""
    fields = _fitting(decoded(call), "CountTokens")["input"]
    if "converse" not in fields:
        raise InvalidRequest("The simulator counts the tokens of `converse` only.", "input")
    return _conversation(fields["converse"], names)


def check_types(shape: Shape, fields: dict[str, Any]) -> None:
    """A body against the description of the service; raises `InvalidRequest`."""
    try:
        shape.check(fields, ())
    except Misfit as misfit:
        raise InvalidRequest(_words(misfit), dotted(misfit.path)) from misfit


def _fitting(fields: dict[str, Any], operation: str) -> dict[str, Any]:
    check_types(aws.body(SERVICE, operation), fields)
    return fields


def _words(misfit: Misfit) -> str:
    path = dotted(misfit.path)
    match misfit.kind:
        case "unknown":
            return f"The request contains an unknown member: {path}"
        case "missing":
            what = "Member must not be null"
        case "value":
            what = f"Member must satisfy enum value set: [{', '.join(misfit.expected)}]"
        case "rule":
            what = f"Member must {misfit.expected[0]}"
        case _:
            return f"Expected {' or '.join(misfit.expected)} at '{path}', got {misfit.given!r}"
    return f"1 validation error detected: Value {misfit.given!r} at '{path}' failed to satisfy constraint: {what}"


def _conversation(fields: dict[str, Any], names: Mapping[str, str]) -> Conversation:
    rules.check(fields)
    return Conversation(_asked(fields, unquote(names["model"])), fields)


def _asked(fields: dict[str, Any], model: str) -> Asked:
    system = [Part("text", block["text"]) for block in fields.get("system") or () if "text" in block]
    messages = [Message("system", system)] if system else []
    for message in fields["messages"]:
        messages += _messages(message)
    limits = fields.get("inferenceConfig") or {}
    config = fields.get("toolConfig") or {}
    return Asked(
        model,
        messages,
        max_tokens=limits.get("maxTokens"),
        stop=limits.get("stopSequences"),
        tools=[_tool(each["toolSpec"]) for each in config.get("tools", ()) if "toolSpec" in each],
        tool_choice=_choice(config.get("toolChoice") or {}),
        response_format=_format(fields),
    )


def _messages(message: dict[str, Any]) -> Iterator[Message]:
    """A turn as chat has it: what tools gave comes in messages of its own, first."""
    for block in message["content"]:
        if "toolResult" in block:
            yield Message("tool", _parts(block["toolResult"]["content"]))
    rest = [block for block in message["content"] if "toolResult" not in block]
    if rest:
        calls = [_call(block["toolUse"]) for block in rest if "toolUse" in block]
        yield Message(message["role"], _parts(rest), calls or None)


def _parts(blocks: list[Block]) -> list[Part]:
    return [part for block in blocks if (part := _part(block))]


def _part(block: Block) -> Part | None:
    match block:
        case {"text": text}:
            return Part("text", text)
        case {"json": value}:
            return Part("text", msgspec.json.encode(value).decode())
        case {"image": image}:
            return Part("image_url", image_url=ImageUrl(f"data:image/{image['format']};base64,"))
        case {"document": document}:
            return Part("file", file=File(file_data=f"data:application/{document.get('format')};base64,"))
        case {"audio": audio}:
            return Part("input_audio", input_audio=InputAudio("", audio["format"]))
        case {"video": video}:
            return Part("file", file=File(file_data=f"data:video/{video['format']};base64,"))
    return None


def _call(use: Block) -> dict[str, Any]:
    return {"function": {"name": use["name"], "arguments": msgspec.json.encode(use["input"]).decode()}}


def _tool(spec: Block) -> Tool:
    return Tool(function=Named(spec["name"], spec["inputSchema"].get("json")))


def _choice(choice: Block) -> str | ToolChoice:
    if "tool" in choice:
        return ToolChoice(function=Named(choice["tool"]["name"]))
    return "required" if "any" in choice else "auto"


def _format(fields: dict[str, Any]) -> ResponseFormat | None:
    wanted = (fields.get("outputConfig") or {}).get("textFormat")
    if not wanted:
        return None
    schema = msgspec.json.decode(wanted["structure"]["jsonSchema"]["schema"])
    return ResponseFormat("json_schema", JsonSchema("answer", schema))
