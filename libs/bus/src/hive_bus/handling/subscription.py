"""What the subscriptions of all deliveries share: their tasks, how they rest, stop and close."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from contextvars import copy_context
from typing import Any

from hive_bus.failing import FailureWatch
from hive_bus.port import Options
from hive_runtime.clock import Clock
from hive_runtime.tasks import OnFailure, Tasks


class RunningSubscription:
    """Owns the tasks of its handlers. `name` is what failures are reported under."""

    def __init__(self, name: str, options: Options, clock: Clock, on_failure: OnFailure) -> None:
        self.name = name
        self.failure: Exception | None = None
        self.stopped = False
        self._options = options
        self._clock = clock
        self._report = on_failure
        self._watch = FailureWatch(name, options.dead_letters)
        self._tasks = Tasks(on_failure)
        self._context = copy_context()
        self._resting: set[asyncio.Task[Any]] = set()

    async def caught_up(self) -> None:
        return

    async def close(self) -> None:
        self.stop()
        await self._tasks.settle(self._options.grace)
        await self._tasks.close()

    def stop(self, failure: Exception | None = None) -> None:
        """Take no more records; handlers that run go on, what rests is cancelled."""
        if self.stopped:
            return
        self.stopped = True
        self.failure = failure
        self._leave()
        for task in self._resting:
            task.cancel()
        if failure is not None:
            self._report(self.name, failure)

    def _leave(self) -> None:
        """Tell the topic or group that this subscription takes no more."""
        raise NotImplementedError

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._context.run(self._tasks.spawn, work, self.name)

    async def _pause(self, seconds: float) -> None:
        """Wait before another try. Ends the task where there will be none, since the subscription stopped."""
        if self.stopped:
            raise asyncio.CancelledError
        await self._rest(self._clock.sleep(seconds))

    async def _rest(self, wait: Awaitable[object]) -> None:
        """Wait while no handler runs: `stop` cancels that."""
        task = asyncio.current_task()
        assert task is not None
        self._resting.add(task)
        try:
            await wait
        finally:
            self._resting.discard(task)

    def _note(self, error: Exception | None, records: int = 1) -> None:
        """Count records that ended alike, and stop where too many of the last ones failed for good."""
        if (verdict := self._watch.note(error, records)) is not None:
            self.stop(verdict)
