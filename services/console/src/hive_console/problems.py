"""What is wrong with what an operator wrote, in words that say where, what and what to do instead."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

SHOWN_CHARACTERS = 60
SECRETS = {"api_key"}


@dataclass(frozen=True, slots=True)
class Problem:
    """path: as a reader would write it, `models[0].deployments[1].weight`; empty for the whole."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def problems_of(
    error: ValidationError, form: type[BaseModel], written: object, at: str = ""
) -> list[Problem]:
    """The errors of validating `written` as a `form`; `at` is the path of the whole.

    Values are shown as they were written, and secrets never.
    """
    return [
        Problem(path_of(detail["loc"], at), _words(detail, form, written))
        for detail in error.errors(include_url=False)
    ]


def path_of(location: Iterable[str | int], at: str = "") -> str:
    path = at
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """`; did you mean 'weight'?`, or nothing where no known word is near."""
    near = get_close_matches(str(word), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _words(detail: ErrorDetails, form: type[BaseModel], written: object) -> str:
    location = detail["loc"]
    if detail["type"] == "extra_forbidden":
        return "unknown key" + did_you_mean(location[-1], _fields_at(form, location[:-1]))
    if detail["type"] == "missing":
        return "is missing"
    words = expected(detail)
    if detail["type"] == "said":
        return words
    value = _value_at(written, location)
    if detail["type"] == "string_type" and isinstance(value, (bool, int, float, date)):
        words += ": put it in quotes"
    if detail["type"] == "literal_error" and isinstance(value, str):
        return words + _got(value, location) + did_you_mean(value, _choices(detail))
    return words + _got(value, location)


def expected(detail: ErrorDetails) -> str:
    """What a value must be, after the error that pydantic found in it."""
    limits: Mapping[str, Any] = detail.get("ctx", {})
    match detail["type"]:
        case "string_type":
            return "must be a text"
        case "int_type" | "int_parsing" | "int_from_float":
            return "must be a whole number"
        case "float_type":
            return "must be a number"
        case "bool_type":
            return "must be true or false"
        case "list_type":
            return "must be a list"
        case "model_type" | "dict_type":
            return "must be a mapping of keys to values"
        case "literal_error":
            return "must be one of " + ", ".join(_choices(detail))
        case "too_long":
            return f"must not have more than {limits['max_length']} entries"
        case "too_short" | "string_too_short":
            return "must not be empty"
        case "string_too_long":
            return f"must not be longer than {limits['max_length']} characters"
        case "greater_than_equal":
            return f"must be {limits['ge']} or more"
        case "greater_than":
            return f"must be more than {limits['gt']}"
        case "less_than_equal":
            return f"must be {limits['le']} or less"
    return detail["msg"]


def _choices(detail: ErrorDetails) -> list[str]:
    expected: str = detail.get("ctx", {}).get("expected", "")
    return [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]


def _got(value: object, location: tuple[str | int, ...]) -> str:
    if isinstance(value, (dict, list)) or SECRETS & set(location):
        return ""
    # A URL with a user name holds a password too, one with a query perhaps a key.
    if isinstance(value, str) and "://" in value and any(mark in value for mark in "@?#"):
        return ""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return f" (got {text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + '…'})"


def _value_at(written: object, location: tuple[str | int, ...]) -> object:
    value: Any = written
    for step in location:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _fields_at(form: type[BaseModel], location: tuple[str | int, ...]) -> Iterable[str]:
    for step in location:
        if isinstance(step, str):
            form = _form_within(form.model_fields[step].annotation) or form
    return form.model_fields


def _form_within(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, Union, UnionType):
        forms = (_form_within(argument) for argument in get_args(annotation))
        return next((form for form in forms if form), None)
    return None
