"""Who works: this process while it owns the books, and nobody here while another one does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from hive_billing.ownership import Ownership
from hive_billing.price_feed import StateDoor
from hive_billing.price_list import PriceList
from hive_billing.rpc import BooksDoor, LeasesDoor, ReceiptsDoor
from hive_billing.standby import Doors
from hive_billing.work import Billing, Place, at_work
from hive_runtime.errors import HiveError

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.25
"""How often who stands by looks whether the books are free, and pause before they are opened again."""


class Office:
    """billing: None while this process stands by."""

    def __init__(self, place: Place, ownership: Ownership) -> None:
        """Puts up doors and health checks: they are there before anybody works behind them."""
        self.billing: Billing | None = None
        self._place = place
        self._ownership = ownership
        self._doors = Doors()
        self._settled = asyncio.Event()
        host, door = place.host, self._doors.door
        host.serve(LeasesDoor.attach, door("leases"))
        host.serve(BooksDoor.attach, door("books"))
        host.serve(ReceiptsDoor.attach, door("receipts"))
        host.serve(StateDoor.attach, StateDoor(self._prices, host.clock))
        host.health.add("billing", self._complaint)
        host.health.note("billing's records", self._note)

    async def settled(self, turns: asyncio.Task[None]) -> None:
        """Returns when this process works, or has seen that another one does. Raises why it can do neither."""
        settled = asyncio.ensure_future(self._settled.wait())
        await asyncio.wait({settled, turns}, return_when=asyncio.FIRST_COMPLETED)
        settled.cancel()
        if turns.done():
            await turns

    async def take_turns(self, stop: asyncio.Event) -> None:
        """Until `stop`: work whenever the books are this process's."""
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                if await self._try_to_take():
                    await self._take_turn(stopping)
                else:
                    self._settled.set()
                pause = asyncio.ensure_future(self._place.host.clock.sleep(LOOK_SECONDS))
                await asyncio.wait({pause, stopping}, return_when=asyncio.FIRST_COMPLETED)
                pause.cancel()
        finally:
            stopping.cancel()

    async def _try_to_take(self) -> bool:
        try:
            return await self._ownership.try_to_take()
        except HiveError as error:
            log.info("nobody knows who keeps the books", error=repr(error.__cause__ or error))
            return False

    async def _take_turn(self, stopping: asyncio.Task[bool]) -> None:
        """Work until the books are lost, or `stopping`. Raises what the first turn failed with."""
        leave = asyncio.Event()
        renewing = self._place.host.tasks.spawn(self._ownership.keep(), "billing's books renewed")
        work = asyncio.ensure_future(self._work(leave))
        try:
            await asyncio.wait({renewing, stopping, work}, return_when=asyncio.FIRST_COMPLETED)
            if self.billing is None or renewing.done():
                work.cancel()  # it is not open yet, or not ours any more: there is nothing to finish
            leave.set()
            await asyncio.wait({work})
        finally:
            work.cancel()
            [error] = await asyncio.gather(work, return_exceptions=True)
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            await self._ownership.release()
        if isinstance(error, Exception):
            if not self._settled.is_set():
                raise error
            log.error("the work on the books ended", error=repr(error), exc_info=error)

    async def _work(self, leave: asyncio.Event) -> None:
        async with at_work(self._place) as billing:
            self.billing = billing
            self._doors.open(
                leases=LeasesDoor(billing.lender, billing.bookkeeper, self._place.settings.spans.grantable),
                books=BooksDoor(billing.bookkeeper, billing.database, billing.prices),
                receipts=ReceiptsDoor(billing.writer),
            )
            self._settled.set()
            try:
                await leave.wait()
            finally:
                self._doors.shut()
                self.billing = None

    def _prices(self) -> PriceList | None:
        return None if self.billing is None else self.billing.prices

    def _complaint(self) -> str | None:
        if self.billing is None:
            return "standby: another process keeps the books"
        return _words(self.billing.failures())

    def _note(self) -> str | None:
        return None if self.billing is None else _words(self.billing.delays())


def _words(failures: Mapping[str, Exception | None]) -> str | None:
    return "; ".join(f"{name}: {type(it).__name__}: {it}" for name, it in failures.items() if it) or None
