"""The edge's wiring: snapshot of keys, their limits, the relay's caller, the public door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from hive_edge.consumers import ControlConsumer
from hive_edge.counters import MemoryLimiter
from hive_edge.gateway import Gateway
from hive_edge.keys import Keys
from hive_edge.limits import Limiter
from hive_edge.request_log import RequestLog
from hive_edge.settings import EdgeSettings
from hive_edge.sockets import PATHS, Sockets
from hive_edge.valkey import ValkeyLimiter
from hive_host import Host
from hive_runtime.telemetry import Requests, report_lost_task
from modelhive.control.v1.control_pb2 import ControlChanged

SWEEP_SECONDS = 600.0
STOP_SECONDS = 5.0


@asynccontextmanager
async def edge_service(host: Host, settings: EdgeSettings) -> AsyncIterator[None]:
    """Entered: the public door is open. Left: every request it took was answered."""
    keys = Keys(host.clock)
    async with _limiter(host, settings) as limiter, _door(host, settings, keys, limiter):
        yield


@asynccontextmanager
async def _limiter(host: Host, settings: EdgeSettings) -> AsyncIterator[Limiter]:
    """Counts alone where this is the only process, else together with the others."""
    alone = MemoryLimiter(host.clock)
    if host.valkey is None:
        yield alone
        return
    instead = alone if settings.limits_when_away == "local" else None
    limiter = ValkeyLimiter(host.valkey, host.clock, report_lost_task, instead)
    renewing = host.tasks.spawn(limiter.run(), "leases of running requests")
    away = host.metrics.gauge("hive_edge_limits_away", "1 while the server that counts for limits is away.")
    away.set_function(lambda: float(limiter.away))
    try:
        yield limiter
    finally:
        await limiter.close()
        renewing.cancel()


@asynccontextmanager
async def _door(host: Host, settings: EdgeSettings, keys: Keys, limiter: Limiter) -> AsyncIterator[None]:
    caller = host.caller()
    dropped = host.metrics.counter(
        "hive_edge_request_lines_dropped", "Lines of the request log that the bus did not take in time."
    )
    lines = RequestLog(host.bus, host.clock, dropped)
    requests = Requests(host.metrics, "edge")
    gateway = Gateway(
        keys=keys,
        limiter=limiter,
        caller=caller,
        blobs=host.blobs,
        max_body=host.settings.max_body_bytes,
        requests=requests,
        clock=host.clock,
        log=lines,
    )
    sockets = Sockets(
        keys=keys,
        limiter=limiter,
        channel=host.channel("routing"),
        tasks=host.tasks,
        requests=requests,
        clock=host.clock,
        log=lines,
    )
    control = await host.bus.subscribe_state(ControlChanged, ControlConsumer(keys, limiter).apply)
    in_flight = host.metrics.gauge("hive_edge_in_flight", "Requests that wait for their answer.")
    in_flight.set_function(lambda: caller.in_flight + sockets.open)
    host.health.add("control snapshot", lambda: str(control.failure) if control.failure else None)
    await control.caught_up()
    host.tasks.spawn(_sweep(host, settings.blob_ttl_seconds), "sweep request bodies")
    publishing = host.tasks.spawn(lines.run(), "request log")
    async with host.running():
        host.mount("public", "", gateway)
        for path in PATHS:
            host.mount_socket("public", path, sockets)
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
