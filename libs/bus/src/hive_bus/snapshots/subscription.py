"""A subscriber of a snapshot: it is told a state once there is one, and each change from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hive_bus.memory.state import StateSubscription
from hive_bus.port import Options, StateChange
from hive_bus.snapshots.snapshot import Snapshot
from hive_runtime.clock import Clock
from hive_runtime.tasks import OnFailure

Handler = Callable[[StateChange[Any]], Awaitable[None]]


class SnapshotSubscription:
    """`ended` is called once, when it is closed."""

    def __init__(
        self,
        snapshot: Snapshot[Any],
        handler: Handler,
        options: Options,
        clock: Clock,
        on_failure: OnFailure,
        ended: Callable[[SnapshotSubscription], Awaitable[None]],
    ) -> None:
        self._snapshot = snapshot
        self._member: StateSubscription | None = None
        self._ended = ended
        self._closed = False
        joining = self._join(handler, options, clock, on_failure)
        # In the subscriber's context, as its handler will be.
        self._joining = snapshot.tasks.spawn(joining, f"{snapshot.topic.name} settles")

    @property
    def failure(self) -> Exception | None:
        member = self._member
        return (None if member is None else member.failure) or self._snapshot.failure

    async def joined(self, seconds: float) -> None:
        """Return once the replay has begun, or after so many seconds; then it begins later by itself."""
        await asyncio.wait({self._joining}, timeout=seconds)

    async def caught_up(self) -> None:
        await asyncio.wait({self._joining})
        if self._member is None:
            raise RuntimeError(f"the subscription of {self._snapshot.topic.name} ended before its replay did")
        await self._member.caught_up()

    async def close(self) -> None:
        self._joining.cancel()
        await asyncio.wait({self._joining})
        if self._member is not None:
            await self._member.close()
        if not self._closed:
            self._closed = True
            await self._ended(self)

    async def _join(self, handler: Handler, options: Options, clock: Clock, on_failure: OnFailure) -> None:
        await self._snapshot.settled.wait()
        self._member = StateSubscription(self._snapshot.topic, handler, options, clock, on_failure)
