"""Counts per request beside their limits: `python -m benchmarks.counts [--write]`. Seconds play no part.

Ends with 1 where a figure grew, and where one shrank so far that its limit has to follow.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.counts import limits
from benchmarks.counts.driver import WrongAnswer
from benchmarks.counts.limits import Finding
from benchmarks.counts.measuring import Figures, Silent, measure
from benchmarks.processes import RunFailed

WRITE = "python -m benchmarks.counts --write"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.counts", description=__doc__)
    parser.add_argument("--write", action="store_true", help="make what is measured the limit")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        measured = asyncio.run(measure())
    except (RunFailed, Silent, WrongAnswer) as error:
        print(error, file=sys.stderr)
        return 1
    version = limits.python_version()
    console = Console(width=110, highlight=False)
    console.print(summary(measured))
    print(f"counted in {time.monotonic() - began:.0f} s")
    if options.write:
        limits.write(version, measured)
        print(f"the limits for Python {version} are in {limits.FILE.name}")
        return 0
    allowed = limits.read(version)
    if allowed is None:
        print(f"there are no limits for Python {version}")
        return 0
    found = list(limits.findings(allowed, measured))
    if found:
        console.print(comparison(found))
        print("What grew has to be cheaper, or be worth it; then, and where something shrank: " + WRITE)
    return 1 if found else 0


def summary(measured: dict[str, Figures]) -> Table:
    scenarios = [name for name in measured if name != "all"]
    table = Table("per request", *scenarios, title="counts", title_justify="left")
    rows = dict.fromkeys(name for each in scenarios for name in measured[each] if " of hive" not in name)
    for row in rows:
        table.add_row(row, *(f"{measured[each].get(row, 0.0):,.0f}" for each in scenarios))
    table.add_row("blocks kept", f"{measured['all']['blocks kept']:.1f}")
    return table


def comparison(found: Sequence[Finding]) -> Table:
    table = Table(
        "scenario", "figure", "limit", "counted", "", title="off their limits", title_justify="left"
    )
    for each in sorted(found, key=lambda finding: not finding.grew):
        limit = "none" if each.limit is None else f"{each.limit:,.0f}"
        change = each.measured - (each.limit or 0.0)
        share = f" ({change / each.limit:+.0%})" if each.limit else ""
        words = "grew" if each.grew else "shrank"
        table.add_row(
            each.scenario,
            each.figure,
            limit,
            f"{each.measured:,.0f}",
            f"{words} by {abs(change):,.0f}{share}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
