"""A mapping of the source that remembers what of it was read, so that the rest can be reported."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from hive_console.importing.report import Report

_IN_ENVIRONMENT: Final = "os.environ/"
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFERENCE: Final = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


def reference(text: str) -> str | None:
    """`${NAME}` for `os.environ/NAME`; None for any other text."""
    name = text.removeprefix(_IN_ENVIRONMENT)
    return f"${{{name}}}" if name != text and _VARIABLE.fullmatch(name) else None


def is_reference(text: str) -> bool:
    """Whether it is `${NAME}` and nothing else."""
    return _REFERENCE.fullmatch(text) is not None


def as_decimal(value: object) -> Decimal | None:
    """Of a number, or of a text that is one, as `1e-06` is in YAML; None for what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


class Fields:
    """path: of the mapping in the source. What is asked for counts as read, whatever is made of it."""

    def __init__(self, value: object, path: str, report: Report) -> None:
        self._fields: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        self._read: set[str] = set()
        self._report = report
        self.path = path
        if value is not None and not isinstance(value, Mapping):
            report.lost(path, "is no mapping", "Write it as one, and import again.")

    def at(self, name: str) -> str:
        """The path of a member."""
        return f"{self.path}.{name}" if self.path else name

    def take(self, name: str) -> Any:
        """Any value; None where it is not there."""
        self._read.add(name)
        return self._fields.get(name)

    def text(self, name: str) -> str:
        """A text, or what is written of a number, with `os.environ/NAME` as `${NAME}`; empty where it is not there."""
        value = self.take(name)
        if value is None or isinstance(value, bool):
            return ""
        if not isinstance(value, (str, int, float)):
            self._report.lost(self.at(name), "is no text", "Write it as one, and import again.")
            return ""
        text = str(value).strip()
        return reference(text) or text

    def number(self, name: str) -> Decimal | None:
        """A number that is not negative; others are reported."""
        value = self.take(name)
        if value is None:
            return None
        number = as_decimal(value)
        if number is None or number < 0:
            self._report.lost(
                self.at(name), "is no number that could be read", "Set it here by hand, where it counts."
            )
            return None
        return number

    def whole(self, name: str) -> int | None:
        """The same, without what stands behind the point."""
        number = self.number(name)
        return None if number is None else int(number)

    def items(self, name: str) -> Sequence[Any]:
        """A list; one value that stands alone is a list of it."""
        value = self.take(name)
        if value is None:
            return ()
        return value if isinstance(value, list) else [value]

    def part(self, name: str) -> Fields:
        """A mapping inside this one."""
        return Fields(self.take(name), self.at(name), self._report)

    def names(self) -> Iterator[str]:
        """Of all members."""
        yield from map(str, self._fields)

    def rest(self) -> Iterator[tuple[str, Any]]:
        """Members that nobody asked for and that say something."""
        for name, value in self._fields.items():
            if str(name) not in self._read and value is not None and value not in ({}, [], ""):
                yield str(name), value
