"""The types of the providers' SDKs, read as shapes of JSON: typed dictionaries, Pydantic models and signatures."""

from __future__ import annotations

import enum
import inspect
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Literal, Union

import typing_extensions

from hive_testing.simulator.checking.shapes import (
    BOOLEAN,
    INTEGER,
    NULL,
    NUMBER,
    STRING,
    AnyOf,
    Anything,
    Base64,
    ListOf,
    MapOf,
    Members,
    Nothing,
    OneOf,
    Shape,
)

PLAIN: dict[Any, Shape] = {
    str: STRING,
    bool: BOOLEAN,
    int: INTEGER,
    float: NUMBER,
    type(None): NULL,
    datetime: STRING,
    bytes: Base64(),
    dict: MapOf(Anything()),
    object: Anything(),
    Any: Anything(),
}
# Members that the APIs do without, whatever the types of their SDKs say.
LENIENT: dict[str, tuple[str, ...]] = {
    "FunctionToolParam": ("strict", "parameters"),
    "ResponseReasoningItemParam": ("id",),
    "ResponseOutputMessageParam": ("id", "status", "type"),
    "ResponseOutputTextParam": ("annotations",),
}
# Members that the APIs take, whatever the types of their SDKs say; `reasoning_content` is of chat's other providers.
MORE: dict[str, dict[str, Any]] = {"ChatCompletionAssistantMessageParam": {"reasoning_content": str}}


@cache
def shape(kind: Any) -> Shape:
    """A type as the shape of a value in JSON."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return shape(arguments[0])
    if origin in (Union, types.UnionType):
        return AnyOf(tuple(map(shape, arguments)))
    if origin is Literal:
        return OneOf(arguments)
    if origin in (list, Iterable, Sequence):
        return ListOf(shape(arguments[0]))
    if origin in (dict, Mapping):
        return MapOf(shape(arguments[1]))
    return PLAIN[kind] if kind in PLAIN else _of_class(kind)


def typed_dict(kind: Any, **more: Any) -> Members:
    """The shape of a typed dictionary. more: types of members that the API takes and the SDK does not tell of."""

    @cache
    def fields() -> Mapping[str, Shape]:
        hints = {**typing.get_type_hints(kind), **MORE.get(kind.__name__, {}), **more}
        return {name: shape(hint) for name, hint in hints.items()}

    return Members(fields, cache(lambda: _required(kind)), _is_open(kind))


def model(kind: Any, **more: Any) -> Members:
    """The shape of a Pydantic model, whose members may be called by their names and by their aliases."""

    @cache
    def fields() -> Mapping[str, Shape]:
        found = {name: shape(hint) for name, hint in more.items()}
        for name, field in kind.model_fields.items():
            found[name] = found[field.alias or name] = shape(field.annotation)
        return found

    return Members(fields, frozenset)


def keywords(function: Any) -> Members:
    """The shape of a body whose members are the keyword arguments of an SDK's method."""
    parameters = inspect.signature(function).parameters
    names = [name for name in parameters if name not in ("self", "request_options")]
    needed = frozenset(name for name in names if parameters[name].default is inspect.Parameter.empty)

    @cache
    def fields() -> Mapping[str, Shape]:
        hints = typing.get_type_hints(function)
        return {name: shape(_closed(hints[name])) for name in names}

    return Members(fields, lambda: needed)


def _of_class(kind: Any) -> Shape:
    if not inspect.isclass(kind):
        return Anything()
    if issubclass(kind, enum.Enum):
        return OneOf(tuple(each.value for each in kind), is_folded=True)
    if typing_extensions.is_typeddict(kind):
        return typed_dict(kind)
    return model(kind) if hasattr(kind, "model_fields") else Nothing()


def _required(kind: Any) -> frozenset[str]:
    """The SDKs write their annotations as texts, so that `__required_keys__` does not see what is marked in them."""
    marks = {
        name: typing.get_origin(hint)
        for name, hint in typing_extensions.get_type_hints(kind, include_extras=True).items()
    }
    required: Any = typing_extensions.Required
    optional: Any = typing_extensions.NotRequired
    needed = {name for name, mark in marks.items() if mark is required} | kind.__required_keys__
    free = {name for name, mark in marks.items() if mark is optional} | {*LENIENT.get(kind.__name__, ())}
    return frozenset(needed - free)


def _is_open(kind: Any) -> bool:
    return bool(getattr(kind, "__pydantic_config__", {}).get("extra") == "allow")


def _closed(kind: Any) -> Any:
    """The type without the `Any` that Cohere's SDK adds to every set of values, for those of the future."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Union:
        return Union[tuple(_closed(each) for each in arguments if each is not Any)]  # noqa: UP007
    return types.GenericAlias(list, _closed(arguments[0])) if origin in (list, Sequence) else kind
