"""The Kafka bus passes the suites of the port on a real broker."""

from __future__ import annotations

import pytest

from hive_bus import Bus
from hive_bus.conformance import (
    BatchConformance,
    BusConformance,
    EventConformance,
    OpenBus,
    RequestConformance,
    StateConformance,
)
from hive_bus.kafka import KafkaBus
from hive_runtime.clock import SystemClock
from hive_runtime.tasks import OnFailure
from hive_testing.servers.kafka import Kafka


class OnKafka(BusConformance):
    persistent = True

    @pytest.fixture
    def open_bus(self, kafka: Kafka) -> OpenBus:
        async def open_bus(on_failure: OnFailure) -> Bus:
            bus = KafkaBus(f"{kafka.url}?session_ms=2000", SystemClock(), on_failure, create_topics=True)
            await bus.start()
            return bus

        return open_bus


class TestKafkaRequests(OnKafka, RequestConformance):
    pass


class TestKafkaEvents(OnKafka, EventConformance):
    pass


class TestKafkaBatches(OnKafka, BatchConformance):
    pass


class TestKafkaState(OnKafka, StateConformance):
    pass
