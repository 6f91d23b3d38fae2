"""Routing's wiring: snapshots of control and prices, money, the providers, the pipeline, the way requests come in."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError

from hive_bus import Subscription
from hive_host import Host
from hive_routing.bank import HolderDoor, RpcBank
from hive_routing.breaker import Breaker
from hive_routing.cache_door import CacheDoor
from hive_routing.caching import Cache, Flights, Local, Port, Shared
from hive_routing.caching.hive import MOST_KEPT, HiveCache
from hive_routing.caching.terms import TermsBook
from hive_routing.catalogue import Catalogue
from hive_routing.choosing.mirrors import Mirrors
from hive_routing.consumers import ControlConsumer, PriceConsumer
from hive_routing.dispatch import Dispatcher, Policy
from hive_routing.guard_calls import GuardCalls
from hive_routing.holds import Purse
from hive_routing.http import RoutingApp
from hive_routing.idempotency import MIGRATIONS, IdempotencyStore, Owners
from hive_routing.journal import Journal, Living
from hive_routing.model_calls import WatchedLog
from hive_routing.once import Once
from hive_routing.pipeline import Pipeline
from hive_routing.prices import PriceBook, PriceTag
from hive_routing.providers.moderation import built_in_models
from hive_routing.providers.registry import Providers
from hive_routing.realtime.opening import Opener
from hive_routing.realtime_door import open_realtime
from hive_routing.recovery import recover
from hive_routing.rest import rest_app
from hive_routing.resuming import Resuming
from hive_routing.settings import RoutingSettings
from hive_routing.spending import Spending
from hive_routing.stored.opening import open_stored
from hive_routing.stored.runner import Runner
from hive_routing.stored.store import AnswerStore
from hive_routing.tokens import TokenCounter
from hive_routing.usage_log import JournaledLog
from hive_runtime.errors import HiveError
from hive_runtime.money import Tariff
from hive_runtime.sealing import credentials_key
from hive_runtime.telemetry import Requests
from hive_sql import Waiting, open_database
from modelhive.billing.v1.leases_pb2_grpc import LeasesStub
from modelhive.control.v1.control_pb2 import ControlChanged
from modelhive.events.v1.ledger_pb2 import PriceListed
from modelhive.events.v1.receipts_pb2_grpc import ReceiptsStub

log = structlog.get_logger(__name__)

KEEPERS = ("billing", "analytics")
"""Who keeps usage for good: the journal forgets what both have."""
LOOK_SECONDS = 0.5
"""How often it is looked whether the leases have to be renewed: at a third of the time for which billing lends."""
STOP_SECONDS = 5.0
SWEEP_SECONDS = 3600.0
MIB = 1024 * 1024


@asynccontextmanager
async def routing_service(host: Host, settings: RoutingSettings) -> AsyncIterator[None]:
    """Entered: what an earlier start left open is settled, and requests are answered.

    Left: every one that was taken has its answer, what it used is told, and idle money is given back.
    """
    given = settings.credentials_key.get_secret_value() if settings.credentials_key else None
    key = await asyncio.to_thread(credentials_key, given, host.data_dir)
    built_in = built_in_models(host.channel("guardrails"))
    catalogue, prices, terms = Catalogue(built_in), PriceBook(), TermsBook(settings.cache_seconds)
    for model in built_in:
        prices.put(PriceTag(f"model/{model.id}", 0, Tariff.of(())))
    providers = Providers(key, host.clock, host.tasks, are_traced=settings.trace_providers)
    control = await host.bus.subscribe_state(
        ControlChanged, ControlConsumer(catalogue, providers, terms).apply
    )
    listed = await host.bus.subscribe_state(PriceListed, PriceConsumer(prices).apply)
    _watch(host, "control", control)
    _watch(host, "price", listed)

    holder = f"{host.instance}-{secrets.token_hex(6)}"
    leases = LeasesStub(host.channel("billing"))
    receipts = {name: ReceiptsStub(host.channel(name)) for name in KEEPERS}
    journals = host.data_dir / "journal"
    living = await asyncio.to_thread(Living, journals)
    await recover(journals, host.bus, receipts, leases, host.clock, host.tasks)
    journal = await asyncio.to_thread(Journal.create, journals, holder)
    usage = JournaledLog(journal, host.bus, receipts, leases, host.clock)
    bank = RpcBank(host.channel("billing"), holder, host.address, host.clock, lambda: journal.sequence)
    purse = Purse(bank, host.clock)
    host.serve(HolderDoor.attach, HolderDoor(purse, holder))
    counter = TokenCounter()
    spending = Spending(purse, prices, WatchedLog(usage, host.metrics), counter, host.clock)
    answers = _answers(host, settings)
    hive_cache = HiveCache(answers, Flights(MOST_KEPT), terms, host.clock)
    host.serve(CacheDoor.attach, CacheDoor(answers))
    guards = GuardCalls(host.channel("guardrails"), host.tasks, host.clock)
    mirrors = Mirrors(catalogue, host.tasks, random.Random())
    _measure(host, usage, purse)
    host.tasks.spawn(usage.run(), "usage log")
    renewing = host.tasks.spawn(_renew(host, purse), "leases")
    try:
        waiting = Waiting()
        host.health.add("routing's database", waiting)
        opening = open_database(host.sql_url, MIGRATIONS, migrate=host.settings.migrate, waiting=waiting)
        async with opening as database:
            owners = Owners(database, holder, living.known, host.clock)
            records = IdempotencyStore(database, owners.is_alive, host.clock)
            host.tasks.spawn(_sweep(host, records, owners), "sweep idempotency records")
            once = Once(records, holder, host.clock)
            dispatcher = _dispatcher(host, settings, prices, owners)
            pipeline = Pipeline(
                catalogue, once, guards, hive_cache, spending, dispatcher, counter, host.clock, mirrors
            )
            requests = Requests(host.metrics, "routing")
            stored = open_stored(
                pipeline,
                once,
                catalogue,
                counter,
                database,
                key,
                holder,
                owners.is_alive,
                settings.background_at_once,
                host.clock,
            )
            host.tasks.spawn(_sweep_answers(host, stored.answers, settings.stored_days), "sweep answers")
            _measure_background(host, stored.runner)
            rest = rest_app(catalogue, counter)
            realtime = open_realtime(host, rest, Opener(catalogue, guards, spending, host.tasks), key)
            app = RoutingApp(pipeline, stored.door, rest, requests, host.clock)
            resuming = Resuming(app, host.tasks, host.clock, host.instance, settings.resume_mb * MIB)
            _measure_streams(host, resuming)
            host.answer(resuming)
            await control.caught_up()
            await listed.caught_up()
            making = stored.runner.running(host.tasks, STOP_SECONDS)
            async with _alive(host, owners, living), making, resuming, host.running(), realtime:
                yield
    finally:
        await mirrors.close()
        await control.close()
        await listed.close()
        await providers.close()
        renewing.cancel()
        await _give_back(purse)
        await usage.drain(STOP_SECONDS)
        await usage.leave()


def _answers(host: Host, settings: RoutingSettings) -> Port:
    """Those that are kept, by this process or by all together."""
    if host.valkey is None:
        return Local(Cache(host.clock, settings.cache_mb * MIB, MOST_KEPT))
    return Shared(host.valkey, host.clock, MOST_KEPT)


def _dispatcher(host: Host, settings: RoutingSettings, prices: PriceBook, owners: Owners) -> Dispatcher:
    breaker = Breaker(host.clock, settings.routing_breaker_failures, settings.routing_breaker_seconds)
    policy = Policy(attempts=settings.routing_attempts, rounds=settings.routing_rounds)
    return Dispatcher(
        host.clock, breaker, policy, random.Random(), prices.of_deployment, lambda: owners.living
    )


def _watch(host: Host, name: str, snapshot: Subscription) -> None:
    host.health.add(f"routing's {name} snapshot", lambda: str(snapshot.failure) if snapshot.failure else None)


def _measure(host: Host, usage: JournaledLog, purse: Purse) -> None:
    host.health.add("routing's journal", lambda: usage.failure or None)
    host.health.note("routing's usage log", lambda: usage.trouble or None)
    figures = {
        "hive_routing_usage_unkept": ("Usage events that not all who keep them have.", lambda: usage.unkept),
        "hive_routing_attempts_open": ("Calls to models that are under way.", lambda: usage.open_attempts),
        "hive_routing_journal_failures": ("Records that the disk refused.", lambda: usage.failures),
        "hive_routing_held_nanos": ("Nano-dollars that requests hold, over all scopes.", lambda: purse.held),
    }
    _show(host, figures)


def _measure_streams(host: Host, resuming: Resuming) -> None:
    figures = {
        "hive_routing_streams_alone": ("Streams that go on without a client.", lambda: resuming.alone),
        "hive_routing_resume_bytes": (
            "Bytes of streams, kept for their clients.",
            lambda: resuming.held_bytes,
        ),
    }
    _show(host, figures)


def _show(host: Host, figures: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
    for name, (says, value) in figures.items():
        host.metrics.gauge(name, says, ("instance",)).labels(host.instance).set_function(value)


def _measure_background(host: Host, runner: Runner) -> None:
    says = "Answers that are being made in the background."
    gauge = host.metrics.gauge("hive_routing_background", says, ("instance",))
    gauge.labels(host.instance).set_function(lambda: runner.making)


async def _renew(host: Host, purse: Purse) -> None:
    renewed = host.clock.monotonic()
    while True:
        await host.clock.sleep(LOOK_SECONDS)
        if host.clock.monotonic() - renewed < purse.lent_seconds / 3:
            continue
        renewed = host.clock.monotonic()
        try:
            await purse.renew()
        except HiveError as error:
            log.warning("leases could not be renewed", error=error.message)


@asynccontextmanager
async def _alive(host: Host, owners: Owners, living: Living) -> AsyncIterator[None]:
    """Others know that this process lives, and which ones of this machine do not."""
    await owners.forget(living.ended)
    await owners.beat()
    beating = host.tasks.spawn(owners.run(), "signs of life")
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.wait([beating], timeout=STOP_SECONDS)
        await owners.leave()


async def _sweep(host: Host, records: IdempotencyStore, owners: Owners) -> None:
    while True:
        try:
            await records.sweep(round(host.clock.now() * 1000))
            await owners.sweep()
        except (HiveError, SQLAlchemyError) as error:
            log.warning("old idempotency records could not be deleted", error=str(error))
        await host.clock.sleep(SWEEP_SECONDS)


async def _sweep_answers(host: Host, answers: AnswerStore, days: int) -> None:
    while True:
        try:
            await answers.sweep(round(host.clock.now() * 1000), days)
        except (HiveError, SQLAlchemyError) as error:
            log.warning("old answers could not be deleted", error=str(error))
        await host.clock.sleep(SWEEP_SECONDS)


async def _give_back(purse: Purse) -> None:
    """What cannot be given back now is free when its time is over."""
    try:
        await purse.close()
    except HiveError as error:
        log.warning("leases could not be given back", error=error.message)
