"""Budgets of keys: filled before the key is kept, brought to another size, and given back.

Billing keeps the money, console keeps who has a budget, and no transaction spans both. So each budget that is
about to be filled or emptied is noted first (`Store.expect_budget`, `Store.give_budget_up`), and what a crash or
a silent billing leaves undone is done by `run`: no money stays where no key can spend it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakValueDictionary

import structlog

from hive_console.changes import Change, Changes
from hive_console.control import ApiKey
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.money import format_usd

log = structlog.get_logger(__name__)

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
TRIES = 3


@dataclass(frozen=True, slots=True)
class Budget:
    """Nano-dollars. balance: what is left; held: what of it is with those who run calls. balance + used: its size."""

    key_id: str
    tenant_id: str
    balance: int = 0
    held: int = 0
    funded: int = 0
    used: int = 0

    @property
    def size(self) -> int:
        return self.balance + self.used


class Books(Protocol):
    """Where the money is kept. Raises HiveError `unavailable` where billing does not answer."""

    async def fund(self, tenant_id: str, key_id: str, amount: int, cause: str) -> Budget:
        """Move nano-dollars into the budget, or out of it where negative; the same cause moves nothing twice.

        Raises HiveError `budget_exceeded` where there is too little.
        """
        ...

    async def empty(self, tenant_id: str, key_id: str, cause: str) -> Budget:
        """Give back all that no call holds."""
        ...

    async def budgets(self, key_ids: Collection[str]) -> Mapping[str, Budget]:
        """The budgets of these keys, as far as there are any."""
        ...


class Budgets:
    """Raises HiveError `budget_exceeded`, `conflict`, `unavailable`."""

    def __init__(self, books: Books, changes: Changes, clock: Clock) -> None:
        self._books = books
        self._changes = changes
        self._clock = clock
        self._abandoned: set[str] = set()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def of(self, keys: Iterable[ApiKey]) -> Mapping[str, Budget] | None:
        """The budgets of those keys that have one; None where billing does not answer."""
        ids = {key.id: key.tenant_id for key in keys if key.has_budget}
        if not ids:
            return {}
        try:
            found = await self._books.budgets(ids)
        except HiveError as error:
            log.warning("cannot ask billing for budgets", error=error.message)
            return None
        return {id: found.get(id) or Budget(id, tenant_id) for id, tenant_id in ids.items()}

    @asynccontextmanager
    async def alone(self, key_id: str) -> AsyncIterator[None]:
        """Nobody else moves money of this key meanwhile."""
        lock = self._locks.setdefault(key_id, asyncio.Lock())
        async with lock:
            yield

    @asynccontextmanager
    async def expected(self, key_id: str, tenant_id: str) -> AsyncIterator[None]:
        """What is put into the budget in here goes back, unless the caller's change keeps it (`keep`)."""
        self._abandoned.discard(key_id)
        async with self._changes.change() as change:
            await change.store.expect_budget(key_id, tenant_id)
        try:
            yield
        except BaseException:
            self._abandoned.add(key_id)
            raise

    async def keep(self, change: Change, key_id: str) -> None:
        """The budget is the key's with this change; raises HiveError `unavailable` where it was given up meanwhile."""
        if not await change.store.keep_budget(key_id):
            message = "The console was restarted meanwhile. Try again."
            raise HiveError(Kind.UNAVAILABLE, message, retry_after=1)

    async def fill(self, tenant_id: str, key_id: str, amount: int) -> None:
        """The first money of a new key."""
        if amount:
            await self._fund(tenant_id, key_id, amount, f"budget:{key_id}")

    async def resize(self, tenant_id: str, key_id: str, size: int, *, anew: bool) -> None:
        """Move the difference, so that used and remaining together are `size`. anew: the key had no budget before."""
        budget = Budget(key_id, tenant_id)
        for _ in range(TRIES):  # usage changes nothing of the size, but a recharge meanwhile does
            budget = (await self._books.budgets([key_id])).get(key_id) or budget
            if budget.size == size and not anew:
                return
            if size < budget.used:
                raise HiveError(
                    Kind.CONFLICT,
                    f"The key has used ${format_usd(budget.used)} of its budget: it cannot become"
                    f" ${format_usd(size)}.",
                    "budget_usd",
                )
            cause = f"budget:{key_id}:{secrets.token_hex(8)}"
            budget = await self._fund(tenant_id, key_id, size - budget.size, cause)
            if budget.size == size:
                return
        raise HiveError(
            Kind.CONFLICT,
            f"Calls under way hold ${format_usd(budget.held)} of the budget, which is ${format_usd(budget.size)}"
            " now. Try again when they have ended.",
            "budget_usd",
        )

    async def give_back(self, tenant_id: str, key_id: str) -> bool:
        """Empty a budget that was given up (`Store.give_budget_up`); false where something of it is still to come."""
        try:
            budget = await self._books.empty(tenant_id, key_id, f"return:{key_id}:{secrets.token_hex(8)}")
        except HiveError as error:
            if error.kind is not Kind.NOT_FOUND or await self._is_there(tenant_id):
                log.warning("cannot give a budget back yet", key=key_id, error=error.message)
                return False
        else:
            if budget.balance or budget.held:
                return False
        async with self._changes.change() as change:
            await change.store.forget_budget(key_id)
        return True

    async def _fund(self, tenant_id: str, key_id: str, amount: int, cause: str) -> Budget:
        try:
            return await self._books.fund(tenant_id, key_id, amount, cause)
        except HiveError as error:
            if error.kind is not Kind.BUDGET_EXCEEDED:
                raise
            # Too little in the budget itself is no lack of money: calls under way hold it.
            kind = Kind.CONFLICT if amount < 0 else error.kind
            raise HiveError(kind, error.message, "budget_usd") from error

    async def _is_there(self, tenant_id: str) -> bool:
        async with self._changes.read() as store:
            return await store.tenant(tenant_id) is not None

    async def run(self) -> None:
        """Give back what was left undone, until cancelled."""
        pause = FIRST_PAUSE
        while True:
            try:
                done = await self._give_all_back()
            except Exception as error:
                log.warning("cannot give budgets back", error=repr(error))
                done = False
            pause = LONGEST_PAUSE if done else min(pause * 2, LONGEST_PAUSE)
            await self._clock.sleep(pause)

    async def _give_all_back(self) -> bool:
        for key_id in tuple(self._abandoned):
            async with self.alone(key_id):
                if key_id in self._abandoned:
                    async with self._changes.change() as change:
                        await change.store.give_expected_budgets_up(key_id)
                    self._abandoned.discard(key_id)
        async with self._changes.read() as store:
            waiting = await store.returning_budgets()
        done = True
        for key_id, tenant_id in waiting.items():
            async with self.alone(key_id):
                async with self._changes.read() as store:
                    still = key_id in await store.returning_budgets()
                done = (not still or await self.give_back(tenant_id, key_id)) and done
        return done
