"""What a JSON value may be: nothing unknown, nothing missing, nothing of another type. Nothing is converted."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

Path = tuple[str | int, ...]
TAGS = ("type", "role")  # members by which an object says which one of several it is


class Misfit(Exception):
    """What does not fit. expected: names of types, values that are allowed, or a rule; given: what came instead."""

    def __init__(
        self,
        path: Path,
        kind: Literal["missing", "unknown", "type", "value", "rule"],
        expected: Iterable[str] = (),
        given: Any = None,
    ) -> None:
        self.path = path
        self.kind = kind
        self.expected = list(expected)
        self.given = given
        super().__init__(f"{dotted(path)} is {kind}: {given!r}, expected {', '.join(self.expected)}")

    @property
    def depth(self) -> tuple[int, bool]:
        """Of two that speak of one value, the deeper one is nearer to what was meant."""
        return len(self.path), not (self.path and self.path[-1] in TAGS)


def dotted(path: Path) -> str:
    """`messages.0.content`."""
    return ".".join(str(step) for step in path)


def bracketed(path: Path) -> str:
    """`messages[0].content`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


class Shape(Protocol):
    def takes(self, value: Any) -> bool:
        """Whether the value is meant to be of this shape, at a glance."""
        ...

    def check(self, value: Any, path: Path) -> None:
        """Raises `Misfit`."""
        ...


class Anything(NamedTuple):
    def takes(self, value: Any) -> bool:
        return True

    def check(self, value: Any, path: Path) -> None:
        pass


class Nothing(NamedTuple):
    """A type that has no JSON, as an open file."""

    def takes(self, value: Any) -> bool:
        return False

    def check(self, value: Any, path: Path) -> None:
        raise Misfit(path, "type", (), value)


class Scalar(NamedTuple):
    name: str
    types: tuple[type, ...]

    def takes(self, value: Any) -> bool:
        return isinstance(value, self.types) and (not isinstance(value, bool) or bool in self.types)

    def check(self, value: Any, path: Path) -> None:
        if not self.takes(value):
            raise Misfit(path, "type", (self.name,), value)


STRING = Scalar("string", (str,))
INTEGER = Scalar("integer", (int,))
NUMBER = Scalar("number", (int, float))
BOOLEAN = Scalar("boolean", (bool,))
NULL = Scalar("null", (type(None),))


class Base64(NamedTuple):
    def takes(self, value: Any) -> bool:
        return isinstance(value, str)

    def check(self, value: Any, path: Path) -> None:
        if not is_base64(value):
            raise Misfit(path, "value", ("base64",), value)


class Bounded(NamedTuple):
    """A value of another shape within bounds: of the number itself, or of the length of the string, list or map."""

    shape: Shape
    low: float | None = None
    high: float | None = None
    pattern: str | None = None

    def takes(self, value: Any) -> bool:
        return self.shape.takes(value)

    def check(self, value: Any, path: Path) -> None:
        self.shape.check(value, path)
        size = value if isinstance(value, int | float) else len(value)
        what = "value" if size is value else "length"
        if self.low is not None and size < self.low:
            raise Misfit(path, "rule", (f"have {what} greater than or equal to {self.low:g}",), value)
        if self.high is not None and size > self.high:
            raise Misfit(path, "rule", (f"have {what} less than or equal to {self.high:g}",), value)
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            raise Misfit(path, "rule", (f"satisfy regular expression pattern: {self.pattern}",), value)


class OneOf(NamedTuple):
    """Literals. is_folded: upper and lower case are the same."""

    values: tuple[Any, ...]
    is_folded: bool = False

    def takes(self, value: Any) -> bool:
        folds = self.is_folded and isinstance(value, str)
        return value in self.values or (folds and value.upper() in self.values)

    def check(self, value: Any, path: Path) -> None:
        if not self.takes(value):
            kind: Literal["value", "type"] = "value" if isinstance(value, str) else "type"
            raise Misfit(path, kind, map(str, self.values), value)


class ListOf(NamedTuple):
    item: Shape

    def takes(self, value: Any) -> bool:
        return isinstance(value, list)

    def check(self, value: Any, path: Path) -> None:
        if not isinstance(value, list):
            raise Misfit(path, "type", ("array",), value)
        for index, each in enumerate(value):
            self.item.check(each, (*path, index))


