"""What is asked of the analytical store, in statements of its SQL; gives domain values, never rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from hive_analytics.asking import Statement
from hive_analytics.families import FAMILIES, Family
from hive_analytics.grains import GRAINS
from hive_analytics.olap import Arrived, Olap
from hive_analytics.olap.chdb import is_installed
from hive_analytics.olap.process import ProcessOlap
from hive_analytics.olap.tables import DIRTY
from hive_analytics.olap.thread import ThreadOlap
from hive_analytics.spans import Span
from hive_host import CannotStart
from hive_runtime.clock import Clock
from hive_runtime.tasks import Tasks

CHECK_SECONDS = 300.0
MOST_PROBLEMS = 100

_NUMBERS = {
    "usage": "SELECT DISTINCT sequence FROM usage WHERE holder = {holder:String} AND sequence > 0",
    "ledger": "SELECT DISTINCT sequence FROM ledger WHERE sequence > 0",
}
_SPANS = """
SELECT min(sequence), max(sequence)
FROM (SELECT sequence, row_number() OVER (ORDER BY sequence) AS place FROM ({numbers}))
GROUP BY sequence - place ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Total:
    """Sums over the postings of one key that occurred on one day (UTC, YYYY-MM-DD). Nano-dollars."""

    tenant: str
    key: str
    day: str
    spent: int
    provider_cost: int
    postings: int


class Store:
    """seconds: how long an answer may take."""

    def __init__(self, olap: Olap, seconds: float) -> None:
        self._olap = olap
        self._seconds = seconds

    async def insert(self, family: str, rows: Sequence[bytes]) -> Arrived:
        """Returns when they are durable. Rows that are there already change nothing."""
        return await self._olap.insert(family, rows)

    async def refresh(self, hours: int) -> int:
        """Roll up to so many hours up again whose rows changed; gives how many are left."""
        return await self._olap.refresh(hours)

    async def answer(self, statement: Statement) -> tuple[list[list[Any]], bool]:
        """The rows up to the statement's limit, and whether there are more."""
        rows = await self._olap.select(statement.sql, statement.parameters, self._seconds)
        return rows[: statement.limit], len(rows) > statement.limit

    async def usage_of(self, holder: str) -> list[Span]:
        """The sequences of a holder's usage that are kept."""
        return await self._spans("usage", {"holder": holder})

    async def postings(self) -> list[Span]:
        """The sequences of the ledger that are kept."""
        return await self._spans("ledger", {})

    async def totals(self, through: int) -> list[Total]:
        """Of the postings up to this sequence."""
        rows = await self._olap.select(
            "SELECT tenant_id, key_id, toString(toDate(occurred)) AS day, sum(spent_nanos),"
            " sum(provider_cost_nanos), toInt64(count()) FROM ledger FINAL WHERE sequence <= {through:Int64}"
            " GROUP BY tenant_id, key_id, day ORDER BY tenant_id, key_id, day",
            {"through": through},
            CHECK_SECONDS,
        )
        return [Total(*row) for row in rows]

    async def differences(self) -> list[str]:
        """Where rollups are not what their rows come to, in plain words. Hours that wait for theirs are left out."""
        found = []
        for family in FAMILIES.values():
            for grain in GRAINS:
                sql = _comparison(family, grain)
                for row in await self._olap.select(sql, {}, CHECK_SECONDS, alone=True):
                    found.append(_difference(family, grain, row))
        return found[:MOST_PROBLEMS]

    async def _spans(self, family: str, parameters: Mapping[str, Any]) -> list[Span]:
        sql = _SPANS.format(numbers=_NUMBERS[family])
        return [(first, last) for first, last in await self._olap.select(sql, parameters, CHECK_SECONDS)]


def open_store(
    url: str, folder: Path, *, memory_mb: int, threads: int, clock: Clock, tasks: Tasks, instance: str = ""
) -> tuple[Olap, Path | None]:
    """The store that the URL names, not opened yet, and its folder where it has one. Raises CannotStart.

    folder: where it lies when the URL is empty. instance: this process's name among those that share a server.
    """
    scheme = urlsplit(url).scheme
    if scheme in ("http", "https"):
        return ThreadOlap(lambda: _on_server(url, memory_mb, threads, instance)), None
    if url:
        folder = Path(unquote(urlsplit(url).path))
    if url and (scheme != "chdb" or not folder.is_absolute() or urlsplit(url).netloc):
        raise CannotStart(
            f"HIVE_OLAP_URL={_shown(url)}: give chdb:///<folder> or http(s)://…, or leave it empty."
        )
    if not is_installed():
        raise CannotStart("HIVE_OLAP_URL is needed: a ClickHouse server, for chDB is not installed here.")
    return ProcessOlap(folder, memory_mb, threads, clock, tasks), folder


def _on_server(url: str, memory_mb: int, threads: int, instance: str) -> Any:
    # Not at the top: the client takes 0.4 s and 70 MB, and is not needed where the store has its own process.
    from hive_analytics.olap.server import server_warehouse

    warehouse = server_warehouse(url, memory_mb, threads, instance)
    for _ in warehouse.catch_up():
        pass
    return warehouse


def _shown(url: str) -> str:
    """Without what may be a password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _comparison(family: Family, grain: str) -> str:
    """Per tenant, key and day, the sums that differ, each first by the rows and then by the rollups."""
    sums = family.additive
    start = "toStartOfDay" if grain == "day" else "toStartOfHour"
    waiting = f"SELECT {start}(hour) FROM {DIRTY} FINAL WHERE dirty AND family = '{family.name}'"
    by_rows = ", ".join(f"{each.raw} AS r_{each.name}, toInt64(0) AS f_{each.name}" for each in sums)
    by_rollups = ", ".join(f"toInt64(0) AS r_{each.name}, sum({each.name}) AS f_{each.name}" for each in sums)
    both = ", ".join(f"sum(r_{each.name}), sum(f_{each.name})" for each in sums)
    differ = " OR ".join(f"sum(r_{each.name}) != sum(f_{each.name})" for each in sums)
    keys = "tenant_id, key_id, day"
    return (
        f"SELECT {keys}, {both} FROM ("
        f"SELECT tenant_id, key_id, toString(toDate({family.time})) AS day, {by_rows} FROM {family.name} FINAL"
        f" WHERE {start}({family.time}) NOT IN ({waiting}) GROUP BY {keys}"
        f" UNION ALL SELECT tenant_id, key_id, toString(toDate(time)) AS day, {by_rollups}"
        f" FROM {family.rollup(grain)} FINAL WHERE {start}(time) NOT IN ({waiting}) GROUP BY {keys}"
        f") GROUP BY {keys} HAVING {differ} ORDER BY {keys} LIMIT {MOST_PROBLEMS}"
    )


def _difference(family: Family, grain: str, row: Sequence[Any]) -> str:
    tenant, key, day, *sums = row
    words = [
        f"{measure.name} {sums[2 * place]} by rows and {sums[2 * place + 1]} by rollups"
        for place, measure in enumerate(family.additive)
        if sums[2 * place] != sums[2 * place + 1]
    ]
    return f"{family.rollup(grain)}: tenant {tenant!r}, key {key!r}, day {day}: {'; '.join(words)}"
