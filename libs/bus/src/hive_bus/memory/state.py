"""STATE in memory: the last message of each key, and per subscriber what it has not heard yet."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import Message

from hive_bus.failing import attempts
from hive_bus.handling.subscription import RunningSubscription
from hive_bus.port import Options, StateChange
from hive_runtime.clock import Clock
from hive_runtime.tasks import OnFailure


class StateTopic:
    """A compacted log: keys stand in the order of their last change. Its bound is the number of keys."""

    def __init__(self, name: str, progress: Callable[[], None]) -> None:
        self.name = name
        self.progress = progress
        self.last: OrderedDict[str, Message | None] = OrderedDict()
        self._members: list[StateSubscription] = []

    @property
    def outstanding(self) -> int:
        return sum(member.outstanding for member in self._members)

    def change(self, key: str, message: Message | None) -> None:
        if message is None:
            self.last.pop(key, None)
        else:
            _append(self.last, key, message)
        for member in self._members:
            member.tell(key, message)

    def join(self, member: StateSubscription) -> None:
        self._members.append(member)

    def leave(self, member: StateSubscription) -> None:
        self._members.remove(member)


class StateSubscription(RunningSubscription):
    """One task that hands over changes. Those that wait are compacted too: nothing piles up."""

    def __init__(
        self,
        topic: StateTopic,
        handler: Callable[[StateChange[Any]], Awaitable[None]],
        options: Options,
        clock: Clock,
        on_failure: OnFailure,
    ) -> None:
        super().__init__(topic.name, options, clock, on_failure)
        self._topic = topic
        self._handler = handler
        self._waiting = topic.last.copy()
        self._replay = set(self._waiting)
        self._busy = False
        self._told = asyncio.Event()
        self._replayed = asyncio.Event()
        topic.join(self)
        self._spawn(self._run())

    @property
    def outstanding(self) -> int:
        return len(self._waiting) + self._busy

    def tell(self, key: str, message: Message | None) -> None:
        _append(self._waiting, key, message)
        self._told.set()

    async def caught_up(self) -> None:
        await self._replayed.wait()
        if self._replay:
            raise self.failure or RuntimeError(f"the subscription of {self.name} ended before its replay did")

    def stop(self, failure: Exception | None = None) -> None:
        super().stop(failure)
        self._replayed.set()

    def _leave(self) -> None:
        self._topic.leave(self)

    async def _run(self) -> None:
        while not self.stopped:
            if not self._replay:
                self._replayed.set()
            if not self._waiting:
                self._told.clear()
                await self._rest(self._told.wait())
            key, message = self._waiting.popitem(last=False)
            await self._hand_over(key, message)
            self._replay.discard(key)
            # A handler need not wait for anything: a long replay must let others run.
            await asyncio.sleep(0)

    async def _hand_over(self, key: str, message: Message | None) -> None:
        self._busy = True
        try:
            change = StateChange(key, message)
            error = await attempts(self._handler, change, self._options.retry, self._pause)
            if error is not None:
                self._report(f"{self.name}, key {key!r}", error)
            self._note(error)
        finally:
            self._busy = False
            self._topic.progress()


def _append(log: OrderedDict[str, Message | None], key: str, message: Message | None) -> None:
    log[key] = message
    log.move_to_end(key)
