"""What vendors of models charge by their own price lists, as of the day in `listed_prices.json`.

The file is made by scripts/prices.py. A listing applies where a provider's address is the vendor's own: what a
provider is called here proves nothing, and at an address that nobody knows nothing is listed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from hive_runtime.money import Tariff

FILE = Path(__file__).with_name("listed_prices.json")
_COMPACT_DATE = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")

Rates = Mapping[str, Sequence[int]]
"""By unit: pico-dollars, then from how many prompt tokens on, then pico-dollars, and so on."""


class Vendor(msgspec.Struct, frozen=True, dict=True):
    """hosts: `*` is any part of a host's name. before: what may stand before a model's name. others: vendors whose
    models it serves at their prices. models: names and rates, the first that fits counts."""

    hosts: tuple[str, ...]
    before: tuple[str, ...]
    others: tuple[str, ...]
    models: tuple[tuple[tuple[str, ...], Rates], ...]

    def serves(self, host: str) -> bool:
        return any(fnmatchcase(host, pattern) for pattern in self.hosts)

    def find(self, name: str) -> Rates | None:
        """The rates of the first model that fits a name in lower case."""
        exact = self._exact.get(name, len(self.models))
        place = min((place for place, fits in self._open if place < exact and fits(name)), default=exact)
        return self.models[place][1] if place < len(self.models) else None

    @cached_property
    def _exact(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for place, (names, _) in enumerate(self.models):
            for name in names:
                found.setdefault(name, place)
        return found

    @cached_property
    def _open(self) -> Sequence[tuple[int, Callable[[str], bool]]]:
        return [
            (place, _test(name))
            for place, (names, _) in enumerate(self.models)
            for name in names
            if "*" in name or name.startswith("^")
        ]


class _File(msgspec.Struct, frozen=True):
    as_of: str
    source: str
    vendors: dict[str, Vendor]


def _test(name: str) -> Callable[[str], bool]:
    if name.startswith("^"):
        pattern = re.compile(name)
        return lambda text: pattern.match(text) is not None
    part = name.strip("*")
    if name.startswith("*"):
        return (lambda text: part in text) if name.endswith("*") else (lambda text: text.endswith(part))
    return lambda text: text.startswith(part)


@dataclass(frozen=True, slots=True)
class ListedPrices:
    """as_of: the day, YYYY-MM-DD. source: where the list comes from."""

    as_of: str
    source: str
    _vendors: Mapping[str, Vendor]
    _found: dict[tuple[str, str, str], Tariff | None]

    @classmethod
    def load(cls, path: Path = FILE) -> ListedPrices:
        """Reads the file, which blocks for some milliseconds."""
        read = msgspec.json.decode(path.read_bytes(), type=_File)
        return cls(read.as_of, read.source, read.vendors, {})

    def find(self, kind: str, base_url: str, model: str) -> Tariff | None:
        """What the provider of this kind at this address charges for its own `model`; None where it is not listed.

        A provider without an address is the vendor of its kind's name. The answer is remembered.
        """
        key = (kind, base_url, model)
        if key not in self._found:
            self._found[key] = self._look(*key)
        return self._found[key]

    def vendor_of(self, kind: str, base_url: str) -> str | None:
        """The name of the vendor whose list applies."""
        if not base_url:
            return kind if kind in self._vendors else None
        host = (urlsplit(base_url).hostname or "").lower()
        return next((name for name, vendor in self._vendors.items() if vendor.serves(host)), None)

    def _look(self, kind: str, base_url: str, model: str) -> Tariff | None:
        name = self.vendor_of(kind, base_url)
        if name is None:
            return None
        vendor = self._vendors[name]
        for each in (vendor, *(self._vendors[other] for other in vendor.others)):
            for spelling in _spellings(model.lower(), vendor.before):
                if (rates := each.find(spelling)) is not None:
                    return Tariff.of(_rates(rates))
        return None


def _spellings(name: str, before: Iterable[str]) -> Iterator[str]:
    """The name; without what stands before it; with a date that is written together taken apart."""
    for spelling in dict.fromkeys([name, *(name.removeprefix(each) for each in before)]):
        yield spelling
        if (dated := _COMPACT_DATE.sub(r"-\1-\2-\3", spelling)) != spelling:
            yield dated


def _rates(rates: Rates) -> Iterator[tuple[str, int, int]]:
    for unit, (base, *steps) in rates.items():
        yield unit, base, 0
        for start, picos in zip(steps[::2], steps[1::2], strict=True):
            yield unit, picos, start
