"""Writes a configuration file that people can read on: where each entry comes from stands above it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

WIDEST: Final = 110
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_ADDRESS: Final = re.compile(r"https?://[A-Za-z0-9./:_-]+")
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
Entry = tuple[Mapping[str, Any], Sequence[str]]
"""An entry of the file, and the places of the source that it was made of."""


def write_configuration(head: Sequence[str], providers: Sequence[Entry], models: Sequence[Entry]) -> str:
    """YAML. head: lines of a comment at the top."""
    lines = [f"# {line}".rstrip() for line in head]
    for section, entries in (("providers", providers), ("models", models)):
        lines += [f"{section}:" if entries else f"{section}: []"]
        for entry, origins in entries:
            lines += [f"  # {_listed(origins)}"]
            lines += [f"  {'- ' if first else '  '}{line}" for first, line in _numbered(_entry(entry))]
    return "\n".join(lines) + "\n"


def _listed(origins: Sequence[str], most: int = 4) -> str:
    more = f", and {len(origins) - most} more" if len(origins) > most else ""
    return ", ".join(origins[:most]) + more


def _numbered(lines: Iterator[str]) -> Iterator[tuple[bool, str]]:
    return ((position == 0, line) for position, line in enumerate(lines))


def _entry(entry: Mapping[str, Any]) -> Iterator[str]:
    for name, value in entry.items():
        flat = _flow(value)
        if isinstance(value, list) and (name == "deployments" or len(flat) > WIDEST):
            yield f"{name}:"
            yield from (f"  - {_flow(each)}" for each in value)
        else:
            yield f"{name}: {flat}"


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_flow(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str) and value.lower() not in _WORDS:
        # What JSON writes, YAML reads.
        plain = _PLAIN.fullmatch(value) or _ADDRESS.fullmatch(value)
        return value if plain else msgspec.json.encode(value).decode()
    return msgspec.json.encode(value).decode()
