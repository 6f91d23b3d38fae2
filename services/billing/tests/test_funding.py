"""Money that comes in and moves, and that balance + used = funded whatever happens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hive_runtime.errors import HiveError, Kind

DOLLAR = 1_000_000_000
ALL = 10 * DOLLAR


async def test_a_credit_is_posted_once(house: Any) -> None:
    cause, posted, wallet = await house.bookkeeper.credit("t", 5, "gift", "manual", "for you")
    assert (cause, posted, wallet.balance) == ("gift", True, ALL + 5)
    await house.restart()
    cause, posted, wallet = await house.bookkeeper.credit("t", 5, "gift", "manual")
    assert (cause, posted, wallet.balance) == ("gift", False, ALL + 5)
    assert (await house.ledger())[1].note == "for you"


async def test_the_same_cause_twice_at_once_is_posted_once(house: Any) -> None:
    done = await asyncio.gather(*(house.bookkeeper.credit("t", 5, "gift", "manual") for _ in range(10)))
    assert sorted(posted for _, posted, _ in done) == [False] * 9 + [True]
    assert await house.balance("wallet:t") == ALL + 5


async def test_the_same_cause_with_another_amount_is_refused_and_told(house: Any) -> None:
    with pytest.raises(HiveError) as caught:
        await house.bookkeeper.credit("t", 7, "first", "manual")
    assert caught.value.kind is Kind.CONFLICT
    assert house.conflicts == ["first"]


async def test_credits_without_a_cause_are_each_their_own(house: Any) -> None:
    causes = {(await house.bookkeeper.credit("t", 5, "", ""))[0] for _ in range(3)}
    assert len(causes) == 3
    assert await house.balance("funding:manual") == -ALL - 15


@pytest.mark.parametrize("amount", [0, -5])
async def test_a_credit_is_more_than_nothing(house: Any, amount: int) -> None:
    with pytest.raises(HiveError) as caught:
        await house.bookkeeper.credit("t", amount, "x", "manual")
    assert caught.value.kind is Kind.INVALID


async def test_unknown_tenants_are_not_found(house: Any) -> None:
    for call in (
        house.bookkeeper.credit("nobody", 5, "x", "manual"),
        house.bookkeeper.wallet("nobody"),
        house.bookkeeper.fund("nobody", "k", 5, "x", empty=False),
    ):
        with pytest.raises(HiveError) as caught:
            await call
        assert caught.value.kind is Kind.NOT_FOUND


async def test_a_budget_is_funded_before_its_key_is_known(house: Any) -> None:
    posted, budget = await house.bookkeeper.fund("t", "new", 100, "fund", empty=False)
    assert posted and (budget.balance, budget.funded, budget.tenant_id) == (100, 100, "t")
    assert not (await house.bookkeeper.fund("t", "new", 100, "fund", empty=False))[0]
    house.key("new", has_budget=True)
    assert await house.lent(key="new") == {"budget:new": 100}
    wallet = await house.bookkeeper.wallet("t")
    assert (wallet.balance, wallet.budgets, wallet.funded) == (ALL - 100, 100, ALL)


async def test_what_the_wallet_does_not_have_is_refused(house: Any) -> None:
    with pytest.raises(HiveError, match=r"The wallet cannot give \$11.00: \$10.00 of it is free") as caught:
        await house.bookkeeper.fund("t", "k", 11 * DOLLAR, "fund", empty=False)
    assert caught.value.kind is Kind.BUDGET_EXCEEDED
    assert await house.balance("budget:k") == 0


async def test_idle_money_is_called_back_for_a_budget(house: Any) -> None:
    await house.lent()
    house.holders.idle["h", "wallet:t"] = ALL
    await house.bookkeeper.fund("t", "b", 4, "fund", empty=False)
    assert await house.balance("budget:b") == 4
    assert await house.leases() == {("h", "wallet:t"): ALL - 4}


async def test_money_goes_back_as_far_as_it_is_not_leased(house: Any) -> None:
    house.key("b", has_budget=True)
    await house.bookkeeper.fund("t", "b", 100, "fund", empty=False)
    await house.lent(key="b")
    with pytest.raises(HiveError, match=r"The budget cannot give"):
        await house.bookkeeper.fund("t", "b", -40, "back", empty=False)
    house.holders.idle["h", "budget:b"] = 60
    _, budget = await house.bookkeeper.fund("t", "b", -40, "back", empty=False)
    assert (budget.balance, budget.leased, budget.funded) == (60, 60, 60)


async def test_an_emptied_budget_gives_the_rest_when_it_gets_free(house: Any) -> None:
    house.key("b", has_budget=True)
    await house.bookkeeper.fund("t", "b", 100, "fund", empty=False)
    await house.lent(key="b")
    house.holders.idle["h", "budget:b"] = 70
    posted, budget = await house.bookkeeper.fund("t", "b", 0, "empty", empty=True)
    assert posted and (budget.balance, budget.leased) == (30, 30)
    await house.restart()
    await house.settle(house.usage(20, key_id="b", carried=20, scopes=("budget:b",)))
    await house.lender.give_back("h", {}, last=True, settled=True)
    assert await house.balance("budget:b") == 0
    assert await house.balance("wallet:t") == ALL - 20


async def test_a_budget_that_is_wanted_again_keeps_what_gets_free(house: Any) -> None:
    house.key("b", has_budget=True)
    await house.bookkeeper.fund("t", "b", 100, "fund", empty=False)
    await house.lent(key="b")
    await house.bookkeeper.fund("t", "b", 0, "empty", empty=True)
    await house.bookkeeper.fund("t", "b", 0, "again", empty=False)
    await house.restart()
    await house.lender.give_back("h", {}, last=True, settled=True)
    assert await house.balance("budget:b") == 100


async def test_metered_tenants_owe_what_their_budgets_hold(house: Any) -> None:
    house.tenant("m", prepaid=False)
    await house.bookkeeper.fund("m", "mk", 100, "fund", empty=False)
    await house.settle(house.usage(30, tenant_id="m", key_id="mk", scopes=("budget:mk",)))
    wallet = await house.bookkeeper.wallet("m")
    assert (wallet.receivable, wallet.budgets, wallet.used, wallet.funded) == (100, 70, 30, 0)
    assert wallet.balance + wallet.budgets + wallet.used == wallet.funded + wallet.receivable
    await house.bookkeeper.fund("m", "mk", 0, "empty", empty=True)
    assert (await house.bookkeeper.wallet("m")).receivable == 30


async def test_budgets_are_listed_by_tenant_and_by_key(house: Any) -> None:
    house.tenant("u", prepaid=False)
    for tenant, key in (("t", "b"), ("t", "a"), ("u", "c")):
        await house.bookkeeper.fund(tenant, key, 1, f"fund {key}", empty=False)
    assert [each.key_id for each in await house.bookkeeper.budgets()] == ["a", "b", "c"]
    assert [each.key_id for each in await house.bookkeeper.budgets("t")] == ["a", "b"]
    assert [each.key_id for each in await house.bookkeeper.budgets("", ["c", "a", "none"])] == ["a", "c"]
