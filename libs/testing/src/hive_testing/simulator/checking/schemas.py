"""Schemas that a model has to keep to the letter: what the providers want of them first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
MAPS = ("properties", "$defs", "definitions")
ONES = ("items",)


def open_object(schema: Any, all_required: bool = False) -> str | None:
    """Where the schema has an object that may have members which it does not name; None where it has none.

    all_required: an object is open too where it may lack some. The place is a path like `.properties.at`.
    """
    for path, each in _objects(schema, ""):
        if each.get("additionalProperties") is not False:
            return path
        if all_required and set(each.get("required", ())) != set(each.get("properties", {})):
            return path
    return None


def _objects(schema: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(schema, dict):
        return
    kinds = schema.get("type")
    if kinds == "object" or (isinstance(kinds, list) and "object" in kinds):
        yield path, schema
    for word in LISTS:
        for place, each in enumerate(schema.get(word, ())):
            yield from _objects(each, f"{path}.{word}.{place}")
    for word in MAPS:
        for name, each in schema.get(word, {}).items():
            yield from _objects(each, f"{path}.{word}.{name}")
    for word in ONES:
        yield from _objects(schema.get(word), f"{path}.{word}")
