"""The whole gateway in one process: every service, composed. Read this file to see what runs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import uvloop

from hive_analytics.service import analytics_service
from hive_analytics.settings import AnalyticsSettings
from hive_billing.service import billing_service
from hive_billing.settings import BillingSettings
from hive_console.service import console_service
from hive_console.settings import ConsoleSettings
from hive_edge.service import edge_service
from hive_edge.settings import EdgeSettings
from hive_guardrails.service import guardrails_service
from hive_host import Process
from hive_routing.service import routing_service
from hive_routing.settings import RoutingSettings
from hive_runtime.otel import configure_tracing
from hive_runtime.settings import HostSettings
from hive_runtime.telemetry import configure_logging


@dataclass(frozen=True, slots=True)
class Started:
    """What a person at the terminal wants to know once everything runs."""

    url: str
    internal_url: str
    first_key: str | None
    new_admin_token: str | None


async def serve(settings: HostSettings, stop: asyncio.Event, on_ready: Callable[[Started], None]) -> None:
    """Run every service until `stop` is set, then drain: first the doors, then the services behind them."""
    async with Process(settings) as process, AsyncExitStack() as services:
        console = await services.enter_async_context(
            console_service(process.host("console"), ConsoleSettings())
        )
        await services.enter_async_context(billing_service(process.host("billing"), BillingSettings()))
        await services.enter_async_context(analytics_service(process.host("analytics"), AnalyticsSettings()))
        await services.enter_async_context(guardrails_service(process.host("guardrails")))
        await services.enter_async_context(routing_service(process.host("routing"), RoutingSettings()))
        await services.enter_async_context(edge_service(process.host("edge"), EdgeSettings()))

        def ready() -> None:
            urls = {name: listener.url for name, listener in process.listeners.items()}
            new_token = console.admin_token if console.admin_token_created else None
            on_ready(Started(urls["public"], urls["internal"], console.first_key, new_token))

        await process.serve_until(stop, ready)


def run(on_ready: Callable[[Started], None]) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends at once."""
    os.umask(0o077)  # what is written here is for this user alone: prompts, keys, databases
    settings = HostSettings()
    configure_logging(settings.log_level, settings.log_format)

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _stop, loop, number, stop)
        await serve(settings, stop, on_ready)

    with (
        configure_tracing("modelhive", settings.instance or "modelhive-0"),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(main())


def _stop(loop: asyncio.AbstractEventLoop, number: signal.Signals, stop: asyncio.Event) -> None:
    stop.set()
    loop.remove_signal_handler(number)
