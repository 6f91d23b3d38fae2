"""The parts of a prompt as Google reads them, by either spelling, and what it signs of a call."""

from __future__ import annotations

from typing import Any

import msgspec

Part = dict[str, Any]
DATA = (
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
)
OWN = (
    "args",
    "response",
    "parametersJsonSchema",
    "responseJsonSchema",
    "properties",
    "labels",
    "default",
    "example",
)
SIGNATURE = "signature"
SIGNED = "_s"  # at the end of the id of a call that came with a signature


def plain(value: Any) -> Any:
    """The value with names in camel case, but for what is a caller's own: arguments, results and schemas."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    named = {_camel(name): each for name, each in value.items()}
    return {name: each if name in OWN else plain(each) for name, each in named.items()}


def signed_text(call: dict[str, Any]) -> str:
    """What the signature of a call is made over: its name and its arguments, in whatever order they come."""
    arguments = msgspec.json.encode(call.get("args") or {}, order="sorted").decode()
    return f"{call['name']} {arguments}"


def of_kind(parts: list[Part], kind: str) -> list[Any]:
    """The values of the parts of this kind."""
    return [part[kind] for part in parts if kind in part]


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(each.capitalize() for each in others)
