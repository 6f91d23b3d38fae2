"""What a client of Google's other dialect, interactions, says beyond the form, and generateContent has words for."""

from __future__ import annotations

from typing import Any

from hive_routing.dialects.form import Prompt
from hive_routing.dialects.gemini.fields import Object

KIN = "interactions"


def split_rest(prompt: Prompt) -> tuple[Object, Object]:
    """Of the rest of its prompt: members of a body of generateContent, and what these leave."""
    known: Object = {}
    left: Object = {}
    for name, value in prompt.rest.items():
        if name == "cached_content":
            known["cachedContent"] = value
        elif name == "safety_settings" and (settings := _safety_settings(value)) is not None:
            known["safetySettings"] = settings
        else:
            left[name] = value
    return known, left


def _safety_settings(value: Any) -> list[Object] | None:
    """None where they say more than Google's own."""
    written = []
    for each in value if isinstance(value, list) else ():
        match each:
            case {"type": str(kind), "threshold": str(threshold), **more} if not more:
                category = f"HARM_CATEGORY_{kind.upper().removeprefix('HARM_CATEGORY_')}"
                written.append({"category": category, "threshold": threshold.upper()})
            case _:
                return None
    return written
