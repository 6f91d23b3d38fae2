"""Routing's wiring: the control snapshot, the providers, the pipeline, and the way requests come in."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hive_host import Host
from hive_routing.breaker import Breaker
from hive_routing.catalogue import Catalogue
from hive_routing.consumers import ControlConsumer
from hive_routing.dispatch import Dispatcher, Policy
from hive_routing.http import RoutingApp
from hive_routing.pipeline import Pipeline
from hive_routing.providers.registry import Providers
from hive_routing.rest import rest_app
from hive_routing.settings import RoutingSettings
from hive_routing.tokens import TokenCounter
from hive_runtime.sealing import credentials_key
from modelhive.control.v1.control_pb2 import ControlChanged


@asynccontextmanager
async def routing_service(host: Host, settings: RoutingSettings) -> AsyncIterator[None]:
    """Entered: requests are answered. Left: every one that was taken has its answer, providers are closed."""
    given = settings.credentials_key.get_secret_value() if settings.credentials_key else None
    key = await asyncio.to_thread(credentials_key, given, host.data_dir)
    catalogue = Catalogue()
    providers = Providers(key, host.clock, host.tasks)
    control = await host.bus.subscribe_state(ControlChanged, ControlConsumer(catalogue, providers).apply)
    host.health.add("routing's control snapshot", lambda: str(control.failure) if control.failure else None)
    host.answer(_app(host, settings, catalogue))
    try:
        await control.caught_up()
        async with host.running():
            yield
    finally:
        await control.close()
        await providers.close()


def _app(host: Host, settings: RoutingSettings, catalogue: Catalogue) -> RoutingApp:
    breaker = Breaker(host.clock, settings.routing_breaker_failures, settings.routing_breaker_seconds)
    policy = Policy(attempts=settings.routing_attempts, rounds=settings.routing_rounds)
    dispatcher = Dispatcher(host.clock, breaker, policy, random.Random())
    counter = TokenCounter()
    pipeline = Pipeline(catalogue, dispatcher, counter, host.clock)
    return RoutingApp(pipeline, rest_app(catalogue, counter))
