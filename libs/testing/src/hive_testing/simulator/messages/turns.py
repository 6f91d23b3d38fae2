"""The turns of a conversation as Anthropic sees it."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

Block = dict[str, Any]


class Turn(NamedTuple):
    """Neighbouring messages of one role. place: of the first of them."""

    place: int
    role: str
    blocks: list[Block]


def blocks(message: dict[str, Any]) -> list[Block]:
    """The blocks of a message, whose content may be a text."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def turns(messages: list[dict[str, Any]]) -> list[Turn]:
    """The messages, joined to turns."""
    joined = []
    for role, group in groupby(enumerate(messages), key=lambda each: str(each[1]["role"])):
        members = list(group)
        joined.append(Turn(members[0][0], role, [block for _, each in members for block in blocks(each)]))
    return joined
