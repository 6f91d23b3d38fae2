"""The limits that counts are held against: one file of data, by version of Python and scenario."""

from __future__ import annotations

import math
import platform
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.counts.measuring import Figures

FILE = Path(__file__).parent / "limits.toml"
ROOM = 0.03
LEAST_ROOM = 3.0
HEAD = """\
# What a request may cost: the most that `python -m benchmarks.counts` lets pass, by version of Python and scenario.
# Written by `python -m benchmarks.counts --write`; instructions are those of Python's bytecode.
"""

Limits = Mapping[str, Figures]


@dataclass(frozen=True, slots=True)
class Finding:
    """A figure that left its room. limit: None where there was none."""

    scenario: str
    figure: str
    measured: float
    limit: float | None

    @property
    def grew(self) -> bool:
        return self.measured > (self.limit or 0.0)


def python_version() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def read(version: str, file: Path = FILE) -> Limits | None:
    """The limits for a version of Python; None where there are none."""
    found: dict[str, Limits] = tomllib.loads(file.read_text()) if file.exists() else {}
    return found.get(version)


def write(version: str, measured: Mapping[str, Figures], file: Path = FILE) -> None:
    """Make what was measured the limit; those of other versions stay."""
    everything = tomllib.loads(file.read_text()) if file.exists() else {}
    everything[version] = measured
    lines = [HEAD]
    for each, scenarios in sorted(everything.items()):
        for scenario, figures in scenarios.items():
            lines.append(f'["{each}".{scenario}]')
            lines += [f'"{name}" = {math.ceil(value)}' for name, value in figures.items()]
            lines.append("")
    file.write_text("\n".join(lines))


def findings(limits: Limits, measured: Mapping[str, Figures]) -> Iterator[Finding]:
    """What grew beyond its limit and the room above it, and what shrank by more than that room."""
    for scenario, figures in measured.items():
        allowed = limits.get(scenario, {})
        for name in dict.fromkeys((*figures, *allowed)):
            value, limit = figures.get(name, 0.0), allowed.get(name)
            room = max(LEAST_ROOM, ROOM * (limit or 0.0))
            if abs(value - (limit or 0.0)) > room:
                yield Finding(scenario, name, value, limit)
