"""Who pays how much of what was used; on both databases, to the nano-dollar."""

from __future__ import annotations

import asyncio
from itertools import permutations
from typing import Any, cast

import pytest

from hive_billing.accounts import Caps
from hive_billing.bookkeeper import Bookkeeper
from hive_billing.books import Posted
from hive_billing.holders import Kept
from hive_billing.ledger import PostingKind
from hive_billing.loading import Found
from hive_billing.rerate import Repricing

DOLLAR = 1_000_000_000
DAY = 86_400
ALL = 10 * DOLLAR


async def test_the_lease_carries_the_cost_and_what_is_left_of_it_stays(house: Any) -> None:
    assert await house.lent() == {"wallet:t": ALL}
    await house.settle(house.usage(3, provider_cost=2, carried=3))
    assert await house.balances() == {
        "wallet:t": ALL - 3,
        "funding:manual": -ALL,
        "revenue": 3,
        "provider_cost:p": -2,
        "payable:p": 2,
    }
    assert await house.leases() == {("h", "wallet:t"): ALL - 3}


async def test_what_the_lease_does_not_carry_comes_from_free_money_then_from_the_operator(house: Any) -> None:
    await house.lent(holder="h")
    await house.lender.give_back("h", {"wallet:t": 5}, last=False, settled=False)
    await house.settle(house.usage(12, carried=4))
    assert await house.balance("wallet:t") == ALL - 4 - 5
    assert await house.balance("overrun") == -(12 - 4 - 5)
    assert await house.free("wallet:t") == 0
    assert await house.leases() == {("h", "wallet:t"): ALL - 5 - 4}


async def test_a_lease_that_is_gone_carries_nothing(house: Any) -> None:
    await house.lent(holder="other")
    await house.settle(house.usage(7, carried=7, holder="gone"))
    assert await house.balance("overrun") == -7
    assert await house.balance("wallet:t") == ALL


async def test_the_scarcest_scope_decides(house: Any) -> None:
    house.key("k", caps=Caps(day=10))
    usage = house.usage(12, scopes=("wallet:t", "cap:key/k:day:2026-11-25"))
    await house.settle(usage)
    assert await house.balance("wallet:t") == ALL - 10
    assert await house.balance("overrun") == -2
    assert await house.free("cap:key/k:day:2026-11-25") == 0


async def test_metered_usage_is_owed_and_nothing_binds_it(house: Any) -> None:
    house.tenant("m", prepaid=False)
    await house.settle(house.usage(9, tenant_id="m", key_id="mk", scopes=()))
    assert await house.balance("receivable:m") == -9
    wallet = await house.bookkeeper.wallet("m")
    assert (wallet.receivable, wallet.used, wallet.balance, wallet.prepaid) == (9, 9, 0, False)


async def test_a_budget_pays_where_the_key_has_one(house: Any) -> None:
    house.key("b", has_budget=True)
    await house.bookkeeper.fund("t", "b", 100, "fund", empty=False)
    await house.settle(house.usage(30, key_id="b", scopes=("budget:b",)))
    assert await house.balance("budget:b") == 70
    [budget] = await house.bookkeeper.budgets("t")
    assert (budget.balance, budget.used, budget.funded) == (70, 30, 100)


async def test_the_same_cause_again_changes_nothing(house: Any) -> None:
    usage = house.usage(3, provider_cost=2)
    await house.settle(usage, usage)
    await house.settle(usage)
    await house.restart()
    await house.settle(usage)
    assert len(await house.ledger()) == 2
    assert house.conflicts == []


async def test_the_same_cause_with_another_amount_is_told_and_the_first_stands(house: Any) -> None:
    usage = house.usage(3, request_id="r")
    await house.settle(usage)
    await house.settle(house.usage(4, request_id="r"))
    assert house.conflicts == ["usage:r:1.1"]
    assert await house.balance("revenue") == 3


async def test_usage_that_costs_nobody_anything_is_kept_but_not_posted(house: Any) -> None:
    await house.settle(house.usage(0, sequence=1))
    assert len(await house.ledger()) == 1
    assert house.writer.kept("h") == 1


async def test_what_was_carried_of_something_free_is_released_once(house: Any) -> None:
    await house.lent()
    usage = house.usage(0, carried=5, sequence=1)
    await house.settle(usage)
    await house.settle(usage)
    assert await house.leases() == {("h", "wallet:t"): ALL - 5}


