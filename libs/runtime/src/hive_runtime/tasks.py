"""A set of tasks that someone owns: a task that nobody holds is work that can vanish.

Unlike `asyncio.TaskGroup`, one task's failure does not end the others: it is reported and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
OnFailure = Callable[[str, BaseException], None]


class Tasks:
    """Owns the tasks it spawns until each ends; `close` cancels and awaits what is left."""

    def __init__(self, on_failure: OnFailure) -> None:
        self._on_failure = on_failure
        self._running: dict[asyncio.Task[Any], Callable[[], None] | None] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._running)

    def spawn(
        self, work: Coroutine[Any, Any, T], name: str, done: Callable[[], None] | None = None
    ) -> asyncio.Task[T]:
        """Run `work`; an exception of it goes to `on_failure`, never unseen.

        done: called when it has ended, on whatever way: one that is cancelled before its first step runs none of
        its code.
        """
        if self._closed:
            work.close()
            raise RuntimeError(f"cannot start {name!r}: this set of tasks is closed")
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running[task] = done
        task.add_done_callback(self._done)
        return task

    async def settle(self, seconds: float) -> bool:
        """Wait until all have ended, at most so long; true where none is left."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=seconds)
        return not self._running

    async def close(self) -> None:
        """Cancel what still runs and wait for it. No task can be spawned afterwards."""
        self._closed = True
        current = asyncio.current_task()
        left = [task for task in self._running if task is not current]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        done = self._running.pop(task)
        if done is not None:
            done()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(task.get_name(), error)
