"""The store itself, blocking: the same in this machine's engine and on a server. One thread writes, one reads.

Which hours have to be rolled up again is written down before the rows are inserted that make it so, and struck
out after they were rolled up. A crash in between leaves a mark too many, never one too few.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from hive_analytics.families import FAMILIES, Family
from hive_analytics.grains import DAY, GRAINS, HOUR, MINUTE
from hive_analytics.olap.columns import Decoded
from hive_analytics.olap.port import Arrived
from hive_analytics.olap.tables import DIRTY, rollup_tables, row_tables, shape
from hive_runtime.errors import HiveError, Kind

DATABASE: Final = "hive"
ABANDONED_SECONDS: Final = 600
"""Marks of a writer that did not renew or strike them out for so long are anybody's."""
MIB: Final = 1024 * 1024
HOURS_AT_ONCE: Final = 24
"""Hours of a family that are rolled up in one statement while the store is opened."""
_MINUTE, _HOUR, _DAY = MINUTE // 1000, HOUR // 1000, DAY // 1000
_SECONDS, _MILLISECONDS = "toDateTime({}, 'UTC')", "fromUnixTimestamp64Milli({} * 1000, 'UTC')"
_TIMEOUT_EXCEEDED = 159
_MEMORY_EXCEEDED = 241


class Engine(Protocol):
    """What differs between the engine of this machine and a server."""

    def connect(self) -> Client:
        """A client of the database, which is made where it is missing. Raises ClickHouseError."""
        ...

    def insert(self, client: Client, batch: Decoded) -> None:
        """Returns when the rows are durable. Raises ClickHouseError, or HiveError."""
        ...

    def settle(self, client: Client) -> None:
        """Returns when all that was inserted is in the tables. By any thread. Raises ClickHouseError."""
        ...

    def select(
        self, client: Client, sql: str, parameters: Mapping[str, Any], seconds: float
    ) -> Sequence[Sequence[Any]]:
        """The rows of a SELECT, which ends in so many seconds. Raises ClickHouseError."""
        ...


