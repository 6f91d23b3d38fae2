"""Spans of time: whole nanoseconds here, and on the wire the text form of Go's `time.Duration`."""

from __future__ import annotations

MILLISECOND = 1_000_000
SECOND = 1000 * MILLISECOND
MINUTE = 60 * SECOND


def milliseconds(span: int) -> int:
    """Rounded up: who waits so long does not come too early."""
    return -(-span // MILLISECOND)


def go_duration(span: int) -> str:
    """`0s`, `12ms`, `1.5s`, `6m0s`, `1h0m0s`; in milliseconds, rounded up."""
    whole = milliseconds(span)
    if 0 < whole < 1000:
        return f"{whole}ms"
    minutes, rest = divmod(whole, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest / 1000:g}s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds
