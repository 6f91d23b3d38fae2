"""What Anthropic refuses although its types allow it. Every function raises `InvalidRequest`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hive_testing.simulator.checking.schemas import open_object
from hive_testing.simulator.checking.shapes import is_base64
from hive_testing.simulator.messages import thinking
from hive_testing.simulator.messages.turns import Block, blocks, turns
from hive_testing.simulator.reply import InvalidRequest

MAX_CACHE_MARKS = 4
IDENTIFIER = re.compile(r"[a-zA-Z0-9_-]+")
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


def check(fields: dict[str, Any]) -> None:
    """The whole request."""
    check_conversation(fields)
    if fields["max_tokens"] < 0:
        _refuse("max_tokens", "Input should be greater than or equal to 0")
    for name, high in (("temperature", 1), ("top_p", 1)):
        if not 0 <= fields.get(name, 0) <= high:
            _refuse(name, f"Input should be greater than or equal to 0 and less than or equal to {high}")
    for sequence in fields.get("stop_sequences") or ():
        if not sequence.strip():
            _refuse("stop_sequences", "each stop sequence must contain non-whitespace")
    wanted = (fields.get("output_config") or {}).get("format")
    if wanted and (path := open_object(wanted["schema"])) is not None:
        _must_be_closed(f"output_config.format.schema{path}")
    thinking.check(fields)


def check_conversation(fields: dict[str, Any]) -> None:
    """What also holds where only tokens are counted."""
    _check_turns(fields["messages"])
    _check_blocks(fields)
    _check_calls(fields["messages"])
    _check_tools(fields)
    _check_cache_marks(fields)
    thinking.check_signatures(fields["messages"])


def _check_turns(messages: list[dict[str, Any]]) -> None:
    if not messages:
        _refuse("messages", "at least one message is required")
    if messages[0]["role"] != "user":
        _refuse("messages", 'first message must use the "user" role')
    last = messages[-1]
    for place, message in enumerate(messages):
        final_assistant = message is last and message["role"] == "assistant"
        if not message["content"] and not final_assistant:
            _refuse(
                f"messages.{place}",
                "all messages must have non-empty content except for the optional final assistant message",
            )
    ending = blocks(last)[-1:] if last["role"] == "assistant" else []
    if any(block.get("text", "") != block.get("text", "").rstrip() for block in ending):
        _refuse("messages", "final assistant content cannot end with trailing whitespace")


def _check_blocks(fields: dict[str, Any]) -> None:
    for place, message in enumerate(fields["messages"]):
        for path, block in _nested(blocks(message), f"messages.{place}.content"):
            _check_block(block, path, message["role"])
    system = fields.get("system") or []
    for place, block in enumerate(system if isinstance(system, list) else []):
        _check_block(block, f"system.{place}", "system")


def _check_block(block: Block, path: str, role: str) -> None:
    kind = block["type"]
    if kind == "text" and not block["text"]:
        _refuse(path, "text content blocks must be non-empty")
    if kind == "text" and not block["text"].strip():
        _refuse(path, "text content blocks must contain non-whitespace text")
    if kind in ("tool_use", "thinking", "redacted_thinking") and role != "assistant":
        _refuse(path, f"`{kind}` blocks can only be in `assistant` messages")
    if kind in ("tool_result", "image", "document") and role == "assistant":
        _refuse(path, f"`{kind}` blocks can only be in `user` messages")
    source = block.get("source")
    if isinstance(source, dict) and source.get("type") == "base64" and not is_base64(source["data"]):
        _refuse(f"{path}.source.base64.data", "invalid base64 data")
    for name in ("id", "tool_use_id"):
        if name in block and not IDENTIFIER.fullmatch(block[name]):
            _refuse(f"{path}.{kind}.{name}", f"String should match pattern '^{IDENTIFIER.pattern}$'")


def _nested(given: list[Block], path: str) -> Iterator[tuple[str, Block]]:
    """The blocks and those within what tools gave."""
    for place, block in enumerate(given):
        yield f"{path}.{place}", block
        inner = block.get("content")
        if block["type"] == "tool_result" and isinstance(inner, list):
            yield from _nested(inner, f"{path}.{place}.content")


def _check_calls(messages: list[dict[str, Any]]) -> None:
    """Every call is answered in the turn behind it, before anything else is said there."""
    waiting: list[str] = []
    used: set[str] = set()
    for place, _, given in turns(messages):
        answered = [block["tool_use_id"] for block in given if block["type"] == "tool_result"]
        kinds = [block["type"] for block in given]
        if stray := [each for each in answered if each not in waiting]:
            _refuse(
                f"messages.{place}.content.0",
                f"unexpected `tool_use_id` found in `tool_result` blocks: {', '.join(stray)}. Each `tool_result` "
                "block must have a corresponding `tool_use` block in the previous message.",
            )
        if left := [each for each in waiting if each not in answered]:
            _unanswered(place, left)
        if len(set(answered)) < len(answered):
            _refuse(f"messages.{place}", "each tool_use must have a single result")
        if "tool_result" in kinds[len(answered) :]:
            _refuse(f"messages.{place}", "`tool_result` blocks must come before all other content")
        waiting = [block["id"] for block in given if block["type"] == "tool_use"]
        if used & set(waiting) or len(set(waiting)) < len(waiting):
            _refuse("messages", "`tool_use` ids must be unique")
        used |= set(waiting)
    if waiting:
        _unanswered(len(messages), waiting)


def _unanswered(place: int, left: list[str]) -> None:
    _refuse(
        f"messages.{place}",
        f"`tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(left)}. Each "
        "`tool_use` block must have a corresponding `tool_result` block in the next message.",
    )


def _check_tools(fields: dict[str, Any]) -> None:
    tools = fields.get("tools") or []
    names = [tool["name"] for tool in tools if "name" in tool]
    for place, name in enumerate(names):
        if not TOOL_NAME.fullmatch(name):
            _refuse(f"tools.{place}.custom.name", f"String should match pattern '^{TOOL_NAME.pattern}$'")
    if len(set(names)) < len(names):
        _refuse("tools", "Tool names must be unique.")
    for place, tool in enumerate(tools):
        if "input_schema" in tool and tool["input_schema"].get("type") != "object":
            _refuse(f"tools.{place}.custom.input_schema.type", "Input should be 'object'")
        if tool.get("strict") and (path := open_object(tool["input_schema"])) is not None:
            _must_be_closed(f"tools.{place}.custom.input_schema{path}")
    choice = fields.get("tool_choice")
    if choice and not tools:
        _refuse("tool_choice", "tool_choice may only be specified while providing tools")
    if choice and choice["type"] == "tool" and choice["name"] not in names:
        _refuse("tool_choice", f"Tool '{choice['name']}' not found in provided tools")


def _check_cache_marks(fields: dict[str, Any]) -> None:
    system = fields.get("system") or []
    marked: list[Any] = [*(fields.get("tools") or ()), *(system if isinstance(system, list) else ())]
    for message in fields["messages"]:
        marked += [block for _, block in _nested(blocks(message), "")]
    marks = [each["cache_control"] for each in marked if each.get("cache_control")]
    if len(marks) > MAX_CACHE_MARKS:
        found = (
            f"A maximum of {MAX_CACHE_MARKS} blocks with cache_control may be provided. Found {len(marks)}."
        )
        raise InvalidRequest(found, "cache_control")
    lives = [mark.get("ttl", "5m") for mark in marks]
    if lives != sorted(lives):
        _refuse("cache_control", "a ttl='1h' cache_control block must not come after a ttl='5m' block")


def _must_be_closed(path: str) -> None:
    _refuse(path, "For 'object' type, 'additionalProperties' must be explicitly set to false")


def _refuse(path: str, what: str) -> None:
    raise InvalidRequest(f"{path}: {what}", path)
