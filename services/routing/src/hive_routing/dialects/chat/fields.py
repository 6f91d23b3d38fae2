"""Values of a caller's body, decoded; an error names the field, as a path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from hive_runtime.errors import HiveError, Kind

T = TypeVar("T")


def invalid(path: str, problem: str) -> HiveError:
    """A 400. problem: a sentence without its full stop."""
    return HiveError(Kind.INVALID, f"`{path}` is wrong: {problem}.", path)


def decoded(fields: Mapping[str, Raw], name: str, type: Any) -> Any:
    """The value of a member, of that type; None where it is absent or `null`. Raises HiveError `invalid`."""
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=type | None)
    except msgspec.DecodeError as error:
        raise _misfit(name, error) from None
    except RecursionError:
        raise invalid(name, "it is nested too deeply") from None


def converted(value: Any, type: type[T], path: str) -> T:
    """A decoded value as this type. Raises HiveError `invalid`."""
    try:
        return msgspec.convert(value, type)
    except msgspec.ValidationError as error:
        raise _misfit(path, error) from None


def _misfit(path: str, error: msgspec.DecodeError) -> HiveError:
    problem, _, place = str(error).partition(" - at `$")
    return invalid(path + place.rstrip("`"), problem[:1].lower() + problem[1:])
