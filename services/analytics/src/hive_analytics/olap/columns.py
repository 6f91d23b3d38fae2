"""Serialized events to columns, in the order and with the names of `tables.ROWS`; moments are Unix milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf.message import DecodeError, Message

from hive_analytics.grains import END_OF_TIME, MINUTE
from hive_analytics.spans import Span, spans_of
from hive_runtime.errors import HiveError, Kind
from modelhive.events.v1.guard_pb2 import GuardDecided, GuardStage, GuardVerdict
from modelhive.events.v1.ledger_pb2 import LedgerPosted, PostingKind
from modelhive.events.v1.usage_pb2 import CacheStatus, Outcome, RequestLogged, UsageRecorded

MESSAGES: Mapping[str, type[Message]] = {
    "usage": UsageRecorded,
    "ledger": LedgerPosted,
    "guard": GuardDecided,
    "requests": RequestLogged,
}
MOMENTS: Mapping[str, str] = {
    "usage": "started_unix_ms",
    "ledger": "occurred_unix_ms",
    "guard": "decided_unix_ms",
    "requests": "started_unix_ms",
}
"""The field by which an event belongs to an hour."""


class _Labels(dict[int, str]):
    """`OUTCOME_ANSWERED` as `answered`; what is not specified as nothing, what is not known as its number."""

    def __init__(self, enum: Any, prefix: str) -> None:
        super().__init__({number: name.removeprefix(prefix).lower() for name, number in enum.items()})
        self[0] = ""

    def __missing__(self, number: int) -> str:
        return str(number)


OUTCOMES = _Labels(Outcome, "OUTCOME_")
KINDS = _Labels(PostingKind, "POSTING_KIND_")
STAGES = _Labels(GuardStage, "GUARD_STAGE_")
VERDICTS = _Labels(GuardVerdict, "GUARD_VERDICT_")
CACHES = _Labels(CacheStatus, "CACHE_STATUS_")
FAILED = frozenset(
    {
        Outcome.OUTCOME_REFUSED,
        Outcome.OUTCOME_UNSENT,
        Outcome.OUTCOME_UNANSWERED,
        Outcome.OUTCOME_BROKEN,
        Outcome.OUTCOME_RECOVERED,
    }
)


class Decoded:
    """One batch. minutes: Unix seconds of the minutes that its rows are of."""

    def __init__(self, family: str, rows: Sequence[bytes]) -> None:
        """Raises HiveError `invalid` where a row is no event of its family."""
        read = MESSAGES[family].FromString
        try:
            events: list[Any] = [read(row) for row in rows]
        except DecodeError as error:
            raise HiveError(Kind.INVALID, f"a row is no event of {family}: {error}") from None
        self.family = family
        self.rows = rows
        self.minutes = {time // MINUTE * MINUTE // 1000 for time in _moments(events, MOMENTS[family])}
        self.sequences = _sequences(family, events)
        self._events = events

    def columns(self) -> Columns:
        return _COLUMNS[self.family](self._events)


Columns = dict[str, list[Any]]
"""Values by name."""


def _usage(events: Sequence[Any]) -> Columns:
    outcomes = [each.outcome for each in events]
    first = [each.first_content_us if each.HasField("first_content_us") else None for each in events]
    return {
        "started": _moments(events, "started_unix_ms"),
        **_fields(events, "request_id"),
        "attempt": [each.attempt for each in events],
        "call": [each.call for each in events],
        **_fields(events, "tenant_id", "key_id", "endpoint", "model", "provider", "deployment"),
        **_fields(events, "duration_us"),
        "first_content_us": first,
        "outcome": [OUTCOMES[each] for each in outcomes],
        "failed": [each in FAILED for each in outcomes],
        **_fields(events, "error"),
        **_fields(events, "streamed", "last"),
        # Of a map, `dict` asks for each key a second time.
        "units": [{unit: units[unit] for unit in units} for units in [each.units for each in events]],
        **_fields(events, "estimated"),
        **_fields(events, "holder"),
        **_fields(events, "sequence"),
        **_fields(events, "upstream_request_id"),
        "tags": _tags(events),
        **_cached_and_guarded(events),
    }


def _ledger(events: Sequence[Any]) -> Columns:
    entries = [[*each.entries] for each in events]
    return {
        "occurred": _moments(events, "occurred_unix_ms"),
        "posted": _moments(events, "posted_unix_ms"),
        **_fields(events, "sequence"),
        **_fields(events, "cause"),
        "kind": [KINDS[each.kind] for each in events],
        **_fields(events, "tenant_id", "key_id", "request_id", "model", "provider", "deployment"),
        "accounts": [[entry.account for entry in each] for each in entries],
        "amounts": [[entry.amount_nanos for entry in each] for each in entries],
        **_fields(events, "corrects"),
        **_fields(events, "estimated"),
        **_fields(events, "spent_nanos", "provider_cost_nanos"),
        "tags": _tags(events),
    }


def _guard(events: Sequence[Any]) -> Columns:
    return {
        "decided": _moments(events, "decided_unix_ms"),
        **_fields(events, "request_id", "tenant_id", "key_id", "model", "guard"),
        "stage": [STAGES[each.stage] for each in events],
        "verdict": [VERDICTS[each.verdict] for each in events],
        **_fields(events, "duration_us"),
        "categories": [[*each.categories] for each in events],
        **_fields(events, "version"),
        **_fields(events, "scanned", "decisions"),
    }


def _requests(events: Sequence[Any]) -> Columns:
    first = [each.first_byte_us if each.HasField("first_byte_us") else None for each in events]
    return {
        "started": _moments(events, "started_unix_ms"),
        **_fields(events, "request_id", "tenant_id", "key_id", "method", "path"),
        "status": [each.status for each in events],
        **_fields(events, "error", "error_message"),
        **_fields(events, "duration_us"),
        "first_byte_us": first,
        **_fields(events, "request_bytes", "response_bytes"),
        **_fields(events, "model", "provider", "deployment"),
        "calls": [each.calls for each in events],
        **_fields(events, "client_gone"),
        "tags": _tags(events),
        **_cached_and_guarded(events),
        **_fields(events, "replayed"),
    }


_COLUMNS: Mapping[str, Callable[[Sequence[Any]], Columns]] = {
    "usage": _usage,
    "ledger": _ledger,
    "guard": _guard,
    "requests": _requests,
}


def _moments(events: Sequence[Any], name: str) -> list[int]:
    """A clock that is wrong must not lose a row: what is outside of 1970 to 2099 is moved to its border."""
    times = [getattr(each, name) for each in events]
    if not times or (min(times) >= 0 and max(times) < END_OF_TIME):
        return times
    return [min(max(time, 0), END_OF_TIME - 1) for time in times]


def _fields(events: Sequence[Any], *names: str) -> dict[str, list[Any]]:
    return {name: [getattr(each, name) for each in events] for name in names}


def _cached_and_guarded(events: Sequence[Any]) -> dict[str, list[Any]]:
    """What usage and requests say alike of the response cache and the guards."""
    return {
        "cache": [CACHES[each.cache] for each in events],
        "guards": [[*each.guards] for each in events],
        "guard_verdict": [VERDICTS[each.guard_verdict] for each in events],
    }


def _tags(events: Sequence[Any]) -> list[list[str]]:
    """In one order and each once, so that the same set of tags is the same value."""
    tags = [each.tags for each in events]
    return [sorted({*each}) if each else [] for each in tags]


def _sequences(family: str, events: Sequence[Any]) -> dict[str, list[Span]]:
    if family == "ledger":
        return {"": spans_of(each.sequence for each in events)}
    if family != "usage":
        return {}
    numbers: dict[str, list[int]] = {}
    for each in events:
        numbers.setdefault(each.holder, []).append(each.sequence)
    return {holder: spans_of(each) for holder, each in numbers.items()}
