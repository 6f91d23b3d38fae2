"""Copies of requests for another model, after the answer: what it says is thrown away, and the operator pays."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from hive_routing.catalogue import Catalogue, Model
from hive_runtime.errors import HiveError
from hive_runtime.tasks import Tasks

log = structlog.get_logger(__name__)

Copy = Callable[[Model], Coroutine[Any, Any, None]]
"""Sends a copy to that model, reads its answer to the end, and notes what it cost."""

MOST_AT_ONCE = 32
LONGEST_SECONDS = 120.0


class Mirrors:
    """One for the process. `close` it before the log of what was used."""

    def __init__(
        self, catalogue: Catalogue, tasks: Tasks, source: random.Random, most: int = MOST_AT_ONCE
    ) -> None:
        """most: copies at once; what comes on top is left out."""
        self.left_out = 0
        self._catalogue = catalogue
        self._tasks = tasks
        self._random = source
        self._most = most
        self._running: set[asyncio.Task[None]] = set()

    def reflect(self, model: Model, copy: Copy) -> bool:
        """Have a request of `model` copied, if that is wanted and the draw falls on it. Never waits, never raises.

        The mirror need not be among the models that the caller may ask: nobody sees what it says.
        """
        mirror = model.routing.mirror
        if mirror is None or self._random.random() * 100 >= mirror.percent:
            return False
        try:
            other = self._catalogue.find(mirror.to, None)
        except HiveError:  # it is out of service
            return False
        if len(self._running) >= self._most:
            self.left_out += 1
            return False
        task = self._tasks.spawn(_copied(model, other, copy), f"mirror {other.id}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return True

    async def close(self) -> None:
        """End the copies that run; each notes what it has cost so far."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _copied(model: Model, other: Model, copy: Copy) -> None:
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            await copy(other)
    except (HiveError, TimeoutError) as error:
        log.warning("a mirrored request failed", model=model.id, mirror=other.id, error=str(error))
