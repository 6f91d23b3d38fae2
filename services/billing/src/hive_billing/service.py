"""Billing, wired: entered = money can be lent and usage settles, left = what was taken is posted and told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from hive_billing.accounts import Accounts
from hive_billing.bookkeeper import Bookkeeper
from hive_billing.books import Books, Draft
from hive_billing.consumers import ControlConsumer, UsageConsumer
from hive_billing.figures import Figures
from hive_billing.holder_calls import HolderCalls
from hive_billing.lender import Lender
from hive_billing.payments import PaymentProvider, Sandbox
from hive_billing.price_list import PriceList
from hive_billing.publisher import Publisher
from hive_billing.recharges import Recharger
from hive_billing.rooms import Room, room_of
from hive_billing.rpc import BooksDoor, LeasesDoor, ReceiptsDoor
from hive_billing.settings import BillingSettings
from hive_billing.writer import BATCH, Writer
from hive_bus import Batch, Options, Retry
from hive_host import Host
from hive_runtime.errors import HiveError
from hive_sql import Database, open_database
from modelhive.control.v1.control_pb2 import ControlChanged
from modelhive.events.v1.usage_pb2 import UsageRecorded

log = structlog.get_logger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
FIRST_TENANT = "default"
BATCH_SECONDS = 0.05
EXPIRY_SECONDS = 5.0
STOP_SECONDS = 10.0

# No attempt may get lost because the database was away for long: only then does settling fail.
PATIENT = Options(retry=Retry(tries=10_000, longest_pause=5.0))


@dataclass(frozen=True, slots=True)
class Billing:
    """The parts of the running service."""

    accounts: Accounts
    writer: Writer
    lender: Lender
    bookkeeper: Bookkeeper
    recharger: Recharger
    publisher: Publisher
    prices: PriceList
    database: Database


@asynccontextmanager
async def billing_service(
    host: Host, settings: BillingSettings, payments: PaymentProvider | None = None
) -> AsyncIterator[Billing]:
    """payments: who recharges wallets; else what the settings name. Raises SchemaTooNew."""
    async with AsyncExitStack() as stack:
        durable = await stack.enter_async_context(open_database(host.sql_url, MIGRATIONS, durable=True))
        quick = Database(host.sql_url)
        stack.push_async_callback(quick.close)
        room = room_of(host.sql_url, durable)
        stack.push_async_callback(room.close)
        billing = _build(host, settings, quick, room, payments or Sandbox(durable, host.clock))
        await billing.publisher.open(await billing.writer.open())
        work = [
            host.tasks.spawn(billing.writer.run(), "billing writer"),
            host.tasks.spawn(billing.publisher.run(), "billing publisher"),
        ]
        try:
            async with _serving(host, settings, billing, work):
                yield billing
        finally:
            await _stop(billing, work)


def _build(
    host: Host, settings: BillingSettings, quick: Database, room: Room, payments: PaymentProvider
) -> Billing:
    accounts = Accounts()
    figures = Figures(host.metrics)

    def committed(draft: Draft, books: Books) -> None:
        figures.note(draft, books)
        publisher.put(draft.postings)
        for account in draft.balances:
            recharger.start_where_low(books, account)

    writer = Writer(room, accounts, host.clock, settings.spans, committed)
    calls = HolderCalls(host.channel, host.tasks, writer.live_addresses)
    lender = Lender(writer, accounts, calls, host.clock)
    recharger = Recharger(writer, accounts, payments, lender.recall, host.clock, host.tasks)
    lender.recharger = recharger
    publisher = Publisher(quick, host.bus, writer, host.clock)
    bookkeeper = Bookkeeper(writer, accounts, lender.recall)
    prices = PriceList(quick, host.bus, host.clock, settings.ceiling)
    return Billing(accounts, writer, lender, bookkeeper, recharger, publisher, prices, quick)


@asynccontextmanager
async def _serving(
    host: Host, settings: BillingSettings, billing: Billing, work: list[asyncio.Task[None]]
) -> AsyncIterator[None]:
    calls = HolderCalls(host.channel, host.tasks, billing.writer.live_addresses)
    bus, prices = host.bus, billing.prices
    control = await bus.subscribe_state(ControlChanged, ControlConsumer(billing.accounts, calls.forget).apply)
    priced = await bus.subscribe_state(ControlChanged, prices.apply)
    taker = UsageConsumer(billing.bookkeeper).take
    usage = await bus.subscribe_batches(UsageRecorded, "billing", taker, Batch(BATCH, BATCH_SECONDS), PATIENT)
    subscriptions = {"control snapshot": control, "prices' control snapshot": priced, "usage": usage}
    for name, subscription in subscriptions.items():
        host.health.add(f"billing's {name}", lambda it=subscription: _words(it.failure))  # type: ignore[misc]
    host.health.add("billing's writer", lambda: _words(billing.writer.failure))
    host.health.add("billing's publisher", lambda: _words(billing.publisher.failure))
    host.health.add("billing's prices", lambda: _words(prices.failure))
    host.serve(LeasesDoor.attach, LeasesDoor(billing.lender, billing.bookkeeper, settings.spans.grantable))
    host.serve(BooksDoor.attach, BooksDoor(billing.bookkeeper, billing.database, prices))
    host.serve(ReceiptsDoor.attach, ReceiptsDoor(billing.writer))
    try:
        await control.caught_up()
        await priced.caught_up()
        await prices.settle()
        work.append(host.tasks.spawn(prices.run(), "billing prices"))
        work.append(host.tasks.spawn(_expire(host, billing.lender), "billing leases expire"))
        await _bootstrap(billing, settings)
        await billing.recharger.resume()
        async with host.running():
            yield
    finally:
        for subscription in subscriptions.values():
            await subscription.close()


async def _bootstrap(billing: Billing, settings: BillingSettings) -> None:
    if settings.bootstrap_credit:
        cause = f"bootstrap:{FIRST_TENANT}"
        try:
            await billing.bookkeeper.credit(FIRST_TENANT, settings.bootstrap_credit, cause, "bootstrap")
        except HiveError as error:
            log.warning("the first wallet was not credited", error=error.message)


async def _expire(host: Host, lender: Lender) -> None:
    while True:
        await host.clock.sleep(EXPIRY_SECONDS)
        try:
            await lender.expire()
        except HiveError as error:
            log.warning("leases could not be looked through", error=error.message)


async def _stop(billing: Billing, work: Sequence[asyncio.Task[None]]) -> None:
    """What the bus does not take now is told at the next start."""
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await billing.writer.drain()
            await billing.publisher.flush()
    except Exception as error:
        log.warning("postings wait for the next start", error=repr(error))
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)


def _words(failure: Exception | None) -> str | None:
    return None if failure is None else f"{type(failure).__name__}: {failure}"
