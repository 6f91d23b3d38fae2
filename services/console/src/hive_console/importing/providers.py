"""The providers that an import finds, each once, with names that people can read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

LONGEST: Final = 64
_ODD: Final = re.compile(r"[^A-Za-z0-9._-]+")


class Providers:
    """Entries of the same provider, address, key and times are one provider."""

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}
        self._fields: dict[str, Mapping[str, Any]] = {}
        self._origins: dict[str, list[str]] = {}

    def name_of(self, fields: Mapping[str, Any], path: str) -> str:
        """Of the provider with these fields; path: the entry of the source that asks."""
        key = msgspec.json.encode(fields, order="deterministic")
        if key not in self._names:
            name = self._free(fields)
            self._names[key] = name
            self._fields[name] = fields
        self._origins.setdefault(self._names[key], []).append(path)
        return self._names[key]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """As in the configuration file."""
        return ({"name": name, **fields} for name, fields in self._fields.items())

    def origins(self, name: str) -> list[str]:
        """The entries of the source that it was made of."""
        return list(dict.fromkeys(self._origins[name]))

    def drop(self, name: str) -> None:
        del self._fields[name]

    def _free(self, fields: Mapping[str, Any]) -> str:
        kind = str(fields["kind"])
        host = _label(str(fields.get("base_url", "")))
        base = f"{kind}-{host}" if host else kind
        wanted = [kind, base] if not host else [base]
        if region := _place(fields.get("options", {})):
            wanted.append(f"{base}-{region}")
        for name in wanted:
            if name not in self._fields and len(name) <= LONGEST:
                return name
        base, number = base[: LONGEST - 5], 2
        while f"{base}-{number}" in self._fields:
            number += 1
        return f"{base}-{number}"


def _label(base_url: str) -> str:
    """What tells the address from others: the first part of a host's name, or the host where that is a number."""
    if "://" not in base_url:
        return ""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    first = host.split(".")[0]
    label = host if first.isdecimal() or first in ("api", "localhost", "www") else first
    port = f"-{parts.port}" if label == host and parts.port else ""
    return _ODD.sub("-", f"{label}{port}").strip("-")[:40]


def _place(options: Mapping[str, str]) -> str:
    text = options.get("region") or options.get("location") or options.get("organization") or ""
    return "" if text.startswith("${") else _ODD.sub("-", text).strip("-")[:30]
