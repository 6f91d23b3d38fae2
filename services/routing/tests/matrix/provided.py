"""The providers of the matrix, and what can be read off the bodies that they were sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from services.routing.tests.matrix.asking import Called


@dataclass(frozen=True, slots=True)
class Provided:
    """One kind of provider. dialect: that it speaks. model: its name there."""

    name: str
    kind: str
    dialect: str
    model: str
    options: dict[str, str] = field(default_factory=dict)
    credential: str = "sk-provider"

    def url(self, simulator: str) -> str:
        return f"{simulator}/v1" if self.kind == "openai" else simulator


PROVIDED = {
    each.dialect: each
    for each in (
        Provided("OpenAI chat", "openai", "chat", "gpt-5-mini", {"speaks": "chat"}),
        Provided("OpenAI responses", "openai", "responses", "gpt-5", {"speaks": "responses"}),
        Provided("Anthropic", "anthropic", "messages", "claude-sonnet-4-5"),
        Provided("Gemini", "gemini", "gemini", "gemini-3-pro"),
        Provided(
            "Bedrock",
            "bedrock",
            "converse",
            "eu.anthropic.claude-sonnet-4-5",
            {"region": "eu-central-1"},
            "AKIAIOSFODNN7EXAMPLE:secret",
        ),
    )
}
_SEALS = {
    "chat": (),
    "responses": ("encrypted_content",),
    "messages": ("signature", "data"),
    "gemini": ("thoughtSignature",),
    "converse": ("signature", "redactedContent"),
}
_MARKS = ("cache_control", "cachePoint")


def system_of(dialect: str, body: Any) -> str:
    """What the application said first, wherever it stands."""
    match dialect:
        case "chat":
            return "".join(each["content"] for each in body["messages"] if each["role"] == "system")
        case "responses":
            said = [each["content"] for each in body["input"] if each.get("role") == "system"]
            return "".join([body.get("instructions") or "", *said])
        case "messages":
            system = body.get("system") or ""
            return system if isinstance(system, str) else "".join(each["text"] for each in system)
        case "gemini":
            return "".join(part["text"] for part in body["systemInstruction"]["parts"])
    return "".join(each["text"] for each in body["system"])


def seals_in(dialect: str, value: Any) -> list[str]:
    """What a provider sealed, in what it said or in what it was sent; in Google's two alphabets as one."""
    names = _SEALS[dialect]
    found = [each for name, each in members_of(value) if name in names and isinstance(each, str)]
    return [each.translate(str.maketrans("-_", "+/")) for each in found if len(each) > 100]


def marks_in(body: Any) -> int:
    """How many places of a prompt are marked to be cached."""
    return sum(name in _MARKS and each is not None for name, each in members_of(body))


def members_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Of all objects within, by name."""
    if isinstance(value, list):
        for each in value:
            yield from members_of(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name, each
            yield from members_of(each)


@dataclass(slots=True)
class Said:
    """What a provider is told that the model said before."""

    text: str = ""
    calls: list[Called] = field(default_factory=list)

    def call(self, id: str, name: str, arguments: Any) -> None:
        if isinstance(arguments, str):
            arguments = msgspec.json.decode(arguments)
        self.calls.append(Called(id, name, arguments))


def said_by(dialect: str, body: Any) -> Said:
    said = Said()
    _READERS[dialect](body, said)
    return said


def _of_chat(body: Any, said: Said) -> None:
    for message in body["messages"]:
        if message["role"] == "assistant":
            content = message.get("content") or ""
            parts = [{"text": content}] if isinstance(content, str) else content
            said.text += "".join(part.get("text", "") for part in parts)
            for call in message.get("tool_calls") or ():
                said.call(call["id"], call["function"]["name"], call["function"]["arguments"])


def _of_responses(body: Any, said: Said) -> None:
    for item in body["input"]:
        if item.get("role") == "assistant":
            content = item["content"]
            parts = [{"text": content}] if isinstance(content, str) else content
            said.text += "".join(part.get("text", "") for part in parts)
        elif item.get("type") == "function_call":
            said.call(item["call_id"], item["name"], item["arguments"])


def _of_messages(body: Any, said: Said) -> None:
    for message in body["messages"]:
        content = message["content"] if message["role"] == "assistant" else []
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if block["type"] == "text":
                said.text += block["text"]
            elif block["type"] == "tool_use":
                said.call(block["id"], block["name"], block["input"])


def _of_gemini(body: Any, said: Said) -> None:
    for content in body["contents"]:
        for part in content["parts"] if content.get("role") == "model" else ():
            if "functionCall" in part:
                call = part["functionCall"]
                said.call(call.get("id", ""), call["name"], call.get("args") or {})
            elif not part.get("thought"):
                said.text += part.get("text", "")


def _of_converse(body: Any, said: Said) -> None:
    for message in body["messages"]:
        for block in message["content"] if message["role"] == "assistant" else ():
            said.text += block.get("text", "")
            if "toolUse" in block:
                call = block["toolUse"]
                said.call(call["toolUseId"], call["name"], call["input"])


_READERS = {
    "chat": _of_chat,
    "responses": _of_responses,
    "messages": _of_messages,
    "gemini": _of_gemini,
    "converse": _of_converse,
}
