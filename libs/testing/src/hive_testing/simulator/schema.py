"""The smallest value that satisfies a JSON Schema, for structured output and tool arguments."""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 32
FORMATS = {
    "date": "2025-01-01",
    "date-time": "2025-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "a@example.com",
    "uri": "https://example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "hostname": "example.com",
}


def smallest(schema: dict[str, Any]) -> Any:
    """A value with the required properties only; `pattern` and `not` are not honoured.

    Raises `ValueError` for a reference that leads nowhere or required properties that never end.
    """
    return _value(schema, schema, 0)


def _value(schema: Any, root: dict[str, Any], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError("the schema requires a value inside itself without end")
    if not isinstance(schema, dict):
        return None
    if "$ref" in schema:
        return _value(_resolve(schema["$ref"], root), root, depth + 1)
    if "allOf" in schema:
        return _value(_merged(schema, root), root, depth + 1)
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return _value(schema[key][0], root, depth + 1)
    if "const" in schema:
        return schema["const"]
    return schema["enum"][0] if "enum" in schema else _typed(schema, root, depth)


def _typed(schema: dict[str, Any], root: dict[str, Any], depth: int) -> Any:
    match _type(schema):
        case "object":
            properties = schema.get("properties", {})
            return {
                name: _value(properties.get(name), root, depth + 1) for name in schema.get("required", ())
            }
        case "array":
            return [_value(schema.get("items"), root, depth + 1)] * schema.get("minItems", 0)
        case "string":
            return FORMATS.get(schema.get("format", ""), "x" * schema.get("minLength", 0))
        case "integer":
            return _number(schema, 1)
        case "number":
            return _number(schema, 0.5)
        case "boolean":
            return False
    return None


def _type(schema: dict[str, Any]) -> str:
    named = schema.get("type", "object" if "properties" in schema else "null")
    return str(named[0] if isinstance(named, list) else named)


def _number(schema: dict[str, Any], step: float) -> Any:
    """Zero, or the nearest multiple of `multipleOf` (else of `step`) that keeps the bounds."""
    step = schema.get("multipleOf", step)
    low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    high = schema.get("maximum", schema.get("exclusiveMaximum", 0))
    from_low, from_high = -(-low // step) * step, high // step * step
    candidates = (0, from_low, from_low + step, from_high, from_high - step)
    return next((value for value in candidates if _fits(value, schema)), low)


def _fits(value: float, schema: dict[str, Any]) -> bool:
    closed = schema.get("minimum", value) <= value <= schema.get("maximum", value)
    opened = schema.get("exclusiveMinimum", value - 1) < value < schema.get("exclusiveMaximum", value + 1)
    return bool(closed and opened)


def _resolve(reference: str, root: dict[str, Any]) -> Any:
    target: Any = root
    for name in reference.removeprefix("#").strip("/").split("/"):
        if name and not (isinstance(target, dict) and name in target):
            raise ValueError(f"the schema's reference {reference!r} leads nowhere")
        target = target[name] if name else target
    return target


def _merged(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema["allOf"]:
        whole = _resolve(part["$ref"], root) if "$ref" in part else part
        merged["properties"] = {**merged.get("properties", {}), **whole.get("properties", {})}
        merged["required"] = [*merged.get("required", ()), *whole.get("required", ())]
        merged = {**whole, **merged}
    return merged
