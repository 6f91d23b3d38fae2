"""The tables: rows of each family, their rollups by grain, and the hours whose rollups are behind their rows.

Rows are told apart by their event's id and read with FINAL, so a second copy changes nothing. An event's hour
comes first in the order, so that an hour can be read alone. Rollups are replaced, group by group, by those of a
higher version; a group that is no more is replaced by a deleted one.

A store may be older than this: it gets the columns that it lacks, and old rows read as their defaults. Rollups that
were made as other measures, or by other dimensions, are made anew from the rows: their tables say which (`shape`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Final

from hive_analytics.families import FAMILIES, Family
from hive_analytics.grains import GRAINS

_TEXT = "String"
_WORD = "LowCardinality(String)"
_WORDS = "Array(LowCardinality(String))"
_MOMENT = "DateTime64(3, 'UTC')"
_FLAG = "Bool"

ROWS: Final[Mapping[str, Mapping[str, str]]] = {
    "usage": {
        "started": _MOMENT,
        "request_id": _TEXT,
        "attempt": "UInt32",
        "call": "UInt32",
        "tenant_id": _WORD,
        "key_id": _WORD,
        "endpoint": _WORD,
        "model": _WORD,
        "provider": _WORD,
        "deployment": _WORD,
        "duration_us": "Int64",
        "first_content_us": "Nullable(Int64)",
        "outcome": _WORD,
        "failed": _FLAG,
        "error": _WORD,
        "streamed": _FLAG,
        "last": _FLAG,
        "units": "Map(LowCardinality(String), Int64)",
        "estimated": _FLAG,
        "holder": _WORD,
        "sequence": "Int64",
        "upstream_request_id": _TEXT,
        "tags": _WORDS,
        "cache": _WORD,
        "guards": _WORDS,
        "guard_verdict": _WORD,
    },
    "ledger": {
        "occurred": _MOMENT,
        "posted": _MOMENT,
        "sequence": "Int64",
        "cause": _TEXT,
        "kind": _WORD,
        "tenant_id": _WORD,
        "key_id": _WORD,
        "request_id": _TEXT,
        "model": _WORD,
        "provider": _WORD,
        "deployment": _WORD,
        "accounts": _WORDS,
        "amounts": "Array(Int64)",
        "corrects": _TEXT,
        "estimated": _FLAG,
        "spent_nanos": "Int64",
        "provider_cost_nanos": "Int64",
        "tags": _WORDS,
    },
    "guard": {
        "decided": _MOMENT,
        "request_id": _TEXT,
        "tenant_id": _WORD,
        "key_id": _WORD,
        "model": _WORD,
        "guard": _WORD,
        "stage": _WORD,
        "verdict": _WORD,
        "duration_us": "Int64",
        "categories": _WORDS,
        "version": _WORD,
        "scanned": "Int64",
        "decisions": "Int64",
    },
    "requests": {
        "started": _MOMENT,
        "request_id": _TEXT,
        "tenant_id": _WORD,
        "key_id": _WORD,
        "method": _WORD,
        "path": _WORD,
        "status": "UInt32",
        "error": _WORD,
        "error_message": _TEXT,
        "duration_us": "Int64",
        "first_byte_us": "Nullable(Int64)",
        "request_bytes": "Int64",
        "response_bytes": "Int64",
        "model": _WORD,
        "provider": _WORD,
        "deployment": _WORD,
        "calls": "UInt32",
        "client_gone": _FLAG,
        "cache": _WORD,
        "tags": _WORDS,
        "guards": _WORDS,
        "guard_verdict": _WORD,
        "replayed": _FLAG,
    },
}
_ID: Mapping[str, str] = {
    "usage": "request_id, attempt, call",
    "ledger": "sequence, cause",
    "guard": "request_id, guard, stage, decided",
    "requests": "request_id",
}
_TIMES = "times {time} TYPE minmax"
"""Ids of events grow with time, so this finds the rows of a few minutes within their hour."""
_INDEXES: Mapping[str, str] = {"usage": ", INDEX holders holder TYPE set(64) GRANULARITY 4"}
DIRTY: Final = "dirty"
MARKS: Final[Mapping[str, str]] = {
    "family": _WORD,
    "hour": "DateTime('UTC')",
    "writer": _TEXT,
    "version": "UInt64",
    "dirty": "UInt8",
}


def row_tables() -> Iterator[str]:
    """What makes the tables of rows and of marks where they are missing, and adds the columns that they lack."""
    for family in FAMILIES.values():
        yield _rows(family)
        added = ", ".join(
            f"ADD COLUMN IF NOT EXISTS {name} {type}" for name, type in ROWS[family.name].items()
        )
        yield f"ALTER TABLE {family.name} {added}, ADD INDEX IF NOT EXISTS {_TIMES.format(time=family.time)}"
    # The newest of an hour and writer says whether its rollups are behind.
    columns = ", ".join(f"{name} {type}" for name, type in MARKS.items())
    yield (
        f"CREATE TABLE IF NOT EXISTS {DIRTY} ({columns})"
        " ENGINE = ReplacingMergeTree(version) ORDER BY (family, hour, writer)"
    )


def rollup_tables(family: Family) -> Iterator[str]:
    """What makes the tables of its rollups where they are missing."""
    for grain in GRAINS:
        yield f"{_rollup(family, grain)} COMMENT '{shape(family)}'"


def shape(family: Family) -> str:
    """What its rollups are made as, in 16 characters: with any other dimension or measure they are others."""
    made = [*(_rollup(family, grain) for grain in GRAINS), *(measure.raw for measure in family.measures)]
    return sha256("\n".join(made).encode()).hexdigest()[:16]


def _rows(family: Family) -> str:
    columns = ", ".join(f"{name} {type}" for name, type in ROWS[family.name].items())
    return (
        f"CREATE TABLE IF NOT EXISTS {family.name} ({columns}{_INDEXES.get(family.name, '')},"
        f" INDEX {_TIMES.format(time=family.time)})"
        f" ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM({family.time})"
        f" ORDER BY (toStartOfHour({family.time}), {_ID[family.name]})"
    )


def _rollup(family: Family, grain: str) -> str:
    dimensions = ", ".join(f"{name} {ROWS[family.name][name]}" for name in family.columns)
    measures = ", ".join(f"{measure.name} {measure.type}" for measure in family.measures)
    return (
        f"CREATE TABLE IF NOT EXISTS {family.rollup(grain)} (time DateTime('UTC'), {dimensions},"
        f" version UInt64, deleted UInt8, {measures})"
        " ENGINE = ReplacingMergeTree(version, deleted) PARTITION BY toYYYYMM(time)"
        f" ORDER BY (time, {', '.join(family.columns)})"
    )