class Warehouse:
    """writer: a name of its own for who writes beside others; empty: nobody else ever writes to this store.

    Marks of an earlier start with the same name before the `/` are its own.
    """

    def __init__(self, engine: Engine, writer: str) -> None:
        """Makes the tables that are missing. Raises HiveError."""
        self._engine = engine
        self._name = writer
        self._marked: dict[tuple[str, int], int] = {}
        self._minutes: dict[tuple[str, int], set[int]] = {}
        """Of hours that this start has marked: the minutes (Unix seconds) that rows came of since."""
        try:
            self._writer, self._reader = engine.connect(), engine.connect()
            for statement in row_tables():
                self._writer.command(statement)
            engine.settle(self._writer)
            self._version: int = self._ask(f"SELECT max(version) FROM {DIRTY}")[0][0]
            self._make_rollup_tables()
            self._adopt()
            # What an earlier life inserted there is not known.
            self._minutes = {(family, hour): _minutes_of(hour) for family, hour, _ in self._marks()}
        except ClickHouseError as error:
            raise _translated(error) from error

    def catch_up(self) -> Iterator[int]:
        """Roll up what a crash or an older store left behind; gives how many hours are left, time and again."""
        while left := self.refresh(HOURS_AT_ONCE):
            yield left

    def insert(self, family: str, rows: Sequence[bytes]) -> Arrived:
        """By the writing thread."""
        decoded = Decoded(family, rows)
        try:
            self._mark({(family, minute // _HOUR * _HOUR) for minute in decoded.minutes})
            for minute in decoded.minutes:
                self._minutes.setdefault((family, minute // _HOUR * _HOUR), set()).add(minute)
            self._engine.insert(self._writer, decoded)
        except ClickHouseError as error:
            raise _translated(error) from error
        return Arrived(decoded.sequences)

    def refresh(self, hours: int) -> int:
        """By the writing thread. The oldest hours of each family first; gives how many are left."""
        try:
            self._engine.settle(self._writer)
            marks = self._marks()
            due: dict[str, dict[int, set[str]]] = {}
            for family, hour, writer in marks:
                known = due.setdefault(family, {})
                if hour in known or len(known) < hours:
                    known.setdefault(hour, set()).add(writer)
            for family, chosen in due.items():
                self._roll_up(FAMILIES[family], [*chosen], self._minutes_to_roll_up(family, chosen))
            self._strike([mark for mark in marks if mark[1] in due[mark[0]]])
        except ClickHouseError as error:
            raise _translated(error) from error
        return len({mark[:2] for mark in marks}) - sum(map(len, due.values()))

    def _minutes_to_roll_up(self, family: str, hours: Mapping[int, set[str]]) -> list[int]:
        """Those that rows came of; none where all of the hours is to be rolled up.

        That is so for rows that others inserted, and for an hour that is over: an event that came again with
        another time is put right by that.
        """
        found: list[int] = []
        for hour, writers in hours.items():
            minutes = self._minutes.get((family, hour))
            if minutes is None or writers != {self._name} or (hour + _HOUR) * 10**9 <= time.time_ns():
                return []
            found += minutes
        return sorted(found)

    def select(self, sql: str, parameters: Mapping[str, Any], seconds: float) -> list[list[Any]]:
        """By the reading thread."""
        return self._select(self._reader, sql, parameters, seconds)

    def select_alone(self, sql: str, parameters: Mapping[str, Any], seconds: float) -> list[list[Any]]:
        """By the writing thread."""
        return self._select(self._writer, sql, parameters, seconds)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    def _select(
        self, client: Client, sql: str, parameters: Mapping[str, Any], seconds: float
    ) -> list[list[Any]]:
        try:
            self._engine.settle(client)
            return [list(row) for row in self._engine.select(client, sql, parameters, seconds)]
        except ClickHouseError as error:
            raise _translated(error) from error

    def _ask(self, sql: str) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = self._writer.query(sql).result_rows
        return rows

    def _make_rollup_tables(self) -> None:
        """Those of another shape are made anew."""
        found = self._ask("SELECT name, comment FROM system.tables WHERE database = currentDatabase()")
        shapes = {str(name): str(comment) for name, comment in found}
        for family in FAMILIES.values():
            mine = shape(family)
            if any(shapes.get(family.rollup(grain), mine) != mine for grain in GRAINS):
                self._drop_rollups(family)
            for statement in rollup_tables(family):
                self._writer.command(statement)

    def _drop_rollups(self, family: Family) -> None:
        """To be made of the rows anew: marked first, so that a crash in between loses no hour."""
        self._writer.command(
            f"INSERT INTO {DIRTY} (family, hour, writer, version, dirty) SELECT DISTINCT '{family.name}',"
            f" toStartOfHour({family.time}), '{self._name}', {self._next_version()}, 1 FROM {family.name}"
        )
        for grain in GRAINS:
            self._writer.command(f"DROP TABLE IF EXISTS {family.rollup(grain)} SYNC")

    def _next_version(self) -> int:
        """Higher than any before it, also where the clock was set back."""
        self._version = max(self._version + 1, time.time_ns())
        return self._version

    def _marks(self) -> Sequence[tuple[str, int, str]]:
        """Family, hour (Unix seconds) and writer of the marks that are this writer's, or nobody's any more."""
        abandoned = time.time_ns() - ABANDONED_SECONDS * 10**9
        found = self._ask(
            f"SELECT family, toUnixTimestamp(hour), writer FROM {DIRTY} FINAL"
            f" WHERE dirty AND (writer = '{self._name}' OR version < {abandoned}) ORDER BY hour, family"
        )
        return [(family, hour, writer) for family, hour, writer in found]

    def _adopt(self) -> None:
        """Take the marks of earlier starts of this process for its own: it does not roll up any more."""
        name = self._name.partition("/")[0]
        if not name:
            return
        found = self._ask(
            f"SELECT family, toUnixTimestamp(hour), writer FROM {DIRTY} FINAL WHERE dirty"
            f" AND startsWith(writer, '{name}/') AND writer != '{self._name}'"
        )
        self._mark({(family, hour) for family, hour, _ in found})
        self._write_marks([(family, hour, writer) for family, hour, writer in found], dirty=False)

    def _mark(self, hours: Iterable[tuple[str, int]]) -> None:
        """A mark that is half as old as an abandoned one is written again."""
        old = time.time_ns() - ABANDONED_SECONDS * 10**9 // 2
        due = sorted(hour for hour in hours if self._marked.get(hour, 0) < old)
        self._write_marks([(family, hour, self._name) for family, hour in due], dirty=True)
        self._marked.update(dict.fromkeys(due, self._version))

    def _strike(self, marks: Sequence[tuple[str, int, str]]) -> None:
        self._write_marks(marks, dirty=False)
        for family, hour, _ in marks:
            self._marked.pop((family, hour), None)
            self._minutes.pop((family, hour), None)

    def _write_marks(self, marks: Sequence[tuple[str, int, str]], *, dirty: bool) -> None:
        if not marks:
            return
        version = self._next_version()
        rows = ", ".join(
            f"('{family}', {hour}, '{writer}', {version}, {int(dirty)})" for family, hour, writer in marks
        )
        self._writer.command(f"INSERT INTO {DIRTY} (family, hour, writer, version, dirty) VALUES {rows}")

    def _roll_up(self, family: Family, hours: Sequence[int], minutes: Sequence[int]) -> None:
        """Rows into minutes, minutes into hours, hours into days: of these hours (Unix seconds), all anew.

        minutes: the only ones among them with new rows; empty: any of them may have some.
        """
        version = self._next_version()
        raw = ", ".join(f"{measure.raw} AS {measure.name}" for measure in family.measures)
        folded = ", ".join(f"{measure.folded} AS {measure.name}" for measure in family.measures)
        days = sorted({hour // _DAY * _DAY for hour in hours})
        rows = _among(family.time, "toStartOfHour", hours, _HOUR, _MILLISECONDS)
        in_hours = _among("time", "toStartOfHour", hours, _HOUR, _SECONDS)
        in_days = _among("time", "toStartOfDay", days, _DAY, _SECONDS)
        in_minutes = in_hours
        if minutes:
            rows = _among(family.time, "toStartOfMinute", minutes, _MINUTE, _MILLISECONDS)
            in_minutes = _among("time", "toStartOfMinute", minutes, _MINUTE, _SECONDS)
        minute, hour = family.rollup("minute"), family.rollup("hour")
        # A group that is no more keeps its old version: an event came again with other words.
        gone = {
            grain: f"{written} AND version < {version}"
            for grain, written in (("minute", in_minutes), ("hour", in_hours), ("day", in_days))
        }
        of_minutes, of_hours = (
            f"{in_hours} AND NOT ({gone['minute']})",
            f"{in_days} AND NOT ({gone['hour']})",
        )
        self._fill(family, "minute", version, f"toStartOfMinute({family.time})", raw, family.name, rows)
        self._fill(family, "hour", version, "toStartOfHour(time)", folded, minute, of_minutes)
        self._fill(family, "day", version, "toStartOfDay(time)", folded, hour, of_hours)
        self._delete(family, version, gone)

    def _fill(
        self, family: Family, grain: str, version: int, bucket: str, measures: str, source: str, read: str
    ) -> None:
        """Write the rollups of a grain, of what is `read` of the source."""
        keys, names = ", ".join(family.columns), ", ".join(measure.name for measure in family.measures)
        self._writer.command(
            f"INSERT INTO {family.rollup(grain)} (time, {keys}, version, deleted, {names})"
            f" SELECT bucket, {keys}, {version}, 0, {names} FROM (SELECT {bucket} AS bucket, {keys}, {measures}"
            f" FROM {source} FINAL WHERE {read} GROUP BY bucket, {keys})"
        )

    def _delete(self, family: Family, version: int, gone: Mapping[str, str]) -> None:
        """Rollups of each grain, by what is true of them."""
        keys = ", ".join(family.columns)
        counts = (
            f"(SELECT count() FROM {family.rollup(grain)} FINAL WHERE {which})"
            for grain, which in gone.items()
        )
        for (grain, which), count in zip(
            gone.items(), self._ask(f"SELECT {', '.join(counts)}")[0], strict=True
        ):
            if count:
                table = family.rollup(grain)
                self._writer.command(
                    f"INSERT INTO {table} (time, {keys}, version, deleted)"
                    f" SELECT time, {keys}, {version}, 1 FROM {table} FINAL WHERE {which}"
                )


def settings_of(memory_mb: int, threads: int) -> dict[str, Any]:
    """Of each statement."""
    return {
        "max_memory_usage": memory_mb * MIB * 3 // 4,
        "max_bytes_before_external_group_by": memory_mb * MIB // 3,
        "max_bytes_before_external_sort": memory_mb * MIB // 3,
        "max_threads": threads,
        "optimize_on_insert": 0,  # rows are read with FINAL and merged later: to look for copies twice costs as much
        "async_insert": 0,  # acknowledged is what lies in a part, not what waits in the server's memory
        "max_partitions_per_insert_block": 0,
        "do_not_merge_across_partitions_select_final": 1,
    }


def limits_of(seconds: float) -> dict[str, Any]:
    """Of a question."""
    return {"max_execution_time": seconds, "timeout_overflow_mode": "throw"}


def _among(column: str, start_of: str, starts: Sequence[int], length: int, moment: str) -> str:
    """That a moment lies in one of these spans (ascending Unix seconds): as a range first, for the index.

    moment: how the column's own type is made of seconds. With another type the engine (26.5) leaves parts out that
    lie in the last second before the border.
    """
    listed = ", ".join(f"toDateTime({start}, 'UTC')" for start in starts)
    first, end = moment.format(starts[0]), moment.format(starts[-1] + length)
    return f"{column} >= {first} AND {column} < {end} AND {start_of}({column}) IN ({listed})"


def _minutes_of(hour: int) -> set[int]:
    """All of its minutes, in Unix seconds."""
    return {*range(hour, hour + _HOUR, _MINUTE)}


def _translated(error: ClickHouseError) -> HiveError:
    code = getattr(error, "code", None)
    if code == _TIMEOUT_EXCEEDED:
        return HiveError(Kind.TIMEOUT, "the analytical store took too long: ask for a shorter span")
    if code == _MEMORY_EXCEEDED:
        return HiveError(Kind.UNAVAILABLE, "the analytical store has no memory left: ask for a shorter span")
    return HiveError(Kind.UNAVAILABLE, f"the analytical store failed: {str(error)[:500]}")
