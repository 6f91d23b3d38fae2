"""Recharges by rule: one charge for any number of needs, also across a crash, and never more than the rule says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select

from hive_billing.accounts import Rule
from hive_billing.leases import Granted, Short
from hive_billing.payments import PaymentRefused, Sandbox
from hive_billing.tables import payments, recharges

DOLLAR = 1_000_000_000
RULE = Rule(below=DOLLAR, amount=20 * DOLLAR, times_per_day=3)
DAY = 86_400


@pytest.fixture
async def poor(open_house: Any, charges: Any) -> Any:
    """Prepaid tenant `t` with nothing, which is recharged by $20, at most three times a day; key `k`."""
    async with open_house(payments=charges) as house:
        house.tenant(recharge=RULE)
        house.key()
        yield house


async def test_fifty_needs_at_once_make_one_charge(poor: Any, charges: Any) -> None:
    answers = await asyncio.gather(*(poor.acquire(DOLLAR // 10) for _ in range(50)))
    assert all(isinstance(answer, Granted) for answer in answers)
    assert sum(each.amount for answer in answers for each in answer.slices) == 20 * DOLLAR
    assert min(each.amount for answer in answers for each in answer.slices) >= DOLLAR // 10
    assert list(charges.charged.values()) == [20 * DOLLAR]
    assert await poor.balance("wallet:t") == 20 * DOLLAR
    assert await poor.balance("funding:fake") == -20 * DOLLAR


@pytest.mark.parametrize("trouble", ["before", "after"])
async def test_a_charge_whose_answer_was_lost_is_asked_for_again_under_its_key(
    poor: Any, charges: Any, trouble: str
) -> None:
    charges.trouble = [trouble, trouble]
    asked = asyncio.ensure_future(poor.acquire(DOLLAR))
    for _ in range(2):
        async with asyncio.timeout(5):
            while not poor.clock.sleepers:
                await asyncio.sleep(0)
        poor.clock.advance(1)
    assert isinstance(await asked, Granted)
    assert len(charges.charged) == 1


async def test_fifty_needs_make_one_charge_even_where_the_process_dies_before_it_is_posted(
    poor: Any, charges: Any
) -> None:
    charges.trouble = ["after"]  # charged, and then the process dies before it hears of it
    asked = [asyncio.ensure_future(poor.acquire(DOLLAR // 10)) for _ in range(50)]
    async with asyncio.timeout(5):
        while not charges.charged:
            await asyncio.sleep(0)
    await poor.crash()
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    await poor.start()
    answers = await asyncio.gather(*(poor.acquire(DOLLAR // 10) for _ in range(50)))
    assert all(isinstance(answer, Granted) for answer in answers)
    assert list(charges.charged.values()) == [20 * DOLLAR]
    assert await poor.balance("wallet:t") == 20 * DOLLAR


async def test_the_sandbox_remembers_what_it_charged(poor: Any) -> None:
    sandbox = Sandbox(poor.database, poor.clock)
    first = await sandbox.charge("key", "t", 5)
    assert await Sandbox(poor.database, poor.clock).charge("key", "t", 5) == first
    async with poor.database.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(payments))).scalar() == 1


async def test_there_are_so_many_a_day_as_the_rule_says(poor: Any, charges: Any) -> None:
    for _ in range(3):
        await poor.lent(20 * DOLLAR)
    assert await poor.short(1) == ("wallet:t", 0)
    await poor.restart()
    assert await poor.short(1) == ("wallet:t", 0)
    assert len(charges.charged) == 3
    poor.clock.advance(DAY)
    await poor.lent(60 * DOLLAR + 1)  # what it had is free again, for it was not heard of for so long
    assert len(charges.charged) == 4


async def test_what_the_rule_cannot_bring_is_refused_without_a_charge(poor: Any, charges: Any) -> None:
    assert await poor.short(61 * DOLLAR) == ("wallet:t", 0)
    assert charges.charged == {}
    await poor.lent(60 * DOLLAR)
    assert len(charges.charged) == 3


async def test_a_refused_payment_is_not_tried_again_at_once(poor: Any, charges: Any) -> None:
    charges.refusal = PaymentRefused("card declined")
    assert await poor.short(DOLLAR) == ("wallet:t", 0)
    charges.refusal = None
    assert await poor.short(DOLLAR) == ("wallet:t", 0)
    poor.clock.advance(60)
    await poor.lent(DOLLAR)
    assert len(charges.charged) == 1


async def test_a_slow_payment_is_waited_for_a_while_and_comes_all_the_same(poor: Any, charges: Any) -> None:
    charges.open.clear()
    poor.lender.recharge_seconds = 0.01
    assert isinstance(await poor.acquire(DOLLAR), Short)
    charges.open.set()
    await poor.settled()
    assert await poor.balance("wallet:t") == 20 * DOLLAR


async def test_a_posting_that_leaves_too_little_recharges(poor: Any, charges: Any) -> None:
    await poor.bookkeeper.credit("t", DOLLAR, "first", "manual")
    assert charges.charged == {}
    await poor.settle(poor.usage(1))
    await poor.settled()
    assert len(charges.charged) == 1
    assert await poor.balance("wallet:t") == 21 * DOLLAR - 1


async def test_metered_tenants_are_never_charged(poor: Any, charges: Any) -> None:
    poor.tenant(prepaid=False, recharge=RULE)
    await poor.lent(DOLLAR)
    assert charges.charged == {}


class TestBudgets:
    """A key's budget is recharged from its tenant's money."""

    async def test_from_the_wallet(self, house: Any) -> None:
        house.key("b", has_budget=True, recharge=Rule(below=5, amount=100, times_per_day=2))
        assert await house.lent(10, key="b") == {"budget:b": 100}
        assert await house.balance("wallet:t") == 10 * DOLLAR - 100
        await house.lent(100, key="b")
        assert await house.short(1, key="b") == ("budget:b", 0)

    async def test_fifty_needs_at_once_move_it_once(self, house: Any) -> None:
        house.key("b", has_budget=True, recharge=Rule(below=5, amount=100, times_per_day=9))
        answers = await asyncio.gather(*(house.acquire(2, key="b") for _ in range(50)))
        assert all(isinstance(answer, Granted) for answer in answers)
        assert await house.balance("budget:b") == 100

    async def test_from_idle_money_of_the_wallet(self, house: Any) -> None:
        house.key("b", has_budget=True, recharge=Rule(below=5, amount=100, times_per_day=2))
        await house.lent()
        assert await house.short(10, key="b") == ("budget:b", 0)
        house.clock.advance(6)
        house.holders.idle["h", "wallet:t"] = 1000
        assert await house.lent(10, key="b") == {"budget:b": 100}

    async def test_a_wallet_that_has_less_gives_what_it_has(self, house: Any) -> None:
        house.key("b", has_budget=True, recharge=Rule(below=5, amount=11 * DOLLAR, times_per_day=2))
        assert await house.lent(10, key="b") == {"budget:b": 10 * DOLLAR}

    async def test_a_wallet_that_has_less_is_recharged_itself(self, poor: Any, charges: Any) -> None:
        poor.key("b", has_budget=True, recharge=Rule(below=5, amount=100, times_per_day=2))
        assert await poor.lent(10, key="b") == {"budget:b": 100}
        assert len(charges.charged) == 1
        assert await poor.balance("wallet:t") == 20 * DOLLAR - 100

    async def test_from_what_a_metered_tenant_owes(self, house: Any) -> None:
        house.tenant(prepaid=False)
        house.key("b", has_budget=True, recharge=Rule(below=5, amount=100, times_per_day=2))
        assert await house.lent(10, key="b") == {"budget:b": 100}
        assert await house.balance("receivable:t") == -100

    async def test_a_posting_that_leaves_too_little_of_it_recharges(self, house: Any) -> None:
        house.key("b", has_budget=True, recharge=Rule(below=50, amount=100, times_per_day=2))
        await house.bookkeeper.fund("t", "b", 60, "fund", empty=False)
        await house.settle(house.usage(20, key_id="b", scopes=("budget:b",)))
        await house.settled()
        assert await house.balance("budget:b") == 140


async def test_one_pending_recharge_per_wallet_is_a_rule_of_the_table(poor: Any, charges: Any) -> None:
    charges.open.clear()
    asked = asyncio.ensure_future(poor.acquire(DOLLAR))
    async with asyncio.timeout(5):
        while not await poor.writer.ask(lambda books, found: dict(books.pending)):
            await asyncio.sleep(0)
    row = {
        "id": "other",
        "account": "wallet:t",
        "tenant_id": "t",
        "amount": 1,
        "state": "pending",
        "day": 1,
        "created_ms": 1,
        "payment_id": "",
    }
    with pytest.raises(Exception, match=r"(?i)unique"):
        async with poor.database.transaction() as connection:
            await connection.execute(recharges.insert(), row)
    charges.open.set()
    await asked
