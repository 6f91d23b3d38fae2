"""The edge's wiring: snapshot of keys, their limits, the relay's caller, the public door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from hive_edge.consumers import ControlConsumer
from hive_edge.counters import MemoryLimiter
from hive_edge.gateway import Gateway
from hive_edge.keys import Keys
from hive_edge.request_log import RequestLog
from hive_edge.settings import EdgeSettings
from hive_host import Host
from hive_runtime.telemetry import Requests
from modelhive.control.v1.control_pb2 import ControlChanged

SWEEP_SECONDS = 600.0
STOP_SECONDS = 5.0


@asynccontextmanager
async def edge_service(host: Host, settings: EdgeSettings) -> AsyncIterator[None]:
    """Entered: the public door is open. Left: every request it took was answered."""
    keys, limiter = Keys(host.clock), MemoryLimiter(host.clock)
    caller = host.caller()
    dropped = host.metrics.counter(
        "hive_edge_request_lines_dropped", "Lines of the request log that the bus did not take in time."
    )
    lines = RequestLog(host.bus, host.clock, dropped)
    gateway = Gateway(
        keys=keys,
        limiter=limiter,
        caller=caller,
        blobs=host.blobs,
        tasks=host.tasks,
        max_body=host.settings.max_body_bytes,
        requests=Requests(host.metrics, "edge"),
        clock=host.clock,
        log=lines,
    )
    control = await host.bus.subscribe_state(ControlChanged, ControlConsumer(keys, limiter).apply)
    in_flight = host.metrics.gauge("hive_edge_in_flight", "Requests that wait for their answer.")
    in_flight.set_function(lambda: caller.in_flight)
    host.health.add("control snapshot", lambda: str(control.failure) if control.failure else None)
    await control.caught_up()
    host.tasks.spawn(_sweep(host, settings.blob_ttl_seconds), "sweep request bodies")
    publishing = host.tasks.spawn(lines.run(), "request log")
    async with host.running():
        host.mount("public", "", gateway)
        try:
            yield
        finally:
            await control.close()
    publishing.cancel()
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            await lines.flush()


async def _sweep(host: Host, age: float) -> None:
    """Delete request bodies that a killed process left behind."""
    while True:
        await host.blobs.sweep("requests", age)
        await host.clock.sleep(SWEEP_SECONDS)