class TestAttempts:
    """Of one request the tenant pays the highest attempt that costs; every provider's cost is on the books."""

    async def test_a_lower_attempt_that_was_posted_first_is_moved_to_the_operator(self, house: Any) -> None:
        await house.settle(house.usage(30, request_id="r", provider_cost=20))
        await house.settle(house.usage(50, request_id="r", call=2, provider_cost=40))
        assert await house.balances() == {
            "wallet:t": ALL - 50,
            "funding:manual": -ALL,
            "overrun": -30,
            "revenue": 80,
            "provider_cost:p": -60,
            "payable:p": 60,
        }
        correction = (await house.ledger())[2]
        assert correction.kind is PostingKind.CORRECTION
        assert (correction.cause, correction.corrects) == ("correction:usage:r:1.1", "usage:r:1.1")
        assert correction.entries == (("wallet:t", 30), ("overrun", -30))

    async def test_a_lower_attempt_that_comes_later_is_the_operators(self, house: Any) -> None:
        await house.settle(house.usage(50, request_id="r", attempt=2))
        await house.settle(house.usage(30, request_id="r"))
        assert await house.balance("wallet:t") == ALL - 50
        assert await house.balance("overrun") == -30

    async def test_an_attempt_that_costs_nothing_supersedes_none(self, house: Any) -> None:
        await house.settle(house.usage(30, request_id="r"))
        await house.settle(house.usage(0, request_id="r", call=2, provider_cost=7))
        assert await house.balance("wallet:t") == ALL - 30
        assert await house.balance("payable:p") == 7

    @pytest.mark.parametrize("room", [0, 4, 25, 1000])
    async def test_order_does_not_matter(self, open_house: Any, room: int) -> None:
        """Not even where money is short: three attempts, partly carried, in every order."""
        ends = set()
        async with open_house() as house:
            for number, order in enumerate(permutations(((1, 1), (1, 2), (2, 1)))):
                tenant, key = f"t{number}", f"k{number}"
                house.tenant(tenant)
                house.key(key, tenant)
                await house.bookkeeper.credit(tenant, 60 + room, f"first {number}", "manual")
                await house.lent(tenant=tenant, key=key)
                await house.lender.give_back("h", {f"wallet:{tenant}": room}, last=False, settled=False)
                for attempt, call in order:
                    await house.settle(
                        house.usage(
                            10 * attempt + 20 * call,
                            request_id=f"r{number}",
                            attempt=attempt,
                            call=call,
                            tenant_id=tenant,
                            key_id=key,
                            provider_cost=5,
                            carried=8,
                            scopes=(f"wallet:{tenant}",),
                        )
                    )
                wallet = await house.bookkeeper.wallet(tenant)
                ends.add((wallet.balance, wallet.leased, wallet.used))
        assert ends == {(60 + room - min(40, 24 + room), 60 - 24, min(40, 24 + room))}


# case, attempts as (cost, provider's cost, estimated), what the tenant pays, what the providers get
GREY_CASES = [
    ("answered from the cache at the default price", [(0, 0, False)], 0, 0),
    ("answered from the cache at a price of the tenant's", [(7, 0, False)], 7, 0),
    ("the client leaves in mid-stream", [(41_250, 33_000, False)], 41_250, 33_000),
    ("the provider dies in mid-stream", [(12_500, 12_500, True)], 12_500, 12_500),
    ("our process dies in mid-stream", [(9_001, 9_001, True)], 9_001, 9_001),
    ("the provider answers an error", [(0, 0, False)], 0, 0),
    ("the provider charges for an answer without content", [(0, 810, False)], 0, 810),
    ("retried", [(0, 0, False), (100, 80, False)], 100, 80),
    ("fallen back after a break", [(37, 37, True), (100, 80, False)], 100, 117),
    ("a guardrail blocks the prompt", [(0, 0, False)], 0, 0),
    ("a guardrail blocks the output", [(5_555, 5_555, False)], 5_555, 5_555),
    ("a batch line fails", [(0, 0, False)], 0, 0),
]


@pytest.mark.parametrize(
    ("case", "attempts", "pays", "charged"), GREY_CASES, ids=[each[0] for each in GREY_CASES]
)
async def test_grey_cases(house: Any, case: str, attempts: Any, pays: int, charged: int) -> None:
    await house.lent(100_000)
    for call, (cost, provider_cost, estimated) in enumerate(attempts, 1):
        usage = house.usage(
            cost, request_id="r", call=call, provider_cost=provider_cost, estimated=estimated, carried=cost
        )
        await house.settle(usage)
    assert await house.balance("wallet:t") == ALL - pays
    assert await house.balance("payable:p") == charged
    assert await house.free("wallet:t") == sum(cost for cost, _, _ in attempts) - pays
    assert {p.estimated for p in await house.ledger() if p.kind is PostingKind.USAGE} <= {
        e for _, _, e in attempts
    }


