"""An attempt that has ended, as the event that tells of it."""

from __future__ import annotations

from msgspec.structs import replace

from hive_routing.attempts import Attempt
from hive_routing.journal.records import encodable
from modelhive.events.v1.usage_pb2 import UsageRecorded

_LARGEST = 2**63 - 1
_COUNTERS = ("attempt", "call")


def usage_event(attempt: Attempt, holder: str, sequence: int) -> UsageRecorded:
    """What the contract cannot carry (half of a surrogate pair, a number that is too large) is replaced by what is
    nearest. Nobody changes it: all who take it in this process get this one."""
    try:
        return _event(attempt, holder, sequence)
    except (ValueError, OverflowError):  # UnicodeEncodeError is a ValueError
        return _event(_clamped(encodable(attempt)), holder, sequence)


def _event(attempt: Attempt, holder: str, sequence: int) -> UsageRecorded:
    # One by one: the constructor takes nearly twice as long.
    event = UsageRecorded()
    event.request_id = attempt.request_id
    event.attempt = attempt.attempt
    event.call = attempt.call
    event.tenant_id = attempt.tenant_id
    event.key_id = attempt.key_id
    event.endpoint = attempt.endpoint
    event.model = attempt.model
    event.provider = attempt.provider
    event.deployment = attempt.deployment
    event.started_unix_ms = attempt.started_ms
    event.duration_us = attempt.duration_us
    if attempt.first_content_us is not None:
        event.first_content_us = attempt.first_content_us
    event.outcome = attempt.outcome  # type: ignore[assignment]  # the same numbers, by its docstring
    event.error = attempt.error
    event.streamed = attempt.streamed
    event.last = attempt.last
    units = event.units
    for unit, count in attempt.units.items():
        units[unit] = count
    event.estimated = attempt.estimated
    event.cost_nanos = attempt.cost
    event.provider_cost_nanos = attempt.provider_cost
    event.price_version = attempt.price.version
    event.provider_price_version = attempt.provider_price.version
    event.holder = holder
    event.sequence = sequence
    if attempt.scopes:
        event.scopes.extend(attempt.scopes)
    event.held_nanos = attempt.held
    event.carried_nanos = attempt.carried
    event.lease_generation = attempt.generation
    event.upstream_request_id = attempt.upstream_request_id
    if attempt.tags:
        event.tags.extend(attempt.tags)
    handling = attempt.handling
    event.cache = handling.cache  # type: ignore[assignment]
    if handling.guards:
        event.guards.extend(handling.guards)
    event.guard_verdict = handling.guard_verdict  # type: ignore[assignment]
    if attempt.span.traceparent:
        event.traceparent = attempt.span.traceparent
    return event


def _clamped(attempt: Attempt) -> Attempt:
    numbers = {
        name: _within(value, 2**32 - 1 if name in _COUNTERS else _LARGEST)
        for name in attempt.__struct_fields__
        if type(value := getattr(attempt, name)) is int
    }
    units = {unit: _within(count, _LARGEST) for unit, count in attempt.units.items()}
    return replace(attempt, **numbers, units=units)


def _within(value: int, largest: int) -> int:
    return max(-largest if largest == _LARGEST else 0, min(value, largest))
