"""Which part breaks first, and what 100,000 requests per second need: `python -m benchmarks.simulate`.

With `--measured FILE`, the raw figures of a `make bench-cluster`, `services.toml` is written anew before.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.simulate import answers, measured
from benchmarks.simulate.answers import Row
from benchmarks.simulate.deployment import Costs


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulate", description=__doc__)
    parser.add_argument("--measured", type=Path, metavar="FILE", help="raw figures of a cluster")
    options = parser.parse_args(arguments)
    if options.measured:
        measured.write(options.measured)
    costs = Costs.read()
    console = Console(width=120, highlight=False)
    print(f"costs: {costs.source}")
    for title, rows in (
        ("requests per second that each part stands, as the chart has it", answers.walls(costs)),
        ("what 100,000 requests per second need", answers.sizes(costs)),
        ("small chats: the queues of a request's way", answers.queues(costs)),
        ("small chats: added by queues", answers.added(costs)),
    ):
        console.print(_table(title, rows))
    return 0


def _table(title: str, rows: Iterable[Row]) -> Table:
    head, *others = rows
    made = Table(*head, title=title, title_justify="left")
    for row in others:
        made.add_row(*row)
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