async def test_ten_thousand_attempts_on_a_dollar_never_make_it_less_than_nothing(open_house: Any) -> None:
    """Each may cost $0.0002 at most and half of them do: the dollar is enough for all; the books never exceed it."""
    async with open_house() as house:
        house.tenant()
        house.key("b", has_budget=True)
        await house.bookkeeper.credit("t", DOLLAR, "first", "manual")
        await house.bookkeeper.fund("t", "b", DOLLAR, "fund", empty=False)
        assert await house.lent(key="b") == {"budget:b": DOLLAR}
        usages = [
            house.usage(
                200_000 if number % 2 else 100_000,
                key_id="b",
                scopes=("budget:b",),
                carried=200_000 if number % 2 else 100_000,
                sequence=number + 1,
            )
            for number in range(10_000)
        ]
        paid = 0
        batches = [usages[start : start + 100] for start in range(0, len(usages), 100)]
        await asyncio.gather(*(house.settle(*batch) for batch in batches))
        budget = (await house.bookkeeper.budgets("t"))[0]
        paid = budget.used
        assert paid == DOLLAR and budget.balance == 0 and budget.leased == 0
        assert await house.balance("overrun") == -(1_500_000_000 - DOLLAR)
        assert house.writer.kept("h") == 10_000


async def test_receipts_stop_at_the_first_gap(house: Any) -> None:
    await house.settle(*(house.usage(1, sequence=number) for number in (1, 2, 4, 6)))
    assert house.writer.kept("h") == 2
    await house.restart()
    assert house.writer.kept("h") == 2
    await house.settle(house.usage(1, sequence=3))
    assert house.writer.kept("h") == 4
    assert house.writer.kept("nobody") == 0


def test_kept_numbers() -> None:
    kept = Kept()
    for number in (5, 3, 2, 5):
        kept.add(number)
    assert kept.through == 0 and kept.strays == [2, 3, 5] and 3 in kept and 4 not in kept
    kept.add(1)
    assert kept.through == 3 and kept.strays == [5] and 2 in kept
    kept.add(4)
    assert kept.through == 5 and kept.strays == []


async def test_caps_count_by_the_day_on_which_it_happened(house: Any) -> None:
    house.key("k", caps=Caps(day=100, week=1000, month=10_000))
    yesterday = round((house.clock.now() - DAY) * 1000)
    await house.settle(house.usage(30, occurred_ms=yesterday), house.usage(5))
    await house.restart()
    assert await house.free("cap:key/k:day:2026-11-25") == 95
    assert await house.free("cap:key/k:day:2026-11-24") == 70
    assert await house.free("cap:key/k:week:2026-11-23") == 965
    assert await house.free("cap:key/k:month:2026-11-01") == 9965
    await house.settle(house.usage(7, occurred_ms=yesterday))
    assert await house.free("cap:key/k:day:2026-11-24") == 63
    assert await house.free("cap:key/k:week:2026-11-23") == 958


async def test_a_tenants_cap_counts_all_its_keys(house: Any) -> None:
    house.tenant(caps=Caps(day=100))
    house.key("k2")
    await house.settle(house.usage(30), house.usage(20, key_id="k2"))
    assert await house.free("cap:tenant/t:day:2026-11-25") == 50


@pytest.mark.parametrize("restarts", [False, True])
async def test_what_is_remembered_of_the_ledger_is_never_too_little(
    house: Any, monkeypatch: pytest.MonkeyPatch, restarts: bool
) -> None:
    monkeypatch.setattr("hive_billing.books.REMEMBERED", 2)
    ids = ["req_3", "req_1", "req_5", "req_4", "req_2", "req_6"]
    firsts = [house.usage(7, request_id=id) for id in ids]
    for number, usage in enumerate(firsts, 1):
        await house.settle(usage)
        if restarts:
            await house.restart()
        for known in firsts[:number]:
            await house.settle(known)
    for id in ids:
        await house.settle(house.usage(3, request_id=id, attempt=2))
    assert await house.balance("wallet:t") == ALL - 3 * len(ids)
    assert await house.balance("revenue") == 10 * len(ids)
    assert house.conflicts == []


async def test_of_a_batch_a_job_looks_at_its_own_requests_alone(house: Any) -> None:
    day, other = "cap:key/k:day:2026-11-25", "cap:tenant/t:week:2026-11-23"
    mine = house.usage(7, request_id="req_1", scopes=("wallet:t", day))
    await house.settle(mine, house.usage(7, request_id="req_2", scopes=("wallet:t", other)))
    found = Found()
    for posting in house.posted:
        found.requests.setdefault(posting.request_id, []).append(posting)
    asked: list[Any] = []

    class Writer:
        async def ask(self, decide: Any, **needs: Any) -> None:
            asked.append(needs["scopes"](found))

    bookkeeper = Bookkeeper(cast(Any, Writer()), house.accounts, house.lender.recall)
    await bookkeeper.settle([house.usage(3, request_id="req_1", attempt=2)])
    first = next(each for each in house.posted if each.request_id == "req_1")
    await bookkeeper.reprice([Repricing(first, 1, 0, "rerate:1", 2)])
    assert asked == [{"wallet:t", day}, {"wallet:t", day}]


def test_a_request_without_postings_is_not_looked_for() -> None:
    posted = Posted("req_3")
    posted.add(["req_7", "req_5"])
    assert set(posted.among({"req_3", "req_4", "req_5", "req_6", "req_7"})) == {"req_3", "req_5", "req_7"}
    assert set(Posted(None).among({"req_1"})) == {"req_1"}
