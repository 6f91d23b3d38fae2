"""Google's request for content, checked, and what the model is asked by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from hive_testing.simulator.calls import Call
from hive_testing.simulator.dialect import decoded
from hive_testing.simulator.endpoint import Conversation
from hive_testing.simulator.gemini import parts, rules, types
from hive_testing.simulator.gemini.parts import plain
from hive_testing.simulator.model import Asked, JsonSchema, ResponseFormat
from hive_testing.simulator.prompt import File, ImageUrl, InputAudio, Message, Part
from hive_testing.simulator.tools import AllowedTools, Named, Tool, ToolChoice

MODES = {"AUTO": "auto", "ANY": "required", "NONE": "none", "VALIDATED": "auto"}


def read(call: Call, names: Mapping[str, str]) -> Conversation:
    """Raises `InvalidRequest` for what Google refuses."""
    fields = decoded(call)
    types.check(fields)
    return _conversation(plain(fields), names)


def read_count(call: Call, names: Mapping[str, str]) -> Conversation:
    """The same for a body whose tokens are to be counted."""
    fields = decoded(call)
    types.check_count(fields)
    fields = plain(fields)
    return _conversation(fields.get("generateContentRequest") or fields, names)


def _conversation(fields: dict[str, Any], names: Mapping[str, str]) -> Conversation:
    model = unquote(names["model"])
    rules.check(fields, model)
    return Conversation(_asked(fields, model), fields)


def _asked(fields: dict[str, Any], model: str) -> Asked:
    generation = fields.get("generationConfig") or {}
    system = fields.get("systemInstruction")
    messages = [Message("system", _parts(system["parts"]))] if system else []
    for content in fields["contents"]:
        messages += _messages(content)
    return Asked(
        model,
        messages,
        n=generation.get("candidateCount"),
        max_tokens=generation.get("maxOutputTokens"),
        stop=generation.get("stopSequences"),
        tools=[_tool(each) for each in rules.declarations(fields)],
        tool_choice=_choice(fields),
        response_format=_format(generation),
    )


def _messages(content: dict[str, Any]) -> Iterator[Message]:
    given = content["parts"]
    for answered in parts.of_kind(given, "functionResponse"):
        yield Message("tool", _result(answered.get("response") or {}))
    calls = [_call(each) for each in parts.of_kind(given, "functionCall")]
    rest = [part for part in given if "functionResponse" not in part and not part.get("thought")]
    if calls or rest:
        role = "assistant" if content.get("role") == "model" else "user"
        yield Message(role, _parts(rest), calls or None)


def _result(response: dict[str, Any]) -> str:
    """What a function gave, as chat has it: the text where it is one by a usual name."""
    match list(response.items()):
        case [("result" | "output" | "error", str(said))]:
            return said
    return msgspec.json.encode(response).decode()


def _parts(given: list[parts.Part]) -> list[Part]:
    return [read for part in given if (read := _part(part))]


def _part(part: parts.Part) -> Part | None:
    match part:
        case {"text": text}:
            return Part("text", text)
        case {"inlineData": blob}:
            return _attached(blob["mimeType"], f"data:{blob['mimeType']};base64,")
        case {"fileData": file}:
            return _attached(file.get("mimeType") or "", file["fileUri"])
    return None


def _attached(mime: str, url: str) -> Part:
    if mime.startswith("image/"):
        return Part("image_url", image_url=ImageUrl(url))
    if mime.startswith("audio/"):
        return Part("input_audio", input_audio=InputAudio("", mime.removeprefix("audio/")))
    return Part("file", file=File(url, url if url.startswith("data:") else None))


def _call(call: dict[str, Any]) -> dict[str, Any]:
    arguments = msgspec.json.encode(call.get("args") or {}).decode()
    return {"function": {"name": call["name"], "arguments": arguments}}


def _tool(declared: dict[str, Any]) -> Tool:
    schema = declared.get("parametersJsonSchema") or _lowered(declared.get("parameters"))
    return Tool(function=Named(declared["name"], schema))


def _lowered(schema: Any) -> Any:
    """Google's schema with types as everybody else writes them."""
    if isinstance(schema, list):
        return [_lowered(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: each.lower() if name == "type" and isinstance(each, str) else _lowered(each)
        for name, each in schema.items()
    }


def _choice(fields: dict[str, Any]) -> str | ToolChoice | None:
    config = (fields.get("toolConfig") or {}).get("functionCallingConfig") or {}
    mode = MODES.get(config.get("mode", "AUTO").upper(), "auto")
    if allowed := config.get("allowedFunctionNames"):
        named = [Tool(function=Named(name)) for name in allowed]
        return ToolChoice("allowed_tools", allowed_tools=AllowedTools(mode, named))
    return mode


def _format(generation: dict[str, Any]) -> ResponseFormat | None:
    if generation.get("responseMimeType", "text/plain") == "text/plain":
        return None
    schema = generation.get("responseJsonSchema") or _lowered(generation.get("responseSchema"))
    return (
        ResponseFormat("json_schema", JsonSchema("answer", schema))
        if schema
        else ResponseFormat("json_object")
    )
