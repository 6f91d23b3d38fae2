"""Holds: granted from leases, all scopes or none, ended once, and never more than there is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hive_routing.bank import HolderDoor
from hive_routing.holds import Hold, Purse, insufficient
from hive_runtime.errors import HiveError, Kind
from modelhive.billing.v1 import leases_pb2 as leases

WALLET, CAP = "wallet:t", "cap:key/k:day:2026-11-25"
DOLLAR = 1_000_000_000


class StillClock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return 1_764_000_000.0 + self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def bank(fake_bank: Any, clock: StillClock) -> Any:
    made = fake_bank(clock)
    made.scopes = (WALLET,)
    made.free = {WALLET: DOLLAR}
    return made


@pytest.fixture
def purse(bank: Any, clock: StillClock) -> Purse:
    return Purse(bank, clock)


async def hold(purse: Purse, amount: int, key: str = "k") -> Hold:
    terms = await purse.terms("t", key, 0)
    return await purse.hold("t", key, terms, amount)


async def refused(purse: Purse, amount: int) -> HiveError:
    with pytest.raises(HiveError) as caught:
        await hold(purse, amount)
    return caught.value


async def test_billing_is_asked_once_and_then_memory_decides(purse: Purse, bank: Any) -> None:
    for _ in range(100):
        (await hold(purse, 1000)).settle(1000)
    assert bank.lends == 1
    assert purse.held == 0


async def test_the_refusal_has_the_promised_words(purse: Purse) -> None:
    await hold(purse, 880_000_000)
    error = await refused(purse, 500_000_000)
    assert error.kind is Kind.BUDGET_EXCEEDED
    assert error.message == "Insufficient budget. Remaining: $0.12, estimated cost: $0.50"


@pytest.mark.parametrize(
    ("remaining", "estimate", "words"),
    [
        (0, 1, "Insufficient budget. Remaining: $0.00, estimated cost: $0.000000001"),
        (-5, 10_000_000, "Insufficient budget. Remaining: $0.00, estimated cost: $0.01"),
        (129_999_999, 500_000_001, "Insufficient budget. Remaining: $0.12, estimated cost: $0.51"),
    ],
)
def test_what_remains_is_rounded_down_and_the_estimate_up(remaining: int, estimate: int, words: str) -> None:
    assert insufficient(remaining, estimate).message == words


async def test_what_an_earlier_start_held_is_not_given_back_by_a_later_one(purse: Purse) -> None:
    held = await hold(purse, 40)
    door = HolderDoor(purse, "routing-0-now")
    for scope in held.scopes:
        wants = [leases.Want(scope=scope, amount_nanos=1)]
        with pytest.raises(HiveError) as ended:
            await door.Recall(leases.RecallRequest(holder="routing-0-before", wants=wants), None)
        assert ended.value.kind is Kind.NOT_FOUND
        given = await door.Recall(leases.RecallRequest(holder="routing-0-now", wants=wants), None)
        assert [each.scope for each in given.slices] == [scope]
        assert given.generation == purse.generation == 1


async def test_a_hold_of_nothing_carries_nothing_of_what_was_given_back(
    purse: Purse, bank: Any, clock: StillClock
) -> None:
    nothing = await hold(purse, 0)
    clock.time += 3600
    await purse.renew()
    assert nothing.settle(1) == 0


async def test_what_is_settled_is_used_up_and_the_rest_is_free(purse: Purse, bank: Any) -> None:
    first = await hold(purse, DOLLAR)
    assert first.settle(300_000_000) == 300_000_000
    assert first.settle(300_000_000) == 0, "a hold ends once"
    first.release()
    await hold(purse, 700_000_000)
    assert "Remaining: $0.00" in (await refused(purse, 1)).message


async def test_more_than_was_held_is_carried_as_far_as_money_is_idle(purse: Purse) -> None:
    first, second = await hold(purse, 100), await hold(purse, DOLLAR - 150)
    assert first.settle(10_000) == 150
    assert second.settle(DOLLAR) == DOLLAR - 150


async def test_a_hold_is_in_all_scopes_or_in_none(purse: Purse, bank: Any) -> None:
    bank.scopes = (WALLET, CAP)
    bank.free = {WALLET: DOLLAR, CAP: 500}
    one = await hold(purse, 400)
    error = await refused(purse, 200)
    assert "Remaining: $0.0000001" in error.message
    assert one.settle(400) == 400
    assert purse.held == 0


async def test_nothing_binds_a_key_without_scopes(purse: Purse, bank: Any) -> None:
    bank.scopes = ()
    free = await hold(purse, 10**18)
    assert free.amount == 0
    assert free.settle(10**18) == 0


async def test_a_hold_grows_or_stays_as_it_was(purse: Purse) -> None:
    held = await hold(purse, 100)
    await held.raise_to(DOLLAR)
    assert purse.held == DOLLAR
    with pytest.raises(HiveError):
        await held.raise_to(DOLLAR + 1)
    assert held.amount == purse.held == DOLLAR
    held.release()
    assert purse.held == 0


async def test_leases_are_used_while_billing_is_away_and_not_beyond_their_time(
    purse: Purse, bank: Any, clock: StillClock
) -> None:
    (await hold(purse, 10)).settle(10)
    bank.away = True
    clock.time += 59
    (await hold(purse, 10)).settle(10)
    clock.time += 2
    error = await refused(purse, 10)
    assert error.kind is Kind.UNAVAILABLE and error.retry_after


async def test_renewing_keeps_leases_and_forgetting_asks_again(
    purse: Purse, bank: Any, clock: StillClock
) -> None:
    (await hold(purse, 10)).release()
    clock.time += 50
    await purse.renew()
    clock.time += 50
    (await hold(purse, 10)).release()
    lends = bank.lends
    purse.forget(["k"])
    bank.scopes = ()
    assert (await hold(purse, 10)).amount == 0
    assert bank.lends == lends + 1


async def test_leases_that_billing_has_forgotten_are_gone(purse: Purse, bank: Any) -> None:
    held = await hold(purse, 10)
    bank.forget()
    await purse.renew()
    bank.free[WALLET] = 5
    assert "Remaining: $0.00," in (await refused(purse, 100)).message, "five are free, and ten are held"
    assert held.settle(10) == 5, "billing finds the money for the rest"


async def test_who_slept_past_its_time_has_only_what_it_is_lent_then(
    purse: Purse, bank: Any, clock: StillClock
) -> None:
    """Billing has lent the money to others meanwhile; all that it has left is what it lends now."""
    bank.surplus = 50
    (await hold(purse, 100)).release()
    clock.time += 700
    bank.forget()
    bank.free[WALLET] = 120
    (await hold(purse, 120)).settle(120)
    assert "Remaining: $0.00," in (await refused(purse, 1)).message


async def test_who_slept_past_its_time_keeps_what_billing_still_has_booked(
    purse: Purse, bank: Any, clock: StillClock
) -> None:
    (await hold(purse, 100)).release()
    clock.time += 70
    (await hold(purse, DOLLAR)).release()
    assert bank.lends == 2


async def test_a_renewal_that_is_answered_late_takes_nothing_that_was_lent_since(
    purse: Purse, bank: Any, clock: StillClock
) -> None:
    (await hold(purse, 100)).release()
    bank.forget()
    bank.free[WALLET] = 120
    clock.time += 700
    bank.renewals_answered.clear()
    renewing = asyncio.create_task(purse.renew())
    await asyncio.sleep(0)
    held = await hold(purse, 70)
    bank.renewals_answered.set()
    await renewing
    assert held.settle(70) == 70
    (await hold(purse, 50)).settle(50)


async def test_what_is_settled_says_which_money_carries_it(purse: Purse, bank: Any) -> None:
    """Money of before carries nothing on billing's side, where it is free already."""
    before, after = await hold(purse, 10), await hold(purse, 20)
    assert (before.settle(10), purse.generation) == (10, 1)
    bank.forget()
    await purse.renew()
    assert (after.settle(20), purse.generation) == (0, 2)


