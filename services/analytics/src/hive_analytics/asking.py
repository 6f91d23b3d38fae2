"""From what somebody asks to the one statement that answers it. Values only travel as parameters of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hive_analytics.families import COLUMNS, Family, Measure, measures_of
from hive_analytics.grains import END_OF_TIME, GRAINS, ROWS, Piece, pieces
from hive_analytics.questions import MOST_ROWS, QUESTIONS, Column, Folded, Lines, Question
from hive_runtime.errors import HiveError, Kind

_STEP = Column("time", "time", "")
_STARTS: Mapping[str, str] = {"minute": "toStartOfMinute", "hour": "toStartOfHour", "day": "toStartOfDay"}


@dataclass(frozen=True, slots=True)
class Asked:
    """start, end: Unix milliseconds; end 0 is now. by: dimensions. limit: 0 is the question's own bound."""

    question: str
    start: int = 0
    end: int = 0
    step: str = ""
    by: Sequence[str] = ()
    filters: Sequence[tuple[str, Sequence[str]]] = ()
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Statement:
    """One SELECT. It gives a row more than `limit` where there are more."""

    sql: str
    parameters: Mapping[str, Any]
    columns: Sequence[Column]
    limit: int


def question_of(asked: Asked) -> Question:
    """Raises HiveError `invalid`, naming what there is, where anything is asked that cannot be answered."""
    question = QUESTIONS.get(asked.question)
    if question is None:
        raise _invalid("question", f"there is no question {asked.question!r}: ask {_list(QUESTIONS)}")
    if asked.step and not question.takes_step:
        raise _invalid("step", f"the question {question.name!r} takes no step")
    if asked.step and asked.step not in GRAINS:
        raise _invalid("step", f"{asked.step!r} is none of {_list(GRAINS)}")
    if asked.by and not isinstance(question, Folded):
        raise _invalid("by", f"the question {question.name!r} lists, and is asked by nothing: use filters")
    for dimension in asked.by:
        _require(question, dimension, "by")
    for dimension, values in asked.filters:
        _require(question, dimension, "filters")
        if not values:
            raise _invalid("filters", f"the filter of {dimension!r} has no value")
    if asked.limit < 0:
        raise _invalid("limit", f"{asked.limit} is below 0")
    if asked.start < 0 or asked.end < 0:
        raise _invalid("from_unix_ms", "times are Unix milliseconds, from 0 on")
    if asked.end and asked.end <= asked.start:
        raise _invalid("to_unix_ms", f"{asked.end} is not after from_unix_ms, {asked.start}")
    return question


def statement(question: Folded | Lines, asked: Asked, now: int) -> Statement:
    """now: Unix milliseconds."""
    end = min(asked.end or now + 1, END_OF_TIME)
    writer = _Writer()
    limit = min(asked.limit or question.bound, MOST_ROWS)
    if isinstance(question, Lines):
        sql, columns = _lines(question, asked, end, writer)
    else:
        sql, columns = _folded(question, asked, end, writer)
    return Statement(f"{sql} LIMIT {limit + 1}", writer.parameters, columns, limit)


@dataclass(slots=True)
class _Writer:
    """Collects the parameters of one statement."""

    parameters: dict[str, Any] = field(default_factory=dict)

    def bind(self, value: Any, type: str) -> str:
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{type}}}"


def _folded(question: Folded, asked: Asked, end: int, writer: _Writer) -> tuple[str, Sequence[Column]]:
    wanted = {*question.always, *asked.by}
    by = [dimension for dimension in COLUMNS if dimension in wanted]
    keys = [_key(dimension) for dimension in by]
    shown = [Column(dimension, "text", "") for dimension in by]
    if asked.step:
        keys.insert(0, f"toInt64(toUnixTimestamp({_STARTS[asked.step]}(time))) * 1000")
        shown.insert(0, _STEP)
    names = [f"k{place}" for place in range(len(keys))]
    values = [column.sql for column in question.columns]
    selected = [f"{sql} AS {name}" for sql, name in zip(keys, names, strict=True)]
    parts = [
        f"SELECT {', '.join([*selected, *values])}",
        f"FROM ({_source(question, asked, end, by, writer)})",
    ]
    if names:
        parts.append(f"GROUP BY {', '.join(names)}")
        having = [question.present] if question.present else []
        having += [
            f"has({writer.bind(list(values), 'Array(String)')}, {names[shown.index(Column('tag', 'text', ''))]})"
            for dimension, values in asked.filters
            if dimension == "tag" and "tag" in by
        ]
        if having:
            parts.append(f"HAVING {' AND '.join(having)}")
        order = names if asked.step else [question.order, *names]
        parts.append(f"ORDER BY {', '.join(order)}")
    return " ".join(parts), [*shown, *question.columns]


