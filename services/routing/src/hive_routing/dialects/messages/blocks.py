"""Parts of the form, written as content blocks of Anthropic's messages: what prompts and answers have in common."""

from __future__ import annotations

from typing import Any

import msgspec

from hive_routing.dialects.form import CacheMark, Seal, Text
from hive_routing.dialects.messages.parts import INVALID_JSON, NAME, Block
from hive_routing.dialects.seals import packed


def text_block(text: Text) -> Block:
    return marked({"type": "text", "text": text.text}, text.cache)


def marked(block: Block, mark: CacheMark | None) -> Block:
    """The block with its cache mark, if it has one."""
    if mark is not None:
        block["cache_control"] = {"type": "ephemeral"} | ({"ttl": mark.ttl} if mark.ttl else {})
    return block


def input_of(arguments: str) -> dict[str, Any]:
    """The input of a call; none at all is an empty one.

    Text that is no JSON object, as a model may produce where its answer was cut, is wrapped in the way that Anthropic
    documents for it, and unwrapped where it comes back.
    """
    if not arguments.strip():
        return {}
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {INVALID_JSON: arguments}


def thinking_block(text: str, seal: Seal | None) -> Block:
    """What a model thought, for a client; the seal of another provider is packed."""
    value = packed(seal, NAME) if seal is not None else ""
    if not text and seal is not None and seal.kind == "redacted":
        return {"type": "redacted_thinking", "data": value}
    return {"type": "thinking", "thinking": text, "signature": value}
