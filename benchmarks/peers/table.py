"""The table that a run prints: rows are figures, columns subjects, with the ratio of each to ours."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from benchmarks.peers.summary import LINES, OURS, Line, Summary
from benchmarks.report import number

MARK = "!"


def table(found: Summary, subjects: Sequence[tuple[str, str]]) -> Table:
    """subjects: name and title of each column. A number with a mark had wrong answers or failed rounds."""
    made = Table("figure", "", title="medians of the rounds, and how many times ours", title_justify="left")
    for _, title in subjects:
        made.add_column(title, justify="right")
    for line in LINES:
        if any(found.values(name, line) for name, _ in subjects):
            made.add_row(line.label, line.unit, *(cell(found, name, line) for name, _ in subjects))
    return made


def cell(found: Summary, subject: str, line: Line) -> str:
    """`1.23 ×0.9`; `n/a` where a subject has nothing for it, `failed` where it gave no figure."""
    value = found.median(subject, line)
    fault = found.fault(subject, line.scenario)
    if value is None:
        return "n/a" if found.lack(subject, line.scenario) else "failed" if fault else ""
    ratio = found.ratio(subject, line)
    times = f" ×{number(ratio)}" if ratio is not None and subject != OURS else ""
    return f"{number(value)}{MARK if fault else ''}{times}"


def remarks(found: Summary, subjects: Sequence[tuple[str, str]]) -> list[str]:
    """Why a cell is empty or marked."""
    said = []
    for name, title in subjects:
        by_reason: dict[str, list[str]] = {}
        for scenario, reason in found.lacks.get(name, {}).items():
            by_reason.setdefault(reason, []).append(scenario)
        said += [f"{title}, n/a for {', '.join(which)}: {reason}" for reason, which in by_reason.items()]
        said += [
            f"{title}, {MARK} in {which}: {reason}" for which, reason in found.faults.get(name, {}).items()
        ]
    return said
