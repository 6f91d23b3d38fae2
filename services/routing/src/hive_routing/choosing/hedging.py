"""Two attempts at once: a second one begins where the first says nothing for too long, and the first answer wins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from hive_routing.catalogue import Deployment
from hive_routing.dialects.form import Untranslatable
from hive_runtime.errors import HiveError

T = TypeVar("T")


class Tried(msgspec.Struct, Generic[T]):
    """What became of an attempt: an answer or an error."""

    deployment: Deployment
    answer: T | None = None
    error: HiveError | None = None

    @property
    def is_final(self) -> bool:
        """No other attempt can do better: it is answered, or what is asked is wrong everywhere."""
        error = self.error
        return error is None or not (error.kind.retryable or isinstance(error, Untranslatable))


Attempt = Coroutine[Any, Any, Tried[T]]
Second = Callable[[], Coroutine[Any, Any, Tried[T] | None]]


async def race(
    first: Attempt[T],
    patience: Coroutine[Any, Any, None],
    second: Second[T],
    discard: Callable[[Tried[T]], Awaitable[None]],
) -> Sequence[Tried[T]]:
    """The winner alone, or both where neither answered.

    patience: ends when the second one is to begin; second: gives None where there is none to ask. Whoever loses is
    cancelled and waited for; where it answers all the same, `discard` has the answer. A caller's mistake that the
    first one finds is an answer too; one that the second one finds is believed where the first one fails.
    """
    run = _Race(second)
    try:
        async with asyncio.TaskGroup() as group:
            await run.go(group, first, patience)
    except BaseExceptionGroup as errors:
        run.winner = None
        raise errors.exceptions[0] from None
    except BaseException:  # nobody waits for an answer any more
        run.winner = None
        raise
    finally:
        for tried in run.answers():
            if tried is not run.winner:
                await discard(tried)
    return [run.winner] if run.winner is not None else run.results()


class _Race(Generic[T]):
    def __init__(self, second: Second[T]) -> None:
        self.winner: Tried[T] | None = None
        self._second = second
        self._tasks: list[asyncio.Task[Tried[T] | None]] = []

    async def go(
        self, group: asyncio.TaskGroup, first: Attempt[T], patience: Coroutine[Any, Any, None]
    ) -> None:
        one = group.create_task(first)
        self._tasks.append(one)
        timer = group.create_task(patience)
        await asyncio.wait((one, timer), return_when=asyncio.FIRST_COMPLETED)
        timer.cancel()
        running: set[asyncio.Task[Tried[T] | None]] = {one}
        if not one.done():
            other = group.create_task(self._second())
            self._tasks.append(other)
            running.add(other)
        while running and self.winner is None:
            _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            self._look()
        for task in running:
            task.cancel()

    def _look(self) -> None:
        """The first attempt goes before the second where both have answered."""
        for place, task in enumerate(self._tasks):
            tried = _result(task)
            if tried is not None and (tried.answer is not None or (place == 0 and tried.is_final)):
                self.winner = tried
                return

    def answers(self) -> list[Tried[T]]:
        return [tried for tried in self.results() if tried.answer is not None]

    def results(self) -> list[Tried[T]]:
        found = (_result(task) for task in self._tasks)
        return [tried for tried in found if tried is not None]


def _result(task: asyncio.Task[Tried[T] | None]) -> Tried[T] | None:
    """None where it gave none, or was cancelled."""
    if not task.done() or task.cancelled() or task.exception() is not None:
        return None
    return task.result()
