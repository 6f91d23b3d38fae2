"""Billing at work: its parts over the tables, what they hear, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import structlog

from hive_billing.accounts import Accounts
from hive_billing.bookkeeper import Bookkeeper
from hive_billing.books import Books, Draft
from hive_billing.consumers import ControlConsumer, UsageConsumer
from hive_billing.figures import Figures
from hive_billing.holder_calls import HolderCalls
from hive_billing.lender import Lender
from hive_billing.payments import PaymentProvider
from hive_billing.price_list import PriceList
from hive_billing.publisher import Publisher
from hive_billing.recharges import Recharger
from hive_billing.rooms import Room
from hive_billing.settings import BillingSettings
from hive_billing.writer import BATCH, Writer
from hive_bus import Batch, Options, Retry, Subscription
from hive_host import Host
from hive_runtime.errors import HiveError
from hive_sql import Database
from modelhive.control.v1.control_pb2 import ControlChanged
from modelhive.events.v1.usage_pb2 import UsageRecorded

log = structlog.get_logger(__name__)

FIRST_TENANT = "default"
BATCH_SECONDS = 0.2
"""How long usage waits for more of it: pages of the tables and commits cost by the batch. What was lent carries it
meanwhile, so that nobody waits for money."""
BOOTSTRAP_SECONDS = 0.5
EXPIRY_SECONDS = 5.0
STOP_SECONDS = 10.0

# No attempt may get lost because the database was away for long. One that the books refuse must not hold up the
# others: it is a dead letter.
PATIENT = Options(retry=Retry(longest_pause=5.0, outwaits_absence=True))


@dataclass(frozen=True, slots=True)
class Billing:
    """The parts, and what they hear."""

    accounts: Accounts
    writer: Writer
    lender: Lender
    bookkeeper: Bookkeeper
    recharger: Recharger
    publisher: Publisher
    prices: PriceList
    database: Database
    hears: dict[str, Subscription] = field(default_factory=dict)

    def failures(self) -> Mapping[str, Exception | None]:
        """What does not go on by itself, by part."""
        heard = {name: subscription.failure for name, subscription in self.hears.items()}
        return heard | {"writer": self.writer.failure}

    def delays(self) -> Mapping[str, Exception | None]:
        """What is told later, by part: it waits in the books, and the books go on."""
        return {"publisher": self.publisher.failure, "prices": self.prices.failure}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the parts work. check: HiveError where this process may not speak for the books."""

    host: Host
    settings: BillingSettings
    database: Database
    room: Room
    payments: PaymentProvider
    figures: Figures
    check: Callable[[], None]


@asynccontextmanager
async def at_work(place: Place) -> AsyncIterator[Billing]:
    """Entered: the books are open, and usage settles. Left: what was taken is posted and told.

    Where the books were lost meanwhile nothing is posted any more: whoever has them does that.
    """
    billing, spawn = _build(place), place.host.tasks.spawn
    work: list[asyncio.Task[None]] = []
    try:
        await billing.publisher.open(await billing.writer.open())
        work.append(spawn(billing.writer.run(), "billing writer"))
        work.append(spawn(billing.publisher.run(), "billing publisher"))
        async with _hearing(place, billing):
            await _settle_prices(billing.prices)
            work.append(spawn(billing.prices.run(), "billing prices"))
            work.append(spawn(_expire(place.host, billing.lender), "billing leases expire"))
            if not await _bootstrap(billing, place.settings):
                work.append(spawn(_bootstrap_later(place, billing), "billing first credit"))
            await billing.recharger.resume()
            yield billing
    finally:
        await _finish(billing)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)


def _build(place: Place) -> Billing:
    host, check, database = place.host, place.check, place.database
    accounts = Accounts()

    def committed(draft: Draft, books: Books) -> None:
        place.figures.note(draft, books)
        publisher.put(draft.postings)
        for account in draft.balances:
            recharger.start_where_low(books, account)

    writer = Writer(place.room, accounts, host.clock, place.settings.spans, committed, check)
    calls = HolderCalls(host.channel, host.tasks, writer.live_addresses)
    lender = Lender(
        writer, accounts, calls, host.clock, host.tasks, fewest_holders=place.settings.billing_holders
    )
    recharger = Recharger(writer, accounts, place.payments, lender.recall, host.clock, host.tasks)
    lender.recharger = recharger
    publisher = Publisher(database, host.bus, writer, host.clock, check=check)
    bookkeeper = Bookkeeper(writer, accounts, lender.recall)
    prices = PriceList(database, host.bus, host.clock, place.settings.ceiling, check=check)
    return Billing(accounts, writer, lender, bookkeeper, recharger, publisher, prices, database)


@asynccontextmanager
async def _hearing(place: Place, billing: Billing) -> AsyncIterator[None]:
    """Entered: all tenants and keys are known, and what they use is taken. Left: nothing is taken any more."""
    host, bus = place.host, place.host.bus
    calls = HolderCalls(host.channel, host.tasks, billing.writer.live_addresses)
    control = ControlConsumer(billing.accounts, calls.forget).apply
    taker, batch = UsageConsumer(billing.bookkeeper).take, Batch(BATCH, BATCH_SECONDS)
    async with AsyncExitStack() as stack:
        for name, apply in (("control snapshot", control), ("prices' snapshot", billing.prices.apply)):
            billing.hears[name] = await bus.subscribe_state(ControlChanged, apply)
            stack.push_async_callback(billing.hears[name].close)
        for snapshot in [*billing.hears.values()]:
            await snapshot.caught_up()
        usage = await bus.subscribe_batches(UsageRecorded, "billing", taker, batch, PATIENT)
        billing.hears["usage"] = usage
        stack.push_async_callback(usage.close)
        stack.callback(_leave_if_lost, place, billing)
        yield


def _leave_if_lost(place: Place, billing: Billing) -> None:
    try:
        place.check()
    except HiveError:
        billing.writer.leave()


async def _settle_prices(prices: PriceList) -> None:
    try:
        await prices.settle()
    except HiveError as error:
        log.warning("prices are told later", error=error.message)


async def _bootstrap(billing: Billing, settings: BillingSettings) -> bool:
    """Credit the first wallet, once for ever; false where that is to be tried again."""
    if not settings.bootstrap_credit:
        return True
    cause = f"bootstrap:{FIRST_TENANT}"
    try:
        await billing.bookkeeper.credit(FIRST_TENANT, settings.bootstrap_credit, cause, "bootstrap")
    except HiveError as error:
        log.info("the first wallet is not credited yet", error=error.message)
        return False
    return True


async def _bootstrap_later(place: Place, billing: Billing) -> None:
    """Where all services start for the first time, console may name the tenant after billing is ready."""
    while True:
        await place.host.clock.sleep(BOOTSTRAP_SECONDS)
        if await _bootstrap(billing, place.settings):
            return


async def _expire(host: Host, lender: Lender) -> None:
    while True:
        await host.clock.sleep(EXPIRY_SECONDS)
        try:
            await lender.expire()
        except HiveError as error:
            log.warning("leases could not be looked through", error=error.message)


async def _finish(billing: Billing) -> None:
    """What the bus does not take now is told at the next start."""
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await billing.writer.drain()
            await billing.publisher.flush()
    except Exception as error:
        log.warning("postings wait for the next start", error=repr(error))
    billing.writer.leave()
