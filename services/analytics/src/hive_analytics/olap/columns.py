"""Serialized events to columns: runs in the store's own process, not in the gateway's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError, Message

from hive_analytics.grains import END_OF_TIME, HOUR
from hive_analytics.spans import Span, spans_of
from hive_runtime.errors import HiveError, Kind
from modelhive.events.v1.guard_pb2 import GuardDecided, GuardStage, GuardVerdict
from modelhive.events.v1.ledger_pb2 import LedgerPosted, PostingKind
from modelhive.events.v1.usage_pb2 import CacheStatus, Outcome, RequestLogged, UsageRecorded

_MESSAGES: Mapping[str, type[Message]] = {
    "usage": UsageRecorded,
    "ledger": LedgerPosted,
    "guard": GuardDecided,
    "requests": RequestLogged,
}
_TEXT: Final = pa.string()
_WHOLE: Final = pa.int64()
_COUNT: Final = pa.uint32()
_FLAG: Final = pa.bool_()
_MOMENT: Final = pa.timestamp("ms", "UTC")
_TEXTS: Final = pa.list_(_TEXT)
_WHOLES: Final = pa.list_(_WHOLE)
_UNITS: Final = pa.map_(_TEXT, _WHOLE)


def _labels(enum: Any, prefix: str) -> dict[int, str]:
    """`OUTCOME_ANSWERED` as `answered`; what is not specified as nothing."""
    names = {number: name.removeprefix(prefix).lower() for name, number in enum.items()}
    return names | {0: ""}


_OUTCOMES = _labels(Outcome, "OUTCOME_")
_POSTINGS = _labels(PostingKind, "POSTING_KIND_")
_STAGES = _labels(GuardStage, "GUARD_STAGE_")
_VERDICTS = _labels(GuardVerdict, "GUARD_VERDICT_")
_CACHES = _labels(CacheStatus, "CACHE_STATUS_")
_FAILED = frozenset(
    {
        Outcome.OUTCOME_REFUSED,
        Outcome.OUTCOME_UNSENT,
        Outcome.OUTCOME_UNANSWERED,
        Outcome.OUTCOME_BROKEN,
        Outcome.OUTCOME_RECOVERED,
    }
)


class Decoded:
    """One batch. hours: Unix seconds of the hours that its rows are of."""

    def __init__(self, family: str, rows: Sequence[bytes]) -> None:
        """Raises HiveError `invalid` where a row is no event of its family."""
        read = _MESSAGES[family].FromString
        try:
            events: list[Any] = [read(row) for row in rows]
        except DecodeError as error:
            raise HiveError(Kind.INVALID, f"a row is no event of {family}: {error}") from None
        columns, times = _COLUMNS[family](events)
        self.table = pa.table(columns)
        self.hours = {time // HOUR * HOUR // 1000 for time in times}
        self.sequences = _sequences(family, events)


Columns = tuple[dict[str, pa.Array], Sequence[int]]


def _usage(events: Sequence[Any]) -> Columns:
    times = _moments(events, "started_unix_ms")
    outcomes = [each.outcome for each in events]
    first = [each.first_content_us if each.HasField("first_content_us") else None for each in events]
    return {
        "started": pa.array(times, _MOMENT),
        **_texts(events, "request_id"),
        "attempt": pa.array([each.attempt for each in events], _COUNT),
        "call": pa.array([each.call for each in events], _COUNT),
        **_texts(events, "tenant_id", "key_id", "endpoint", "model", "provider", "deployment"),
        **_wholes(events, "duration_us"),
        "first_content_us": pa.array(first, _WHOLE),
        "outcome": pa.array([_OUTCOMES.get(each, str(each)) for each in outcomes], _TEXT),
        "failed": pa.array([each in _FAILED for each in outcomes], _FLAG),
        **_texts(events, "error"),
        **_flags(events, "streamed", "last"),
        "units": _units(events),
        **_flags(events, "estimated"),
        **_texts(events, "holder"),
        **_wholes(events, "sequence"),
        **_texts(events, "upstream_request_id"),
        "tags": _tags(events),
        **_cached_and_guarded(events),
    }, times


def _ledger(events: Sequence[Any]) -> Columns:
    times = _moments(events, "occurred_unix_ms")
    entries = [[*each.entries] for each in events]
    return {
        "occurred": pa.array(times, _MOMENT),
        "posted": pa.array(_moments(events, "posted_unix_ms"), _MOMENT),
        **_wholes(events, "sequence"),
        **_texts(events, "cause"),
        "kind": pa.array([_POSTINGS.get(each.kind, str(each.kind)) for each in events], _TEXT),
        **_texts(events, "tenant_id", "key_id", "request_id", "model", "provider", "deployment"),
        "accounts": pa.array([[entry.account for entry in each] for each in entries], _TEXTS),
        "amounts": pa.array([[entry.amount_nanos for entry in each] for each in entries], _WHOLES),
        **_texts(events, "corrects"),
        **_flags(events, "estimated"),
        **_wholes(events, "spent_nanos", "provider_cost_nanos"),
        "tags": _tags(events),
    }, times


def _guard(events: Sequence[Any]) -> Columns:
    times = _moments(events, "decided_unix_ms")
    return {
        "decided": pa.array(times, _MOMENT),
        **_texts(events, "request_id", "tenant_id", "key_id", "model", "guard"),
        "stage": pa.array([_STAGES.get(each.stage, str(each.stage)) for each in events], _TEXT),
        "verdict": pa.array([_VERDICTS.get(each.verdict, str(each.verdict)) for each in events], _TEXT),
        **_wholes(events, "duration_us"),
        "categories": pa.array([[*each.categories] for each in events], _TEXTS),
        **_texts(events, "version"),
        **_wholes(events, "scanned", "decisions"),
    }, times


def _requests(events: Sequence[Any]) -> Columns:
    times = _moments(events, "started_unix_ms")
    first = [each.first_byte_us if each.HasField("first_byte_us") else None for each in events]
    return {
        "started": pa.array(times, _MOMENT),
        **_texts(events, "request_id", "tenant_id", "key_id", "method", "path"),
        "status": pa.array([each.status for each in events], _COUNT),
        **_texts(events, "error", "error_message"),
        **_wholes(events, "duration_us"),
        "first_byte_us": pa.array(first, _WHOLE),
        **_wholes(events, "request_bytes", "response_bytes"),
        **_texts(events, "model", "provider", "deployment"),
        "calls": pa.array([each.calls for each in events], _COUNT),
        **_flags(events, "client_gone"),
        "tags": _tags(events),
        **_cached_and_guarded(events),
        **_flags(events, "replayed"),
    }, times


_COLUMNS: Mapping[str, Callable[[Sequence[Any]], Columns]] = {
    "usage": _usage,
    "ledger": _ledger,
    "guard": _guard,
    "requests": _requests,
}


def _moments(events: Sequence[Any], name: str) -> list[int]:
    """A clock that is wrong must not lose a row: what is outside of 1970 to 2099 is moved to its border."""
    return [min(max(getattr(each, name), 0), END_OF_TIME - 1) for each in events]


def _texts(events: Sequence[Any], *names: str) -> dict[str, pa.Array]:
    return {name: pa.array([getattr(each, name) for each in events], _TEXT) for name in names}


def _wholes(events: Sequence[Any], *names: str) -> dict[str, pa.Array]:
    return {name: pa.array([getattr(each, name) for each in events], _WHOLE) for name in names}


def _flags(events: Sequence[Any], *names: str) -> dict[str, pa.Array]:
    return {name: pa.array([getattr(each, name) for each in events], _FLAG) for name in names}


def _cached_and_guarded(events: Sequence[Any]) -> dict[str, pa.Array]:
    """What usage and requests say alike of the response cache and the guards."""
    verdicts = [each.guard_verdict for each in events]
    return {
        "cache": pa.array([_CACHES.get(each.cache, str(each.cache)) for each in events], _TEXT),
        "guards": pa.array([[*each.guards] for each in events], _TEXTS),
        "guard_verdict": pa.array([_VERDICTS.get(each, str(each)) for each in verdicts], _TEXT),
    }


def _tags(events: Sequence[Any]) -> pa.Array:
    """In one order and each once, so that the same set of tags is the same value."""
    tags = [each.tags for each in events]
    return pa.array([sorted({*each}) if each else [] for each in tags], _TEXTS)


def _units(events: Sequence[Any]) -> pa.Array:
    offsets, names, counts = [0], [], []
    for each in events:
        for name, count in each.units.items():
            names.append(name)
            counts.append(count)
        offsets.append(len(names))
    return pa.MapArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(names, _TEXT), pa.array(counts, _WHOLE)
    ).cast(_UNITS)


def _sequences(family: str, events: Sequence[Any]) -> dict[str, list[Span]]:
    if family == "ledger":
        return {"": spans_of(each.sequence for each in events)}
    if family != "usage":
        return {}
    numbers: dict[str, list[int]] = {}
    for each in events:
        numbers.setdefault(each.holder, []).append(each.sequence)
    return {holder: spans_of(each) for holder, each in numbers.items()}
