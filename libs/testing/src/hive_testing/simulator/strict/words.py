"""Refusals as OpenAI words them. Every function that is named like one raises `InvalidRequest`."""

from __future__ import annotations

from typing import Any, NoReturn

from hive_testing.simulator.checking.shapes import Members, Misfit, bracketed
from hive_testing.simulator.reply import InvalidRequest

JSON_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}


def check_types(shape: Members, fields: dict[str, Any]) -> None:
    """The body against the types of the SDK."""
    try:
        shape.check(fields, ())
    except Misfit as misfit:
        refuse_misfit(misfit)


def refuse_misfit(misfit: Misfit) -> NoReturn:
    path = bracketed(misfit.path)
    match misfit.kind:
        case "unknown":
            refuse(f"Unknown parameter: '{path}'.", path, "unknown_parameter")
        case "missing":
            refuse(f"Missing required parameter: '{path}'.", path, "missing_required_parameter")
        case "value":
            refuse_value(misfit.given, misfit.expected, path)
    got = JSON_NAMES.get(type(misfit.given), "null")
    expected = " or ".join(misfit.expected)
    refuse(f"Invalid type for '{path}': expected {expected}, but got {got} instead.", path, "invalid_type")


def refuse_value(given: Any, allowed: list[str], path: str) -> NoReturn:
    listed = ", ".join(f"'{each}'" for each in allowed)
    refuse(f"Invalid value: '{given}'. Supported values are: {listed}.", path, "invalid_value")


def refuse(message: str, param: str, code: str | None = None) -> NoReturn:
    raise InvalidRequest(message, param, code)
