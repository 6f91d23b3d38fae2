"""Recharges by rule: a wallet by a payment, a key's budget from its tenant's money; one at a time for each.

Whoever needs one waits for the one that runs. A payment is written down before it is asked for, under the id that
makes it one payment however often it is asked for; what was pending when the process died is taken up again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import structlog

from hive_billing import funding, ledger, windows
from hive_billing.accounts import Accounts, Rule, Tenant
from hive_billing.books import Books, Recharge
from hive_billing.loading import Found
from hive_billing.payments import PaymentProvider, PaymentRefused
from hive_billing.writer import Writer
from hive_bus.port import Retry
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError
from hive_runtime.tasks import Tasks

log = structlog.get_logger(__name__)

REST_MS = 60_000
"""For so long after a payment was refused no other one is tried."""

REST_SECONDS = 5.0
"""For so long after one that brought nothing none begins by itself: only a call that needs it begins one."""

Recall = Callable[[str, int], Awaitable[int]]
"""Scope and how much is missing of it; how much holders gave back."""


class Recharger:
    def __init__(
        self,
        writer: Writer,
        accounts: Accounts,
        payments: PaymentProvider,
        recall: Recall,
        clock: Clock,
        tasks: Tasks,
        retry: Retry = Retry(),
    ) -> None:
        self._writer = writer
        self._accounts = accounts
        self._payments = payments
        self._recall = recall
        self._clock = clock
        self._tasks = tasks
        self._retry = retry
        self._running: dict[str, asyncio.Task[bool]] = {}
        self._rests: dict[str, float] = {}
        self.brought: dict[str, int] = {}
        """How many recharges of each account brought something since the start."""

    async def resume(self) -> None:
        """Take up the payments that were pending when the process ended."""
        for account in await self._writer.ask(lambda books, found: list(books.pending)):
            self.start(account)

    def start(self, account: str) -> asyncio.Task[bool]:
        """Recharge a wallet or budget as its rule says, unless that runs already; true where money came."""
        task = self._running.get(account)
        if task is None:
            task = self._running[account] = self._tasks.spawn(self._run(account), f"recharge {account}")
        return task

    def has_rule(self, account: str) -> bool:
        return self._accounts.rule_of(account) is not None

    def start_where_low(self, books: Books, account: str) -> None:
        """Called for balances that changed."""
        found = self._accounts.rule_of(account)
        if found is None or account in self._running or books.balance(account) >= found[1].below:
            return
        if may_recharge(books, account, found[1]) and self._rests.get(account, 0) <= self._clock.monotonic():
            self.start(account)

    async def could_bring(self, account: str, amount: int) -> bool:
        """So much could come today by the account's rule."""
        found = self._accounts.rule_of(account)
        if found is None:
            return False
        rule = found[1]
        return await self._writer.ask(lambda books, found: left_today(books, account, rule) >= amount)

    async def _run(self, account: str) -> bool:
        came = False
        try:
            if account.startswith("wallet:"):
                came = await self._recharge_wallet(account)
            elif found := self._accounts.rule_of(account):
                came = await self._recharge_budget(account, *found)
        except HiveError as error:
            log.warning("a recharge did not begin", account=account, error=error.message)
        finally:
            del self._running[account]
        if came:
            self.brought[account] = self.brought.get(account, 0) + 1
        else:
            self._rests[account] = self._clock.monotonic() + REST_SECONDS
        return came

    async def _recharge_budget(self, account: str, tenant: Tenant, rule: Rule) -> bool:
        if not await self._writer.ask(lambda books, found: may_recharge(books, account, rule)):
            return False
        if tenant.prepaid:
            await self._gather(ledger.wallet(tenant.id), rule.amount)
        id = f"rch_{uuid4().hex}"

        def move(books: Books, found: Found) -> bool:
            if not may_recharge(books, account, rule):
                return False
            moved = funding.top_up(books, tenant, ledger.owner_id(account), rule.amount, f"recharge:{id}")
            if moved <= 0:
                return False
            day = windows.day_of(books.now_ms)
            books.note_recharge(Recharge(id, account, tenant.id, moved, "paid", day, books.now_ms))
            return True

        return await self._writer.ask(move, durable=True)

    async def _gather(self, wallet: str, amount: int) -> None:
        """Get so much of a wallet free, as far as that is possible."""

        def lack(books: Books, found: Found) -> int:
            return amount - books.free(wallet)

        missing = await self._writer.ask(lack)
        if missing > 0:
            await self._recall(wallet, missing)
            missing = await self._writer.ask(lack)
        if missing > 0 and self.has_rule(wallet):
            await asyncio.shield(self.start(wallet))

    async def _recharge_wallet(self, account: str) -> bool:
        recharge = await self._writer.ask(lambda books, found: self._begin(books, account), durable=True)
        if recharge is None:
            return False
        failures = 0
        while True:
            try:
                payment_id = await self._payments.charge(recharge.id, recharge.tenant_id, recharge.amount)
                await self._finish(recharge._replace(state="paid", payment_id=payment_id))
            except PaymentRefused as error:
                log.warning("a payment was refused", tenant=recharge.tenant_id, error=str(error))
                await self._finish(recharge._replace(state="failed"))
                return False
            except Exception as error:
                log.warning("a payment waits", tenant=recharge.tenant_id, error=repr(error))
                await self._clock.sleep(self._retry.pause_after(failures))
                failures += 1
            else:
                return True

    def _begin(self, books: Books, account: str) -> Recharge | None:
        """The payment to be made: the one that is pending, or a new one where the rule allows it."""
        if account in books.pending:
            return books.pending[account]
        found = self._accounts.rule_of(account)
        if found is None or not may_recharge(books, account, found[1]):
            return None
        tenant, rule = found
        day = windows.day_of(books.now_ms)
        id = f"rch_{uuid4().hex}"
        recharge = Recharge(id, account, tenant.id, rule.amount, "pending", day, books.now_ms)
        books.note_recharge(recharge)
        return recharge

    async def _finish(self, recharge: Recharge) -> None:
        cause = f"recharge:{recharge.payment_id}"

        def finish(books: Books, found: Found) -> None:
            if recharge.state == "paid":
                name = self._payments.name
                funding.recharge(books, found.causes, recharge.tenant_id, recharge.amount, cause, name)
            books.note_recharge(recharge)

        await self._writer.ask(finish, causes=(cause,), durable=True)


def may_recharge(books: Books, account: str, rule: Rule) -> bool:
    """The rule allows one more today, and none was refused just now."""
    return left_today(books, account, rule) > 0


def left_today(books: Books, account: str, rule: Rule) -> int:
    """How much the rule may still bring today. Nano-dollars."""
    failed = books.failed.get(account)
    if failed is not None and books.now_ms - failed < REST_MS:
        return 0
    done = books.recharged.get((account, windows.day_of(books.now_ms)), 0)
    return max(0, rule.amount) * max(0, rule.times_per_day - done)
