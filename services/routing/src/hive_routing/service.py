"""Routing's wiring: snapshots of control and prices, money, the providers, the pipeline, the way requests come in."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from hive_bus import Subscription
from hive_host import Host
from hive_routing.bank import HolderDoor, RpcBank
from hive_routing.breaker import Breaker
from hive_routing.catalogue import Catalogue
from hive_routing.consumers import ControlConsumer, PriceConsumer
from hive_routing.dispatch import Dispatcher, Policy
from hive_routing.holds import Purse
from hive_routing.http import RoutingApp
from hive_routing.journal import Journal
from hive_routing.pipeline import Pipeline
from hive_routing.prices import PriceBook
from hive_routing.providers.registry import Providers
from hive_routing.recovery import recover
from hive_routing.rest import rest_app
from hive_routing.settings import RoutingSettings
from hive_routing.spending import Spending
from hive_routing.tokens import TokenCounter
from hive_routing.usage_log import JournaledLog
from hive_runtime.errors import HiveError
from hive_runtime.sealing import credentials_key
from modelhive.billing.v1.leases_pb2_grpc import LeasesStub
from modelhive.control.v1.control_pb2 import ControlChanged
from modelhive.events.v1.ledger_pb2 import PriceListed
from modelhive.events.v1.receipts_pb2_grpc import ReceiptsStub

log = structlog.get_logger(__name__)

KEEPERS = ("billing", "analytics")
"""Who keeps usage for good: the journal forgets what both have."""
RENEW_SECONDS = 20.0
"""A third of the time for which billing lends."""
STOP_SECONDS = 5.0


@asynccontextmanager
async def routing_service(host: Host, settings: RoutingSettings) -> AsyncIterator[None]:
    """Entered: what an earlier start left open is settled, and requests are answered.

    Left: every one that was taken has its answer, what it used is told, and idle money is given back.
    """
    given = settings.credentials_key.get_secret_value() if settings.credentials_key else None
    key = await asyncio.to_thread(credentials_key, given, host.data_dir)
    catalogue, prices = Catalogue(), PriceBook()
    providers = Providers(key, host.clock, host.tasks)
    control = await host.bus.subscribe_state(ControlChanged, ControlConsumer(catalogue, providers).apply)
    listed = await host.bus.subscribe_state(PriceListed, PriceConsumer(prices).apply)
    _watch(host, "control", control)
    _watch(host, "price", listed)

    holder = f"{host.instance}-{secrets.token_hex(6)}"
    leases = LeasesStub(host.channel("billing"))
    receipts = {name: ReceiptsStub(host.channel(name)) for name in KEEPERS}
    journals = host.data_dir / "journal"
    await recover(journals, host.bus, receipts, leases, host.clock, host.tasks)
    journal = await asyncio.to_thread(Journal.create, journals, holder)
    usage = JournaledLog(journal, host.bus, receipts, leases, host.clock)
    purse = Purse(RpcBank(host.channel("billing"), holder, host.address, host.clock), host.clock)
    host.serve(HolderDoor.attach, HolderDoor(purse, holder))
    counter = TokenCounter()
    spending = Spending(purse, prices, usage, counter, host.clock)
    host.answer(_app(host, settings, catalogue, spending, counter))
    _measure(host, usage, purse)
    host.tasks.spawn(usage.run(), "usage log")
    renewing = host.tasks.spawn(_renew(host, purse), "leases")
    try:
        await control.caught_up()
        await listed.caught_up()
        async with host.running():
            yield
    finally:
        await control.close()
        await listed.close()
        await providers.close()
        renewing.cancel()
        await _give_back(purse)
        await usage.drain(STOP_SECONDS)
        await usage.leave()


def _app(
    host: Host, settings: RoutingSettings, catalogue: Catalogue, spending: Spending, counter: TokenCounter
) -> RoutingApp:
    breaker = Breaker(host.clock, settings.routing_breaker_failures, settings.routing_breaker_seconds)
    policy = Policy(attempts=settings.routing_attempts, rounds=settings.routing_rounds)
    dispatcher = Dispatcher(host.clock, breaker, policy, random.Random())
    pipeline = Pipeline(catalogue, dispatcher, spending, counter, host.clock)
    return RoutingApp(pipeline, rest_app(catalogue, counter))


def _watch(host: Host, name: str, snapshot: Subscription) -> None:
    host.health.add(f"routing's {name} snapshot", lambda: str(snapshot.failure) if snapshot.failure else None)


def _measure(host: Host, usage: JournaledLog, purse: Purse) -> None:
    host.health.add("routing's usage log", lambda: usage.trouble or None)
    figures = {
        "hive_routing_usage_unkept": ("Usage events that not all who keep them have.", lambda: usage.unkept),
        "hive_routing_attempts_open": ("Calls to models that are under way.", lambda: usage.open_attempts),
        "hive_routing_journal_failures": ("Records that the disk refused.", lambda: usage.failures),
        "hive_routing_held_nanos": ("Nano-dollars that requests hold, over all scopes.", lambda: purse.held),
    }
    for name, (says, value) in figures.items():
        host.metrics.gauge(name, says, ("instance",)).labels(host.instance).set_function(value)


async def _renew(host: Host, purse: Purse) -> None:
    while True:
        await host.clock.sleep(RENEW_SECONDS)
        try:
            await purse.renew()
        except HiveError as error:
            log.warning("leases could not be renewed", error=error.message)


async def _give_back(purse: Purse) -> None:
    """What cannot be given back now is free when its time is over."""
    try:
        await purse.close()
    except HiveError as error:
        log.warning("leases could not be given back", error=error.message)
