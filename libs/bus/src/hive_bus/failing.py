"""What follows when a handler fails, the same for every adapter: tries, the dead letter, and its limit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from hive_bus.port import DeadLetterLimit, Retry
from hive_runtime.errors import HiveError, Kind
from modelhive.events.v1.dead_letter_pb2 import DeadLetter

T = TypeVar("T")


async def attempts(
    handler: Callable[[T], Awaitable[None]],
    argument: T,
    retry: Retry,
    pause: Callable[[float], Awaitable[None]],
) -> Exception | None:
    """Call the handler until it succeeds (None) or no try is left (the last error)."""
    failures = pauses = 0
    while (error := await _outcome(handler, argument)) is not None:
        failures += not (retry.outwaits_absence and _is_absence(error))
        if failures >= retry.tries:
            return error
        await pause(retry.pause_after(pauses))
        pauses += 1
    return None


def _is_absence(error: Exception) -> bool:
    return isinstance(error, HiveError) and error.kind is Kind.UNAVAILABLE


async def _outcome(handler: Callable[[T], Awaitable[None]], argument: T) -> Exception | None:
    try:
        await handler(argument)
    except asyncio.CancelledError as stray:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Something inside the handler was cancelled, not the handler: a failure as any other.
        error = RuntimeError("the handler raised CancelledError without being cancelled")
        error.__cause__ = stray
        return error
    except Exception as error:
        return error
    return None


def dead_letter(
    topic: str, key: str, payload: bytes, group: str, error: Exception, attempts: int
) -> DeadLetter:
    return DeadLetter(
        source_topic=topic,
        key=key,
        payload=payload,
        group=group,
        error=f"{type(error).__name__}: {error}",
        attempts=attempts,
    )


class FailureWatch:
    """Counts how many of the last records failed for good. `name` is the subscription's."""

    def __init__(self, name: str, limit: DeadLetterLimit) -> None:
        self._name = name
        self._limit = limit
        self._last: deque[bool] = deque(maxlen=limit.window)

    def note(self, error: Exception | None, records: int = 1) -> RuntimeError | None:
        """Count records that ended alike; gives what to stop with where their error makes too many."""
        self._last.extend([error is not None] * min(records, self._limit.window))
        if error is None or sum(self._last) <= self._limit.ratio * self._limit.window:
            return None
        verdict = RuntimeError(
            f"{self._name} stopped: {sum(self._last)} of the last {len(self._last)} records failed for good, "
            f"the last one with {type(error).__name__}: {error}"
        )
        verdict.__cause__ = error
        return verdict
