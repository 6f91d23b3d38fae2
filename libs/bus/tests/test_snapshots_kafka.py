"""Snapshots over a real broker: the suite of the port, and a broker that dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from hive_bus import Bus, Options, StateChange
from hive_bus.conformance import BusConformance, OpenBus, StateConformance
from hive_bus.conformance.suite import PATIENCE, eventually, unique
from hive_bus.kafka import KafkaBus
from hive_bus.snapshots import Portion, Record, SnapshotBus, Source
from hive_bus.snapshots.snapshot import Patience
from hive_runtime.clock import SystemClock
from hive_runtime.tasks import OnFailure
from hive_testing.servers.kafka import Kafka
from modelhive.probe.v1.probe_pb2 import ProbeState


def kafka_bus(kafka: Kafka, on_failure: OnFailure) -> KafkaBus:
    return KafkaBus(
        f"{kafka.url}?session_ms=2000", SystemClock(), on_failure, create_topics=True, subscribe_seconds=2.0
    )


class OnSnapshotsOverKafka(BusConformance):
    persistent = True

    @pytest.fixture
    def open_bus(self, kafka: Kafka, tmp_path: Path) -> OpenBus:
        async def open_bus(on_failure: OnFailure) -> Bus:
            inner = kafka_bus(kafka, on_failure)
            await inner.start()
            return SnapshotBus(inner, tmp_path, {}, SystemClock(), on_failure)

        return open_bus


class TestSnapshotsStateOverKafka(OnSnapshotsOverKafka, StateConformance):
    pass


class Owner:
    """Tells its last word on each key: a revision, and whether the key is live."""

    def __init__(self, lane: str) -> None:
        self.lane = lane
        self.revision = 0
        self.words: dict[str, Record[ProbeState]] = {}

    def say(self, key: str, *, live: bool = True) -> ProbeState:
        self.revision += 1
        message = ProbeState(lane=self.lane, key=key, value=str(self.revision))
        self.words[key] = Record(key, self.revision, message if live else None)
        return message

    async def watch(self) -> AsyncGenerator[Portion[ProbeState], None]:
        told = 0
        while True:
            through, words = self.revision, list(self.words.values())
            yield Portion([word for word in words if word.revision > told], through)
            told = through
            await asyncio.sleep(0.01)


async def test_keys_end_while_the_broker_is_dead_and_stay_ended_when_it_is_back(
    kafka: Kafka, tmp_path: Path
) -> None:
    owner = Owner(unique("lane"))
    source = Source[ProbeState](lambda message: int(message.value), owner.watch)
    failures: list[BaseException] = []
    live: dict[str, int] = {}

    async def take(change: StateChange[ProbeState]) -> None:
        if change.message is None:
            live.pop(change.key)
        else:
            live[change.key] = int(change.message.value)

    publisher = kafka_bus(kafka, lambda name, error: None)
    await publisher.start()
    first = [owner.say(key) for key in ("a", "b")]
    for message in first:
        await publisher.publish(message)
    await asyncio.to_thread(kafka.kill)
    try:
        inner = kafka_bus(kafka, lambda name, error: failures.append(error))
        bus = SnapshotBus(
            inner,
            tmp_path,
            {ProbeState: source},
            SystemClock(),
            lambda name, error: failures.append(error),
            Patience(start=1.0),
        )
        await inner.start()
        subscription = await bus.subscribe_state(ProbeState, take, Options(fields={"lane": owner.lane}))
        await asyncio.wait_for(subscription.caught_up(), PATIENCE)
        assert live == {"a": 1, "b": 2}
        owner.say("a", live=False)
        owner.say("c")
        await eventually(lambda: live == {"b": 2, "c": 4}, f"the owner is believed, now {live}")
    finally:
        await asyncio.to_thread(kafka.start)
    # What the outbox tells late, and once more.
    for message in first:
        await _publish(publisher, message)
    await publisher.retire(ProbeState, "a", {"lane": owner.lane})
    last = owner.say("d")
    await _publish(publisher, last)
    await eventually(lambda: "d" in live, "the bus or the owner tell the last one")
    assert await bus.drain(PATIENCE)
    assert live == {"b": 2, "c": 4, "d": 5}
    assert failures == []
    await bus.close()
    await publisher.close()


async def _publish(bus: Bus, message: ProbeState) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await bus.publish(message)
            except Exception:
                await asyncio.sleep(0.1)
