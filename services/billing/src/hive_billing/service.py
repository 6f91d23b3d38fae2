"""Billing, wired: entered = money can be lent and usage settles, left = what was taken is posted and told.

Where several processes share the tables one of them keeps the books, and the others stand by.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from hive_billing.figures import Figures
from hive_billing.office import Office
from hive_billing.ownership import OwnedDatabase, ownership_of
from hive_billing.payments import PaymentProvider, Sandbox
from hive_billing.rooms import room_of
from hive_billing.settings import BillingSettings
from hive_billing.work import Place
from hive_host import Host
from hive_sql import Waiting, open_database

MIGRATIONS = Path(__file__).parent / "migrations"


@asynccontextmanager
async def billing_service(
    host: Host, settings: BillingSettings, payments: PaymentProvider | None = None
) -> AsyncIterator[Office]:
    """payments: who recharges wallets; else what the settings name. Raises SchemaTooNew."""
    url, waiting = host.sql_url, Waiting()
    host.health.add("billing's database", waiting)
    async with AsyncExitStack() as stack:
        durable = await stack.enter_async_context(
            open_database(url, MIGRATIONS, durable=True, migrate=host.settings.migrate, waiting=waiting)
        )
        ownership = ownership_of(url, durable, host.instance, settings.billing_takeover_seconds, host.clock)
        owned = OwnedDatabase(url, ownership)
        stack.push_async_callback(owned.close)
        room = room_of(url, owned)
        stack.push_async_callback(room.close)
        paid_by, figures = payments or Sandbox(durable, host.clock), Figures(host.metrics)
        office = Office(Place(host, settings, owned, room, paid_by, figures, ownership.check), ownership)
        stop = asyncio.Event()
        turns = host.tasks.spawn(office.take_turns(stop), "billing's turns")
        try:
            await office.settled(turns)
            async with host.running():
                yield office
        finally:
            stop.set()
            await asyncio.gather(turns, return_exceptions=True)