async def test_leases_are_renewed_at_the_pace_of_the_lender(purse: Purse, bank: Any) -> None:
    bank.valid = 6.0
    await hold(purse, 1)
    assert purse.lent_seconds == 6.0


async def test_recalled_money_is_idle_money_only(purse: Purse) -> None:
    await hold(purse, 600_000_000)
    assert purse.recall({WALLET: 2 * DOLLAR, "wallet:other": 5}) == {WALLET: 400_000_000}
    assert purse.recall({WALLET: DOLLAR}) == {}


async def test_at_the_end_what_is_idle_goes_back(purse: Purse, bank: Any) -> None:
    held = await hold(purse, 600_000_000)
    await purse.close()
    assert bank.returned == [({WALLET: 400_000_000}, True)]
    assert held.settle(600_000_000) == 600_000_000


async def test_leases_of_keys_that_are_not_used_go_back(purse: Purse, bank: Any, clock: StillClock) -> None:
    (await hold(purse, 10)).settle(10)
    clock.time += 61
    await purse.renew()
    assert bank.returned == [({WALLET: DOLLAR - 10}, False)]
    assert bank.free[WALLET] == DOLLAR - 10
    (await hold(purse, DOLLAR - 10)).release()


async def test_terms_end_with_their_window(purse: Purse, bank: Any) -> None:
    bank.until_ms = 5000
    assert (await purse.terms("t", "k", 4999)).scopes == (WALLET,)
    bank.scopes = (CAP,)
    assert (await purse.terms("t", "k", 4999)).scopes == (WALLET,)
    assert (await purse.terms("t", "k", 5000)).scopes == (CAP,)


