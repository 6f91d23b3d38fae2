"""The run on paper: the machine, the table beside the budget, the raw figures as JSON."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.budget import Row, Verdict
from benchmarks.figures import Figures

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "modelhive",
    "hive-embedded",
    "uvicorn",
    "uvloop",
    "httptools",
    "msgspec",
    "SQLAlchemy",
)
BUSY = 0.25
"""Share of the machine that others may use before times mean little."""
WORDS = {True: "ok", False: "over", None: ""}


def machine(further: Sequence[str] = ()) -> dict[str, Any]:
    """What the figures depend on beside the gateway's code. further: packages whose versions count too."""
    return {
        "moment": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processor": _processor(),
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version for name in (*PACKAGES, *further) if (version := _version(name))},
    }


def table(verdicts: Sequence[Verdict], rounds: Mapping[str, list[Figures]]) -> Table:
    """Measured | range of the rounds | budget | ok or over; only what was run."""
    made = Table("figure", "", title="medians of the rounds", title_justify="left")
    for name in ("measured", "range", "budget"):
        made.add_column(name, justify="right")
    made.add_column("")
    for each in verdicts:
        if each.measured is not None:
            row = each.row
            span = _span([one[row.figure] for one in rounds[row.scenario]])
            style = "red" if each.kept is False else ""
            cells = (row.label, row.unit, number(each.measured), span, _limit(row), WORDS[each.kept])
            made.add_row(*cells, style=style)
    return made


def show(facts: dict[str, Any], made: Table, faults: Sequence[str]) -> None:
    out = Console(width=125, highlight=False)
    out.print(
        f"{facts['processors']} × {facts['processor']}; others kept {facts['others']} of them busy meanwhile"
    )
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    out.print(f"{facts['system']}, Python {facts['python']}, {packages}", soft_wrap=True)
    out.print(made)
    if facts["others"] > BUSY * facts["processors"]:
        out.print(
            "The machine was busy: CPU and memory figures hold, latencies and requests per second do not."
        )
    for fault in faults:
        out.print(f"[red]wrong answers:[/red] {fault}", markup=True, soft_wrap=True)


def save(content: dict[str, Any], prefix: str = "") -> Path:
    """Write the raw figures; returns where, seen from the root of the repository."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / time.strftime(f"{prefix}%Y%m%d-%H%M%S.json", time.gmtime())
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path.relative_to(RESULTS.parents[1])


def number(value: float) -> str:
    """Three digits that count."""
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def _span(values: Sequence[float]) -> str:
    return f"{number(min(values))} – {number(max(values))}" if len(values) > 1 else ""


def _limit(row: Row) -> str:
    if row.limit is None:
        return ""
    sign = "≥" if row.at_least else "≤"
    goal = f" (goal {row.goal:g})" if row.goal is not None else ""
    return f"{sign} {row.limit:g}{goal}"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()
