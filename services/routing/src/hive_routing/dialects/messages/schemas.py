"""JSON schemas of what Anthropic enforces: their objects have to be closed."""

from __future__ import annotations

from typing import Any

_BY_NAME = ("properties", "$defs", "definitions")
_IN_ROW = ("anyOf", "allOf", "oneOf", "prefixItems")


def closed(schema: Any) -> Any:
    """The schema with every object that names its properties closed to others, where it says nothing of them.

    What fits it fits the given one as well. An object that names no properties stays as it is: closed, it could hold
    nothing at all.
    """
    if not isinstance(schema, dict):
        return schema
    written = {name: _within(name, value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        written.setdefault("additionalProperties", False)
    return written


def _within(name: str, value: Any) -> Any:
    if name in _BY_NAME and isinstance(value, dict):
        return {each: closed(schema) for each, schema in value.items()}
    if name in _IN_ROW and isinstance(value, list):
        return [closed(each) for each in value]
    return closed(value) if name == "items" else value
