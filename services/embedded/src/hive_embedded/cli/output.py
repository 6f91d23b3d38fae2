"""How commands speak: tables for people, JSON and CSV for scripts, mistakes in plain words."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import typer
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hive_embedded.admin import Admin
from hive_embedded.settings import CommandSettings

Row = Mapping[str, Any]

GAP = 2
LARGEST_WIDTH = 200
READABLE_WIDTH = 10
"""Texts are folded, but not into narrower columns than this."""

out = Console()
err = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV, for scripts and spreadsheets.")]


def gateway() -> Admin:
    return Admin(CommandSettings())


def fail(*lines: str) -> NoReturn:
    """Say what is wrong on stderr, and exit with 1."""
    for line in lines:
        err.print(f"[red]error:[/red] {escape(line)}", soft_wrap=True, highlight=False)
    raise SystemExit(1)


def note(line: str) -> None:
    """What people want to know beside the result."""
    err.print(escape(line), soft_wrap=True, highlight=False)


def say(line: str) -> None:
    out.print(escape(line), soft_wrap=True, highlight=False)


def say_json(value: object) -> None:
    out.print_json(json.dumps(value))


@dataclass(frozen=True, slots=True)
class Column:
    """of: a field of the row, or what is shown of it. whole: is never broken. money, number: to the right."""

    title: str
    of: str | Callable[[Row], str]
    whole: bool = False
    number: bool = False
    money: bool = False

    def cell(self, row: Row) -> str:
        if callable(self.of):
            return self.of(row)
        value = row.get(self.of)
        return "" if value is None else str(value)


def show(rows: Sequence[Row], columns: Sequence[Column], ends: Callable[[Row], bool] | None = None) -> None:
    """A table as wide as the terminal; wider where an amount or id would be cut. ends: rows with a line below."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    cells = [_cells(column, rows) for column in columns]
    needed = GAP * (len(columns) - 1)
    for column, shown in zip(columns, cells, strict=True):
        fixed = column.whole or column.money or column.number
        width = _width([column.title, *shown], LARGEST_WIDTH if fixed else READABLE_WIDTH)
        needed += width
        table.add_column(
            column.title,
            justify="right" if column.number or column.money else "left",
            no_wrap=fixed,
            min_width=width,
            overflow="fold",
        )
    for place, texts in enumerate(zip(*cells, strict=True), 1):
        ended = place < len(rows) and ends is not None and ends(rows[place - 1])
        table.add_row(*map(escape, texts), end_section=ended)
    wide = Console(width=max(out.width, needed))
    wide.print(table, crop=False)


def show_or_json(rows: Sequence[Row], columns: Sequence[Column], *, as_json: bool) -> None:
    if as_json:
        say_json(rows)
    else:
        show(rows, columns)


def say_csv(rows: Iterable[Row], names: Sequence[str]) -> None:
    """A header and the rows; what has no value is empty."""
    writer = csv.writer(sys.stdout)
    writer.writerow(names)
    writer.writerows([row[name] for name in names] for row in rows)


def aligned(amounts: Sequence[str]) -> list[str]:
    """Decimal strings with as many decimals each, so that their points stand below each other."""
    longest = max((len(amount.partition(".")[2]) for amount in amounts), default=0)
    return [
        amount and f"{amount.partition('.')[0]}.{amount.partition('.')[2].ljust(longest, '0')}"
        for amount in amounts
    ]


def _width(texts: Iterable[str], most: int) -> int:
    """Of the longest line, up to `most`."""
    return min(most, max((cell_len(line) for text in texts for line in text.splitlines()), default=0))


def _cells(column: Column, rows: Sequence[Row]) -> list[str]:
    cells = [column.cell(row) for row in rows]
    return aligned(cells) if column.money else cells
