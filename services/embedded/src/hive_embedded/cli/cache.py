"""`cache`: the answers that are kept to be given again."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import typer

from hive_embedded.cli.output import AsJson, Column, Row, gateway, say, say_json, show

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")

cache = typer.Typer(
    help="Show and clear the answers that are kept to be given again. "
    "`modelhive tenants set --cache-ttl` says for how long they are.",
    no_args_is_help=True,
)


@cache.command("stats")
def stats(as_json: AsJson = False) -> None:
    """Show what is kept, and how often it was of use since the gateway started."""
    found = gateway().call("GET", "/cache")
    if as_json:
        say_json(found)
    else:
        show([found], COLUMNS)


@cache.command("clear")
def clear(
    tenant: Annotated[
        str | None, typer.Option(help="Only what is kept for this tenant; default: for all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Forget what is kept: the next call of each kind goes to a provider again."""
    query = "" if tenant is None else f"?{urlencode({'tenant': tenant})}"
    done = gateway().call("DELETE", f"/cache{query}")
    if as_json:
        say_json(done)
        return
    answers = "1 answer" if done["cleared"] == 1 else f"{done['cleared']} answers"
    say(f"Cleared {answers} of {f'tenant {tenant}' if tenant else 'all tenants'}.")


def _size(count: int) -> str:
    """Bytes in the unit that leaves less than 1024 of it."""
    size, units = float(count), iter(UNITS)
    unit = next(units)
    while size >= 1024 and unit != UNITS[-1]:
        size, unit = size / 1024, next(units)
    return f"{count} {unit}" if unit == UNITS[0] else f"{size:.1f} {unit}"


def _share(found: Row) -> str:
    calls = found["hits"] + found["followers"] + found["misses"]
    return f"{found['hits'] / calls * 100:.1f}" if calls else ""


COLUMNS = (
    Column("entries", "entries", number=True),
    Column("size", lambda found: _size(found["bytes"]), number=True),
    Column("of", lambda found: _size(found["max_bytes"]), number=True),
    Column("hits", "hits", number=True),
    Column("misses", "misses", number=True),
    Column("followers", "followers", number=True),
    Column("hits %", _share, number=True),
    Column("evicted", "evicted", number=True),
    Column("expired", "expired", number=True),
)
