"""The description of Amazon's service, as botocore ships it, read as shapes of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from hive_testing.simulator.checking.shapes import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    STRING,
    Anything,
    Base64,
    Bounded,
    ListOf,
    MapOf,
    Members,
    OneOf,
    Shape,
)

SIMPLE: dict[str, Shape] = {
    "string": STRING,
    "integer": INTEGER,
    "long": INTEGER,
    "float": NUMBER,
    "double": NUMBER,
    "boolean": BOOLEAN,
    "blob": Base64(),
    "timestamp": NUMBER,
}


@cache
def body(service: str, operation: str) -> Members:
    """The body of an operation's request: what its path, its query and its headers hold is not of it."""
    loaders, model = import_module("botocore.loaders"), import_module("botocore.model")
    described = loaders.Loader().load_service_model(service, "service-2")
    return _structure(model.ServiceModel(described, service).operation_model(operation).input_shape)


def _shape(described: Any, known: dict[str, Shape]) -> Shape:
    if described.name not in known:
        known[described.name] = _bounded(described, _bare(described, known))
    return known[described.name]


def _bare(described: Any, known: dict[str, Shape]) -> Shape:
    kind = described.type_name
    if getattr(described, "is_document_type", False):
        return Anything()
    if kind == "structure":
        return _structure(described)
    if kind == "list":
        return ListOf(_shape(described.member, known))
    if kind == "map":
        return MapOf(_shape(described.value, known))
    return OneOf(tuple(described.enum)) if kind == "string" and described.enum else SIMPLE[kind]


def _bounded(described: Any, shape: Shape) -> Shape:
    low, high, pattern = (described.metadata.get(name) for name in ("min", "max", "pattern"))
    bounded = (low, high, pattern) != (None, None, None) and not isinstance(shape, Members | Base64)
    return Bounded(shape, low, high, pattern) if bounded else shape


def _structure(described: Any) -> Members:
    @cache
    def fields() -> Mapping[str, Shape]:
        known: dict[str, Shape] = {}
        inner = {name: each for name, each in described.members.items() if _is_of_body(each)}
        return {name: _shape(each, known) for name, each in inner.items()}

    @cache
    def required() -> frozenset[str]:
        return frozenset(name for name in described.required_members if _is_of_body(described.members[name]))

    return Members(fields, required, is_union=bool(described.metadata.get("union")))


def _is_of_body(described: Any) -> bool:
    return "location" not in described.serialization
