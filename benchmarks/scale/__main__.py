"""How cost grows: `python -m benchmarks.scale [--curve streams …] [--resume FOLDER] [--publish FOLDER]`.

Every point is kept in a file of its own as soon as it is measured; `--resume` goes on where a run was ended, and
`--publish` makes a run the one that `docs/scale.md` tells of.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import processes, report
from benchmarks.measure import Bystanders
from benchmarks.processes import RunFailed, raise_file_limit
from benchmarks.scale.curves import CURVES, Curve
from benchmarks.scale.fits import fit, number

PUBLISHED = Path(__file__).parent / "published.json"
START_SECONDS = 300.0
"""How long a gateway may take to start: one with very many keys takes its time."""
PACKAGES = ("aiokafka", "grpcio", "protobuf")

Run = dict[str, dict[str, dict[str, float]]]
"""Figures by curve and point."""


def main(arguments: Sequence[str]) -> int:
    """1 where a point could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--curve", action="append", choices=CURVES, help="only this one; may be repeated")
    parser.add_argument("--points", type=int, metavar="N", help="only the first N points of each curve")
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="leave out what is in this run")
    parser.add_argument("--publish", type=Path, metavar="FOLDER", help="measure nothing")
    options = parser.parse_args(arguments)
    if options.publish:
        PUBLISHED.write_text(json.dumps(collected(options.publish), indent=1, ensure_ascii=False) + "\n")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    raise_file_limit()
    processes.START_TIMEOUT = START_SECONDS
    folder = options.resume or report.RESULTS / time.strftime("scale-%Y%m%d-%H%M%S", time.gmtime())
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    whole = True
    for name, curve in CURVES.items():
        if not options.curve or name in options.curve:
            for x in curve.points[: options.points]:
                whole &= _kept(curve, x, folder)
            _print(curve, collected(folder)["curves"].get(name, {}))
    print(f"raw figures: {folder}, in {time.monotonic() - began:.0f} s")
    return 0 if whole else 1


def _kept(curve: Curve, x: int, folder: Path) -> bool:
    """Measure a point that is not there yet; says whether it is there now."""
    file = folder / f"{curve.name}-{x:06}.json"
    if file.exists():
        return True
    print(f"{curve.name}: {x:,} {curve.grows} …", file=sys.stderr, flush=True)
    others = Bystanders()
    try:
        figures = curve.measure(x)
    except RunFailed as error:
        print(error, file=sys.stderr)
        return False
    machine = report.machine(PACKAGES) | {"others": round(others.processors(), 2)}
    file.write_text(json.dumps({"curve": curve.name, "x": x, "figures": figures, "machine": machine}))
    return True


def collected(folder: Path) -> dict[str, Any]:
    """All points of a run, the machine that it ran on, and the most processors that others kept busy."""
    found: dict[str, Any] = {"machine": {}, "others": 0.0, "curves": {}}
    for file in sorted(folder.glob("*.json")):
        point = json.loads(file.read_text())
        found["machine"] = point["machine"]
        found["others"] = max(found["others"], point["machine"].pop("others"))
        found["curves"].setdefault(point["curve"], {})[str(point["x"])] = point["figures"]
    return found


def _print(curve: Curve, points: dict[str, dict[str, float]]) -> None:
    table = Table("", *(f"{int(x):,}" for x in points), "growth", title=curve.grows, title_justify="left")
    for name, words, unit in curve.figures:
        known = [(float(x), figures[name]) for x, figures in points.items() if name in figures]
        if known:
            values = (number(figures[name]) if name in figures else "" for figures in points.values())
            grows = fit(known).words(unit, curve.grows) if len(known) > 1 else ""
            table.add_row(f"{words}, {unit}", *values, grows)
    Console(width=150, highlight=False).print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
