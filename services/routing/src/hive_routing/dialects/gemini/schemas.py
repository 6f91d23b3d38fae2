"""Google's older schemas, a part of OpenAPI with types in capitals, as JSON schemas."""

from __future__ import annotations

from typing import Any

from hive_routing.dialects.gemini.fields import Misfit, Object, members, typed

_COUNTS = frozenset(
    {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"},
)
"""64-bit numbers, that Google's JSON may have in quotes."""
_ONLY_GOOGLE = frozenset({"nullable", "propertyOrdering", "example", "defs", "ref"})


def json_schema(value: Any, path: str) -> Object:
    """The JSON schema that says the same. Raises Misfit.

    propertyOrdering, which steers how Google's models write and constrains nothing, is left out.
    """
    schema = members(value, path)
    written = {name: _member(name, each, path) for name, each in schema.items() if name not in _ONLY_GOOGLE}
    if written.get("format") == "enum":
        del written["format"]
    if "enum" in written and written.get("type") == "integer":
        written["enum"] = typed(written["enum"], list[int], f"{path}.enum")
    if "example" in schema:
        written["examples"] = [schema["example"]]
    if "ref" in schema:
        written["$ref"] = typed(schema["ref"], str, f"{path}.ref").replace("#/defs/", "#/$defs/")
    if "defs" in schema:
        written["$defs"] = _each(schema["defs"], f"{path}.defs")
    return _nullable(written) if schema.get("nullable") is True else written


def _member(name: str, value: Any, path: str) -> Any:
    at = f"{path}.{name}"
    if name == "type":
        return _type(value, at)
    if name in ("properties", "$defs"):
        return _each(value, at)
    if name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        return [json_schema(each, f"{at}[{place}]") for place, each in enumerate(typed(value, list, at))]
    if name == "items" or (name == "additionalProperties" and isinstance(value, dict)):
        return json_schema(value, at)
    return typed(value, int, at) if name in _COUNTS else value


def _type(value: Any, path: str) -> Any:
    if isinstance(value, list):  # of JSON schemas, which Google takes here too
        return [_type(each, path) for each in value]
    return typed(value, str, path).lower()


def _each(value: Any, path: str) -> Object:
    if not isinstance(value, dict):
        raise Misfit(path, "Expected `object`")
    return {name: json_schema(each, f"{path}.{name}") for name, each in value.items()}


def _nullable(schema: Object) -> Object:
    if isinstance(schema.get("type"), str):
        allowed = {"enum": [*schema["enum"], None]} if isinstance(schema.get("enum"), list) else {}
        return schema | {"type": [schema["type"], "null"]} | allowed
    if isinstance(schema.get("anyOf"), list):
        return schema | {"anyOf": [*schema["anyOf"], {"type": "null"}]}
    return schema
