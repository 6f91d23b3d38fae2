"""Rules that OpenAI's endpoints share and that types cannot say. Every function raises `InvalidRequest`."""

from __future__ import annotations

import re
from typing import Any

from hive_testing.simulator.checking.schemas import open_object
from hive_testing.simulator.checking.shapes import is_base64
from hive_testing.simulator.strict.words import refuse

NAME = re.compile(r"[a-zA-Z0-9_-]+")
MAX_NAME = 64
MAX_METADATA = (16, 64, 512)  # pairs, letters of a key, letters of a value


def check_range(fields: dict[str, Any], name: str, low: float, high: float) -> None:
    value = fields.get(name)
    if value is None or low <= value <= high:
        return
    kind = "integer" if isinstance(value, int) else "decimal"
    bound, word, side = (low, "below_min", ">=") if value < low else (high, "above_max", "<=")
    where = "below minimum" if value < low else "above maximum"
    refuse(
        f"Invalid '{name}': {kind} {where} value. Expected a value {side} {bound:g}, but got {value:g} instead.",
        name,
        f"{kind}_{word}_value",
    )


def check_length(value: str, most: int, path: str) -> None:
    if len(value) > most:
        refuse(
            f"Invalid '{path}': string too long. Expected a string with maximum length {most}, but got a string "
            f"with length {len(value)} instead.",
            path,
            "string_above_max_length",
        )


def check_name(name: str, path: str) -> None:
    """A name of a function, or of a format."""
    if not NAME.fullmatch(name):
        refuse(
            f"Invalid '{path}': string does not match pattern. Expected a string that matches the pattern "
            f"'^{NAME.pattern}$'.",
            path,
            "invalid_value",
        )
    check_length(name, MAX_NAME, path)


def check_metadata(metadata: dict[str, str] | None) -> None:
    pairs, letters, value_letters = MAX_METADATA
    if len(metadata or {}) > pairs:
        refuse(f"Invalid 'metadata': too many properties, at most {pairs} are allowed.", "metadata")
    for key, value in (metadata or {}).items():
        check_length(key, letters, "metadata")
        check_length(value, value_letters, f"metadata.{key}")


def check_strict(schema: Any, owner: str, path: str) -> None:
    """A schema to be kept to the letter: every object is closed, and all its members are required."""
    if (place := open_object(schema, all_required=True)) is not None:
        refuse(
            f"Invalid schema for {owner}: In context=({place!r}), 'additionalProperties' is required to be supplied "
            "and to be false, and 'required' to include every key in properties.",
            path,
            "invalid_json_schema" if owner.startswith("response_format") else "invalid_function_parameters",
        )


def check_parameters(schema: dict[str, Any] | None, name: str, path: str) -> None:
    """The schema of a function's arguments."""
    if schema is not None and schema.get("type") != "object":
        got = schema.get("type")
        refuse(
            f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"', got "
            f"'type: \"{got}\"'.",
            path,
            "invalid_function_parameters",
        )


def check_data_url(url: str, kind: str, path: str) -> None:
    """A URL, of data or elsewhere. kind: what its media type begins with."""
    if url.startswith(("http://", "https://")):
        return
    head, _, data = url.partition(";base64,")
    if not head.startswith(f"data:{kind}") or not data or not is_base64(data):
        refuse(
            f"Invalid '{path}'. Expected a base64-encoded data URL with an {kind or 'application/pdf'} MIME type, "
            "but got an invalid one.",
            path,
            "invalid_value",
        )


def check_says_json(texts: list[str], message: str, path: str) -> None:
    if not any("json" in text.lower() for text in texts):
        refuse(message, path)
