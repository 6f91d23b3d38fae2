"""The items of a response's input, and the names that tell what the simulator made and kept."""

from __future__ import annotations

from typing import Any

Item = dict[str, Any]
UNKEPT = "_u"  # at the end of the id of an item that was not stored
REASONED = "_r"  # at the end of the id of a call that reasoning led to


def of(fields: dict[str, Any]) -> list[Item]:
    """The input, whatever its form."""
    given = fields.get("input")
    return [{"role": "user", "content": given}] if isinstance(given, str) else given or []


def kind(item: Item) -> str:
    """What kind of item it is; messages need not say it."""
    return item.get("type") or ("message" if "role" in item else "item_reference")


def is_spoken(item: Item) -> bool:
    """Whether the model said it."""
    named = kind(item)
    if named == "message":
        return bool(item["role"] == "assistant")
    return named in ("reasoning", "compaction") or named.endswith("_call")
