"""Reads what Google's clients send: members in camelCase or in snake_case, and which one is wrong, as a path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from hive_runtime.errors import HiveError, Kind

T = TypeVar("T")

Object = dict[str, Any]


class Misfit(msgspec.ValidationError):
    """A value that cannot be. path: where it stands."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{problem} - at `{path}`")
        self.path = path
        self.problem = problem

    def as_invalid(self) -> HiveError:
        """The error for a caller whose body this is."""
        return HiveError(Kind.INVALID, f"`{self.path}` cannot be read. {self.problem}.", self.path)


def decoded(fields: Mapping[str, Raw], name: str) -> Any:
    """The value of a member of a body; None where it is absent. Raises Misfit for nesting without an end."""
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw)
    except RecursionError:
        raise Misfit(name, "It is nested too deeply") from None


def nested_too_deeply() -> HiveError:
    """For a body that goes through, as JSON, but not through a reader that looks into it."""
    return HiveError(Kind.INVALID, "The body cannot be read. It is nested too deeply.")


def camel(name: str) -> str:
    """`topP` of `top_p`; what is spelled so already stays."""
    if "_" not in name:
        return name
    head, *words = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in words)


def present(value: Any, path: str) -> Object:
    """The members of an object; `null` is as good as absent."""
    if not isinstance(value, dict):
        raise Misfit(path, f"Expected `object`, got `{_kind(value)}`")
    return {name: each for name, each in value.items() if each is not None}


def members(value: Any, path: str) -> Object:
    """The same by their names in camelCase, one level deep."""
    return {camel(name): each for name, each in present(value, path).items()}


def typed(value: Any, kind: type[T], path: str) -> T:
    """The value as that type. Numbers may stand in quotes, as 64-bit ones do in Google's JSON."""
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$")
        raise Misfit(path + place.rstrip("`"), problem) from None


def optional(value: Object, name: str, kind: type[T], path: str = "") -> T | None:
    """A member of an object at that path, as that type; None where it is absent."""
    return typed(value[name], kind, f"{path}.{name}" if path else name) if name in value else None


def listed(value: Any) -> list[Any]:
    """A list; anything else is the only one in it."""
    return value if isinstance(value, list) else [value]


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {str: "str", bool: "bool", int: "int", float: "float", list: "array", dict: "object"}
    return names[type(value)]