async def test_ten_thousand_at_once_get_what_there_is_and_no_more(purse: Purse, bank: Any) -> None:
    """Each needs a hundredth of a cent of a dollar that billing lends in slices."""
    bank.surplus = 1_000_000
    each = 100_000
    found = await asyncio.gather(*(hold(purse, each) for _ in range(12_000)), return_exceptions=True)
    held = [one for one in found if isinstance(one, Hold)]
    errors = [one for one in found if isinstance(one, HiveError)]
    assert len(held) == 10_000 and len(errors) == 2_000
    assert purse.held == DOLLAR
    assert {error.message for error in errors} == {
        "Insufficient budget. Remaining: $0.00, estimated cost: $0.0001"
    }
    assert sum(one.settle(each // 2) for one in held) == DOLLAR // 2
    again = await asyncio.gather(*(hold(purse, each) for _ in range(5_001)), return_exceptions=True)
    assert sum(isinstance(one, Hold) for one in again) == 5_000


amounts = st.integers(0, 300)


class Spenders(RuleBasedStateMachine):
    """Keys of one wallet, one of them capped too, spend in any order: money is conserved at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = StillClock()
        self.bank = FAKE_BANK[0](self.clock)
        self.bank.scopes = (WALLET, CAP)
        self.bank.free = {WALLET: 1000, CAP: 700}
        self.bank.surplus = 50
        self.purse = Purse(self.bank, self.clock)
        self.holds: list[Hold] = []
        self.carried = 0
        self.loop = asyncio.new_event_loop()

    def teardown(self) -> None:
        self.loop.close()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @rule(amount=amounts)
    def hold(self, amount: int) -> None:
        try:
            self.holds.append(self.run(hold(self.purse, amount)))
        except HiveError as error:
            assert error.kind is Kind.BUDGET_EXCEEDED
            # Nobody is refused who could be served: the cap is the narrower one.
            assert amount > 700 - self.carried - sum(each.amount for each in self.holds)

    @precondition(lambda self: self.holds)
    @rule(cost=amounts, data=st.data())
    def settle(self, cost: int, data: Any) -> None:
        held = self.holds.pop(data.draw(st.integers(0, len(self.holds) - 1)))
        amount = held.amount
        carried = held.settle(cost)
        assert min(cost, amount) <= carried <= cost
        self.carried += carried

    @precondition(lambda self: self.holds)
    @rule(more=amounts)
    def extend(self, more: int) -> None:
        held = self.holds[-1]
        before = held.amount
        try:
            self.run(held.raise_to(before + more))
        except HiveError:
            assert held.amount == before

    @rule(amount=amounts)
    def recall(self, amount: int) -> None:
        for scope, given in self.purse.recall({WALLET: amount, CAP: amount}).items():
            self.bank.free[scope] += given

    @rule(seconds=st.integers(1, 90))
    def wait(self, seconds: int) -> None:
        self.clock.time += seconds

    @rule()
    def renew(self) -> None:
        self.run(self.purse.renew())

    @invariant()
    def nothing_is_lost_or_made(self) -> None:
        held = sum(each.amount for each in self.holds)
        for scope, limit in ((WALLET, 1000), (CAP, 700)):
            lease = self.purse._leases.get(scope)
            leased, counted = (lease.amount, lease.held) if lease is not None else (0, 0)
            assert leased + self.bank.free[scope] + self.carried == limit
            assert counted == held
            assert leased >= counted


FAKE_BANK: list[Any] = []


def test_money_is_conserved_in_any_order(fake_bank: Any) -> None:
    FAKE_BANK[:] = [fake_bank]
    run_state_machine_as_test(Spenders, settings=settings(max_examples=60, deadline=None))


async def test_a_negative_hold_takes_nothing_from_anybody(purse: Purse) -> None:
    with pytest.raises(HiveError) as caught:
        await hold(purse, -1)
    assert caught.value.kind is Kind.INTERNAL
    assert purse.held == 0
