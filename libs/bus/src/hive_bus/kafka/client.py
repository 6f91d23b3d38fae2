"""What all clients of one bus share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import KafkaError

from hive_bus.kafka.address import Address
from hive_bus.kafka.hooks import Hooks
from hive_bus.kafka.library import partitions_of
from hive_bus.kafka.reach import Reach
from hive_runtime.clock import Clock
from hive_runtime.tasks import OnFailure, Tasks

MADE_TRIES, MADE_PAUSE = 50, 0.05


@dataclass(frozen=True, slots=True)
class Client:
    """tasks: what the bus does beside its subscriptions.

    create: makes a topic that is missing; None where that is the operator's matter.
    """

    address: Address
    instance: str
    reach: Reach
    clock: Clock
    on_failure: OnFailure
    hooks: Hooks
    tasks: Tasks
    create: Callable[[str], Awaitable[None]] | None

    async def partitions_of(self, consumer: Any, topic: str) -> set[int]:
        """The topic's partitions. Raises KafkaError where there is no such topic, and none is made."""
        found = await partitions_of(consumer, topic)
        if not found and self.create is not None:
            await self.create(topic)
            for _ in range(MADE_TRIES):
                if found := await partitions_of(consumer, topic):
                    break
                await self.clock.sleep(MADE_PAUSE)
        if not found:
            raise KafkaError(f"the broker has no topic {topic}: `modelhive topics` makes what is missing")
        return found