def _key(dimension: str) -> str:
    column = COLUMNS[dimension]
    # What has no tag is shown as the tag that is empty; what has several counts for each of them.
    return f"arrayJoin(if(empty({column}), [''], {column}))" if dimension == "tag" else column


def _source(question: Folded, asked: Asked, end: int, by: Sequence[str], writer: _Writer) -> str:
    cut = pieces(asked.start, end, asked.step or "day")
    known = measures_of(question.families)
    parts = [
        _piece(family, grain, spans, by, [known[name] for name in question.uses], asked, writer)
        for family in question.families
        for grain, spans in cut.items()
    ]
    return " UNION ALL ".join(parts)


def _piece(
    family: Family,
    grain: str,
    spans: Iterable[Piece],
    by: Sequence[str],
    uses: Sequence[Measure],
    asked: Asked,
    writer: _Writer,
) -> str:
    """Rows of (time, columns, measures), from one table."""
    raw = grain == ROWS
    columns = [COLUMNS[dimension] for dimension in by]
    measures = []
    for measure in uses:
        mine = measure in family.measures
        value = (measure.raw if raw else measure.name) if mine else "toInt64(0)"
        measures.append(value if value == measure.name else f"{value} AS {measure.name}")
    time = f"toStartOfMinute({family.time}) AS time" if raw else "time"
    table = f"{family.name if raw else family.rollup(grain)} FINAL"
    where = [_within(family.time if raw else "time", spans, raw, writer), *_filters(asked, writer)]
    sql = f"SELECT {', '.join([time, *columns, *measures])} FROM {table} WHERE {' AND '.join(where)}"
    return f"{sql} GROUP BY {', '.join(['time', *columns])}" if raw else sql


def _within(column: str, spans: Iterable[Piece], raw: bool, writer: _Writer) -> str:
    moment: Callable[[int], str] = (
        (lambda ms: f"fromUnixTimestamp64Milli({writer.bind(ms, 'Int64')}, 'UTC')")
        if raw
        else (lambda ms: f"toDateTime({writer.bind(ms // 1000, 'UInt32')}, 'UTC')")
    )
    either = [f"({column} >= {moment(start)} AND {column} < {moment(end)})" for start, end in spans]
    return f"({' OR '.join(either)})"


def _filters(asked: Asked, writer: _Writer) -> list[str]:
    return [_filter(dimension, values, writer) for dimension, values in asked.filters]


def _filter(dimension: str, values: Sequence[str], writer: _Writer) -> str:
    column, bound = COLUMNS[dimension], writer.bind(list(values), "Array(String)")
    if dimension == "tag":
        return f"hasAny(if(empty({column}), [''], {column}), {bound})"
    return f"has({bound}, {column})"


def _lines(question: Lines, asked: Asked, end: int, writer: _Writer) -> tuple[str, Sequence[Column]]:
    family = question.family
    where = [
        _within(family.time, [(asked.start, end)], True, writer),
        question.where,
        *_filters(asked, writer),
    ]
    columns = [f"{column.sql} AS c{place}" for place, column in enumerate(question.columns)]
    # A row that came twice is listed once: cheaper than to read all rows with FINAL.
    sql = (
        f"SELECT {', '.join(columns)} FROM {family.name} WHERE {' AND '.join(where)}"
        f" ORDER BY {question.order}, {question.one} LIMIT 1 BY {question.one}"
    )
    return sql, question.columns


def _require(question: Question, dimension: str, param: str) -> None:
    if dimension not in question.dimensions:
        known = _list(question.dimensions)
        raise _invalid(
            param, f"the question {question.name!r} has no dimension {dimension!r}: it has {known}"
        )


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def _invalid(param: str, message: str) -> HiveError:
    return HiveError(Kind.INVALID, f"{param}: {message}.", param)
