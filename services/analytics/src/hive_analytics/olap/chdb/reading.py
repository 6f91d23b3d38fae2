"""How the engine reads serialized events itself: a Protobuf schema, and the values of the columns made of its fields.

What it makes of an event is what `columns` makes of it for a server; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from hive_analytics.grains import END_OF_TIME
from hive_analytics.olap.columns import CACHES, FAILED, KINDS, MESSAGES, OUTCOMES, STAGES, VERDICTS
from hive_analytics.olap.tables import ROWS

_SCALARS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_ENUM: "int32",  # a number that has no name yet is read, too
}
_TAGS = "arraySort(arrayDistinct(tags))"


def insertion(family: str, path: str) -> str:
    """The statement that takes in a file of events, each with its length before it."""
    columns = ROWS[family]
    values = ", ".join(_VALUES[family].get(name, name) for name in columns)
    schema = _schema(MESSAGES[family].DESCRIPTOR)
    return (
        f"INSERT INTO {family} ({', '.join(columns)}) SELECT {values}"
        f" FROM file('{_quoted(path)}', 'Protobuf', '{_quoted(_structure(family))}')"
        f" SETTINGS format_schema_source = 'string', format_schema = '{schema}',"
        " format_schema_message_name = 'Event'"
    )


def _moment(field: str) -> str:
    return f"fromUnixTimestamp64Milli(greatest(least({field}, {END_OF_TIME - 1}), 0), 'UTC')"


def _label(field: str, labels: Mapping[int, str]) -> str:
    return f"transform({field}, {[*labels]}, {[*labels.values()]}, toString({field}))"


_CACHED_AND_GUARDED = {
    "cache": _label("cache", CACHES),
    "guard_verdict": _label("guard_verdict", VERDICTS),
}
_VALUES: Mapping[str, Mapping[str, str]] = {
    "usage": {
        "started": _moment("started_unix_ms"),
        "outcome": _label("outcome", OUTCOMES),
        "failed": f"outcome IN {(*sorted(FAILED),)}",
        "tags": _TAGS,
        **_CACHED_AND_GUARDED,
    },
    "ledger": {
        "occurred": _moment("occurred_unix_ms"),
        "posted": _moment("posted_unix_ms"),
        "kind": _label("kind", KINDS),
        "accounts": "entries.account",
        "amounts": "entries.amount_nanos",
        "tags": _TAGS,
    },
    "guard": {
        "decided": _moment("decided_unix_ms"),
        "stage": _label("stage", STAGES),
        "verdict": _label("verdict", VERDICTS),
    },
    "requests": {"started": _moment("started_unix_ms"), "tags": _TAGS, **_CACHED_AND_GUARDED},
}
_OTHERS = {
    "started_unix_ms": "Int64",
    "occurred_unix_ms": "Int64",
    "posted_unix_ms": "Int64",
    "decided_unix_ms": "Int64",
    "entries.account": ROWS["ledger"]["accounts"],
    "entries.amount_nanos": ROWS["ledger"]["amounts"],
}
"""The types of what is read under another name than it is kept as."""


def _structure(family: str) -> str:
    """The fields that are read, and their types: a column's own where a field is kept as it is."""
    found = {}
    for field in MESSAGES[family].DESCRIPTOR.fields:
        names = [field.name]
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            names = [f"{field.name}.{inner.name}" for inner in field.message_type.fields]
        for name in names:
            type = _OTHERS.get(name) or ROWS[family].get(name)
            if type is not None:
                found[name] = "Int32" if field.enum_type is not None else type
    return ", ".join(f"`{name}` {type}" for name, type in found.items())


def _schema(message: Any) -> str:
    return f'syntax = "proto3"; {_message("Event", message)}'


def _message(name: str, message: Any) -> str:
    return f"message {name} {{ {' '.join(map(_field, message.fields))} }}"


def _field(field: FieldDescriptor) -> str:
    inner, before = field.message_type, ""
    if inner is None:
        type = _SCALARS[field.type]
    elif inner.GetOptions().map_entry:
        key, value = inner.fields
        return f"map<{_SCALARS[key.type]}, {_SCALARS[value.type]}> {field.name} = {field.number};"
    else:
        type = inner.name
        before = _message(type, inner) + " "
    rule = "repeated " if field.is_repeated else "optional " if field.has_presence and inner is None else ""
    return f"{before}{rule}{type} {field.name} = {field.number};"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
