"""Secrets that stand in the source as plain text: the configuration names variables in their place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from hive_console.importing.fields import is_reference

_ODD = re.compile(r"[^A-Za-z0-9]+")
_BEFORE = "IMPORTED"
"""Stands in front of names that may be those of variables which mean something else."""


@dataclass(frozen=True, slots=True)
class Secret:
    """path: where it stands in the source, for the first time."""

    variable: str
    path: str
    value: str = field(repr=False)


class Secrets:
    """Gives each a variable; the same text gets the same one."""

    def __init__(self) -> None:
        self._by_value: dict[str, Secret] = {}
        self._names: dict[str, str] = {}

    def reference(self, text: str, path: str, wanted: str) -> str:
        """`${NAME}`: the text itself where it is that already, else a variable named like `wanted`."""
        if not text or is_reference(text):
            return text
        name = self.name_for(text, wanted)
        self._by_value.setdefault(text, Secret(name, path, text))
        return f"${{{name}}}"

    def name_for(self, text: str, wanted: str) -> str:
        """The variable for what the text stands for."""
        if text not in self._names:
            base = f"{_BEFORE}_{_ODD.sub('_', wanted).strip('_').upper()}"
            taken = set(self._names.values())
            name, number = base, 1
            while name in taken:
                number += 1
                name = f"{base}_{number}"
            self._names[text] = name
        return self._names[text]

    def __iter__(self) -> Iterator[Secret]:
        return iter(self._by_value.values())