class MapOf(NamedTuple):
    value: Shape

    def takes(self, value: Any) -> bool:
        return isinstance(value, dict)

    def check(self, value: Any, path: Path) -> None:
        if not isinstance(value, dict):
            raise Misfit(path, "type", ("object",), value)
        for name, each in value.items():
            self.value.check(each, (*path, name))


class Members(NamedTuple):
    """An object. fields: shapes by name; is_open: others are allowed; is_union: exactly one is set."""

    fields: Callable[[], Mapping[str, Shape]]
    required: Callable[[], frozenset[str]]
    is_open: bool = False
    is_union: bool = False

    def takes(self, value: Any) -> bool:
        """Whether it is an object that names itself, by its literals, as this one."""
        return isinstance(value, dict) and all(value[tag] in given for tag, given in self.tags(value))

    def tags(self, value: dict[str, Any]) -> list[tuple[str, tuple[Any, ...]]]:
        """What it may call itself, for each tag that the value has."""
        fields = self.fields()
        named = [tag for tag in TAGS if tag in value and tag in fields]
        return [(tag, values) for tag in named if (values := _literals(fields[tag]))]

    def check(self, value: Any, path: Path) -> None:
        if not isinstance(value, dict):
            raise Misfit(path, "type", ("object",), value)
        fields = self.fields()
        for name in sorted(self.required()):
            if name not in value:
                raise Misfit((*path, name), "missing")
        for name, each in value.items():
            if name in fields:
                fields[name].check(each, (*path, name))
            elif not self.is_open:
                raise Misfit((*path, name), "unknown", (), each)
        if self.is_union and len(value) != 1:
            raise Misfit(path, "rule", ("have exactly one member set",), sorted(value))


class AnyOf(NamedTuple):
    branches: tuple[Shape, ...]

    def takes(self, value: Any) -> bool:
        return any(branch.takes(value) for branch in self.branches)

    def check(self, value: Any, path: Path) -> None:
        misfits = []
        for branch in self.branches:
            if branch.takes(value):
                try:
                    return branch.check(value, path)
                except Misfit as misfit:
                    misfits.append(misfit)
        deepest = max(misfits, key=lambda each: each.depth, default=None)
        raise self._mistagged(value, path) or deepest or self._untyped(value, path)

    def _mistagged(self, value: Any, path: Path) -> Misfit | None:
        """An object that calls itself what none of the branches is."""
        objects = [branch for branch in self.branches if isinstance(branch, Members)]
        for tag in TAGS if isinstance(value, dict) else ():
            given = [given for each in objects for named, given in each.tags(value) if named == tag]
            allowed = [str(each) for values in given for each in values]
            if allowed and value[tag] not in allowed:
                return Misfit((*path, tag), "value", _unique(allowed), value[tag])
        return None

    def _untyped(self, value: Any, path: Path) -> Misfit:
        words = [str(each) for one in self.branches if isinstance(one, OneOf) for each in one.values]
        if words and isinstance(value, str):
            return Misfit(path, "value", words, value)
        return Misfit(
            path, "type", _unique(name for branch in self.branches for name in _names(branch)), value
        )


def members(*, required: Iterable[str] = (), **fields: Shape) -> Members:
    """An object that no SDK has a type for."""
    needed = frozenset(required)
    return Members(lambda: fields, lambda: needed)


def is_base64(value: Any) -> bool:
    """Whether it is a text of base64, of either alphabet."""
    if not isinstance(value, str):
        return False
    try:
        base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _literals(shape: Shape) -> tuple[Any, ...]:
    """The values of a shape that has no others, but for null."""
    if isinstance(shape, AnyOf):
        found = [_literals(branch) for branch in shape.branches if branch != NULL]
        return tuple(each for values in found for each in values) if all(found) else ()
    return shape.values if isinstance(shape, OneOf) and not shape.is_folded else ()


def _names(shape: Shape) -> Sequence[str]:
    """What a type is called in JSON."""
    match shape:
        case Scalar(name):
            return (name,)
        case OneOf() | Base64():
            return ("string",)
        case ListOf():
            return ("array",)
        case MapOf() | Members():
            return ("object",)
        case AnyOf(branches):
            return [name for branch in branches for name in _names(branch)]
    return ()


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
