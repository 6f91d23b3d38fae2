"""What Amazon refuses although the description of its service allows it. All raise `InvalidRequest`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec

from hive_testing.simulator.checking.schemas import open_object
from hive_testing.simulator.converse import reasoning
from hive_testing.simulator.reply import InvalidRequest

MAX_CACHE_POINTS = 4
MAX_DOCUMENTS = 5
DOCUMENT_NAME = re.compile(r"(?:[a-zA-Z0-9()\[\]-]|\s(?!\s))+")
BAD_NAME = (
    "The document file name can only contain alphanumeric characters, whitespace characters, hyphens, parentheses, and "
    "square brackets. The name can't contain more than one consecutive whitespace character."
)
ONLY_BY = {"toolUse": "assistant", "reasoningContent": "assistant"}
MEDIA = ("image", "document", "video", "audio", "toolResult")
USES = ("toolUse", "toolResult")
Block = dict[str, Any]


def check(fields: dict[str, Any]) -> None:
    """The whole request."""
    messages = fields.get("messages") or []
    _check_roles(messages)
    for place, message in enumerate(messages):
        _check_content(message, f"messages.{place}.content")
    _check_calls(messages)
    _check_tools(fields)
    _check_cache_points(fields)
    _check_format(fields)
    reasoning.check(fields)


def _check_roles(messages: list[dict[str, Any]]) -> None:
    if not messages or messages[0]["role"] != "user":
        _refuse(
            "messages",
            "A conversation must start with a user message. Try again with a conversation that starts with a user "
            "message.",
        )
    if any(one["role"] == other["role"] for one, other in pairwise(messages)):
        _refuse(
            "messages",
            "A conversation must alternate between user and assistant roles. Make sure the conversation alternates "
            "between user and assistant roles and try again.",
        )


def _check_content(message: dict[str, Any], path: str) -> None:
    content = message["content"]
    if not content:
        where = f"The content field in the Message object at {path.removesuffix('.content')} is empty."
        _refuse(path, f"{where} Add a ContentBlock object to the content field and try again.")
    for place, block in enumerate(content):
        here = f"{path}.{place}"
        (kind,) = block
        if kind == "text" and not block["text"].strip():
            where = f"The text field in the ContentBlock object at {here} is blank."
            _refuse(here, f"{where} Add text to the text field, and try again.")
        if ONLY_BY.get(kind, message["role"]) != message["role"]:
            _refuse(here, f"The {kind} block at {here} is only allowed in the assistant's turn.")
        if kind in MEDIA and message["role"] != "user":
            _refuse(here, f"The {kind} block at {here} is only allowed in the user's turn.")
    _check_documents([*_documents(content)], content, path)


def _documents(content: list[Block]) -> Iterator[Block]:
    for block in content:
        if "document" in block:
            yield block["document"]
        if "toolResult" in block:
            yield from _documents(block["toolResult"]["content"])


def _check_documents(documents: list[Block], content: list[Block], path: str) -> None:
    names = [document["name"] for document in documents]
    if not all(DOCUMENT_NAME.fullmatch(name) for name in names):
        _refuse(path, BAD_NAME)
    if len(set(names)) < len(names):
        _refuse(path, f"The documents at {path} must have names of their own.")
    if len(names) > MAX_DOCUMENTS:
        _refuse(path, f"A message may hold {MAX_DOCUMENTS} documents, not {len(names)}.")
    if any("document" in block for block in content) and not any("text" in block for block in content):
        _refuse(path, f"A document needs a text block beside it at {path}.")


def _check_calls(messages: list[dict[str, Any]]) -> None:
    """Every use of a tool has its result in the turn behind it."""
    waiting: list[str] = []
    for place, message in enumerate(messages):
        path = f"messages.{place}.content"
        answered = [block["toolResult"]["toolUseId"] for block in message["content"] if "toolResult" in block]
        if missing := [each for each in waiting if each not in answered]:
            _refuse(path, f"Expected toolResult blocks at {path} for the following Ids: {', '.join(missing)}")
        if len(answered) > len(waiting) or not set(answered) <= set(waiting):
            exceeds = f"The number of toolResult blocks at {path} exceeds the number of toolUse blocks"
            _refuse(path, f"{exceeds} of previous turn.")
        waiting = [block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block]
        if len(set(waiting)) < len(waiting):
            _refuse(path, f"The toolUse blocks at {path} contain duplicate Ids.")
        for block in message["content"]:
            if "toolUse" in block and not isinstance(block["toolUse"]["input"], dict):
                _refuse(
                    path,
                    f"The format of the value at {path}.toolUse.input is invalid. Provide a json object.",
                )
    if waiting:
        path = f"messages.{len(messages)}.content"
        _refuse(path, f"Expected toolResult blocks at {path} for the following Ids: {', '.join(waiting)}")


def _check_tools(fields: dict[str, Any]) -> None:
    used = any(kind in block for each in fields["messages"] for block in each["content"] for kind in USES)
    if used and not fields.get("toolConfig"):
        _refuse(
            "toolConfig",
            "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
        )
    config = fields.get("toolConfig") or {"tools": []}
    specs = [tool["toolSpec"] for tool in config["tools"] if "toolSpec" in tool]
    names = [spec["name"] for spec in specs]
    if len(set(names)) < len(names):
        _refuse("toolConfig.tools", "The toolConfig contains tools of the same name.")
    for place, spec in enumerate(specs):
        schema = spec["inputSchema"].get("json")
        if not isinstance(schema, dict) or schema.get("type") != "object":
            path = f"toolConfig.tools.{place}.toolSpec.inputSchema.json.type"
            _refuse(path, f"The value at {path} must be one of the following: object.")
        if spec.get("strict") and open_object(schema) is not None:
            _must_be_closed(f"toolConfig.tools.{place}.toolSpec.inputSchema.json")
    chosen = (config.get("toolChoice") or {}).get("tool")
    if chosen and chosen["name"] not in names:
        _refuse("toolConfig.toolChoice", f"The tool '{chosen['name']}' of toolChoice is not among the tools.")


def _check_cache_points(fields: dict[str, Any]) -> None:
    marked = [*(fields.get("system") or ()), *(fields.get("toolConfig") or {}).get("tools", ())]
    marked += [block for message in fields["messages"] for block in message["content"]]
    points = sum("cachePoint" in each for each in marked)
    if points > MAX_CACHE_POINTS:
        _refuse(
            "cachePoint",
            f"You invoked an unsupported number of cache points: {points} of {MAX_CACHE_POINTS}.",
        )


def _check_format(fields: dict[str, Any]) -> None:
    wanted = (fields.get("outputConfig") or {}).get("textFormat")
    if not wanted:
        return
    path = "outputConfig.textFormat.structure.jsonSchema.schema"
    try:
        schema = msgspec.json.decode(wanted["structure"]["jsonSchema"]["schema"])
    except msgspec.DecodeError:
        _refuse(path, f"The value at {path} is not JSON.")
        return
    if open_object(schema) is not None:
        _must_be_closed(path)


def _must_be_closed(path: str) -> None:
    _refuse(path, f"{path}: For 'object' type, 'additionalProperties' must be explicitly set to false")


def _refuse(param: str, message: str) -> None:
    raise InvalidRequest(message, param)
