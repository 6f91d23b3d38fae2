"""The measured bus: it keeps the promises of the one behind it, and counts what handlers do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from hive_bus import Batch, DeadLetterLimit, Options, Retry
from hive_bus.memory import MemoryBus
from hive_host.measured import MeasuredBus, measured_app
from hive_runtime.clock import SystemClock
from hive_runtime.telemetry import Metrics, Requests
from modelhive.events.v1.usage_pb2 import UsageRecorded
from modelhive.relay.v1.relay_pb2 import RequestEnvelope

EAGER = Options(retry=Retry(tries=2, first_pause=0.001), dead_letters=DeadLetterLimit(ratio=1.0, window=100))


def samples(metrics: Metrics) -> dict[str, float]:
    lines = [line for line in metrics.page().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@asynccontextmanager
async def measured() -> AsyncIterator[tuple[MeasuredBus, Metrics]]:
    metrics, clock = Metrics(), SystemClock()
    memory = MemoryBus(clock, lambda name, error: None)
    try:
        yield MeasuredBus(memory, metrics, clock, memory.lags), metrics
    finally:
        await memory.close()


def event(number: int) -> UsageRecorded:
    return UsageRecorded(request_id=f"req_{number}")


async def test_what_is_handled_and_what_is_given_up_is_counted_by_topic_and_group() -> None:
    async def take(message: UsageRecorded) -> None:
        if message.request_id == "req_2":
            raise ValueError("poison")

    async with measured() as (bus, metrics):
        await bus.subscribe_events(UsageRecorded, "billing", take, EAGER)
        for number in range(1, 4):
            await bus.publish(event(number))
        assert await bus.drain(5)
        found = samples(metrics)
    place = 'group="billing",topic="hive.usage"'
    assert found['hive_records_total{group="billing",outcome="handled",topic="hive.usage"}'] == 2
    assert found['hive_records_total{group="billing",outcome="failed",topic="hive.usage"}'] == 2
    assert found[f"hive_dead_letters_total{{{place}}}"] == 1
    assert found[f"hive_bus_lag{{{place}}}"] == 0
    assert found[f"hive_record_seconds_count{{{place}}}"] == 2


async def test_a_batch_counts_its_records_and_is_timed_once() -> None:
    async def take(messages: Sequence[UsageRecorded]) -> None:
        assert len(messages) == 3

    async with measured() as (bus, metrics):
        await bus.subscribe_batches(UsageRecorded, "analytics", take, Batch(3, 60))
        for number in range(3):
            await bus.publish(event(number))
        assert await bus.drain(5)
        found = samples(metrics)
    assert found['hive_records_total{group="analytics",outcome="handled",topic="hive.usage"}'] == 3
    assert found['hive_record_seconds_count{group="analytics",topic="hive.usage"}'] == 1


async def test_what_waits_shows_as_lag() -> None:
    held = asyncio.Event()

    async def take(message: UsageRecorded) -> None:
        await held.wait()

    async with measured() as (bus, metrics):
        await bus.subscribe_events(UsageRecorded, "billing", take)
        for number in range(5):
            await bus.publish(event(number))
        lag = samples(metrics)['hive_bus_lag{group="billing",topic="hive.usage"}']
        held.set()
        assert await bus.drain(5)
    assert lag == 5


async def test_a_request_is_counted_under_its_own_topic() -> None:
    async def take(message: RequestEnvelope) -> None:
        pass

    options = Options(fields={"service": "routing"})
    async with measured() as (bus, metrics):
        await bus.subscribe_requests(RequestEnvelope, "routing", take, options)
        await bus.publish(RequestEnvelope(request_id="req_1", service="routing"))
        assert await bus.drain(5)
        found = samples(metrics)
    name = 'hive_records_total{group="routing",outcome="handled",topic="hive.requests.routing"}'
    assert found[name] == 1


async def test_a_request_that_a_plain_function_takes_is_counted_too() -> None:
    def take(message: RequestEnvelope) -> None:
        if message.request_id == "req_2":
            raise ValueError("broken")

    options = Options(fields={"service": "routing"})
    async with measured() as (bus, metrics):
        await bus.subscribe_requests(RequestEnvelope, "routing", take, options)
        for number in range(1, 4):
            await bus.publish(RequestEnvelope(request_id=f"req_{number}", service="routing"))
        found = samples(metrics)
    name = 'hive_records_total{{group="routing",outcome="{}",topic="hive.requests.routing"}}'
    assert (found[name.format("handled")], found[name.format("failed")]) == (2, 1)


async def test_what_stands_for_a_request_is_counted_too() -> None:
    taken: list[object] = []
    options = Options(fields={"service": "routing"}, takes_stand_ins=True)
    async with measured() as (bus, metrics):
        await bus.subscribe_requests(RequestEnvelope, "routing", taken.append, options)
        assert bus.beside(RequestEnvelope, options.fields)("stands for it")
        found = samples(metrics)
    assert taken == ["stands for it"]
    assert found['hive_records_total{group="routing",outcome="handled",topic="hive.requests.routing"}'] == 1


async def test_what_is_wrong_with_a_subscription_is_said_by_the_bus_itself() -> None:
    async def take(message: RequestEnvelope) -> None:
        pass

    async with measured() as (bus, _):
        with pytest.raises(ValueError, match="service"):
            await bus.subscribe_requests(RequestEnvelope, "routing", take)


async def test_an_app_is_counted_by_the_status_of_its_answers() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["status"] is None:
            raise ValueError("broken")
        await send({"type": "http.response.start", "status": scope["status"], "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        pass

    metrics = Metrics()
    counted = measured_app(app, Requests(metrics, "console"), "/api/admin", SystemClock())
    for status in (200, 200, 404, None):
        with suppress(ValueError):
            await counted({"type": "http", "status": status}, send, send)  # type: ignore[arg-type]
    found = samples(metrics)
    by_code = {
        code: found[f'hive_requests_total{{code="{code}",method="/api/admin",service="console"}}']
        for code in (200, 404, 500)
    }
    assert by_code == {200: 2, 404: 1, 500: 1}
