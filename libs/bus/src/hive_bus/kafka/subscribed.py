"""A consumer that runs beside the handlers of a subscription, and ends after them."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from hive_bus.port import Subscription
from hive_runtime.tasks import OnFailure, Tasks


class Consuming:
    """The task of one consumer."""

    def __init__(self, name: str, on_failure: OnFailure) -> None:
        self._name = name
        self._tasks = Tasks(on_failure)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.spawn(work, f"{self._name}: consumer")

    async def end(self) -> None:
        await self._tasks.close()


class KafkaSubscription(Subscription, Protocol):
    """What the bus asks of its subscriptions beside the port.

    topic, group: the group is empty for STATE. trouble: why nothing comes at the moment, None while all is well.
    lag: records that are known to be on the topic and not handled yet, in this process's share.
    """

    topic: str
    group: str

    @property
    def trouble(self) -> str | None: ...

    @property
    def stopped(self) -> bool: ...

    @property
    def lag(self) -> int: ...

    async def entered(self) -> None:
        """Returns once whatever is published reaches the subscription."""
        ...

    async def is_idle(self) -> bool:
        """Whether everything that was published until now, and is this subscription's, was handled."""
        ...
