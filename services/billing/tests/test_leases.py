"""Leases: all scopes or none, never more than the limit, free again when it is said or when time is over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hive_billing.accounts import Caps
from hive_billing.leases import Position, Said
from hive_runtime.errors import HiveError, Kind

DOLLAR = 1_000_000_000
ALL = 10 * DOLLAR
TODAY = "cap:key/k:day:2026-11-25"


async def test_one_holder_gets_all_that_is_free(house: Any) -> None:
    assert await house.lent(5) == {"wallet:t": ALL}
    assert await house.lent() == {"wallet:t": 0}
    assert await house.short(5) == ("wallet:t", 0)


async def test_every_scope_of_a_key_gives_or_none(house: Any) -> None:
    house.key(caps=Caps(day=100, month=70))
    house.tenant(caps=Caps(week=40))
    month, week = "cap:key/k:month:2026-11-01", "cap:tenant/t:week:2026-11-23"
    assert await house.short(41) == (week, 40)
    assert await house.leases() == {}
    assert await house.lent(40) == {"wallet:t": ALL, TODAY: 100, month: 70, week: 40}


async def test_the_scope_that_is_short_of_most_is_named(house: Any) -> None:
    house.key(caps=Caps(day=100, week=70))
    assert await house.short(200) == ("cap:key/k:week:2026-11-23", 70)


async def test_each_scope_is_asked_for_what_it_lacks(house: Any) -> None:
    house.key(caps=Caps(day=100))
    answer = await house.acquire(key="k", **{"wallet:t": 1, TODAY: 101})
    assert (answer.scope, answer.free) == (TODAY, 100)
    answer = await house.acquire(key="k", **{TODAY: 99})
    assert [each.amount for each in answer.slices] == [ALL, 100]


async def test_metered_keys_have_no_scopes_but_their_caps(house: Any) -> None:
    house.tenant(prepaid=False, balanced=True, default_max_output=77)
    answer = await house.acquire(10)
    assert answer.terms.scopes == () and answer.slices == []
    assert (answer.terms.balanced, answer.terms.default_max_output, answer.terms.until_ms) == (True, 77, 0)
    house.key(caps=Caps(day=100))
    assert await house.lent(10) == {TODAY: 100}


async def test_terms_end_with_the_first_window_that_ends(house: Any) -> None:
    house.key(caps=Caps(week=5, month=5))
    answer = await house.acquire()
    assert answer.terms.until_ms == round(house.clock.now() * 1000) + 5 * 86_400_000
    house.clock.advance(5 * 86_400)
    answer = await house.acquire()
    assert answer.terms.scopes[1] == "cap:key/k:week:2026-11-30"


async def test_a_new_window_is_a_new_scope(house: Any) -> None:
    house.key(caps=Caps(day=100))
    await house.lent()
    await house.settle(house.usage(100, carried=100, scopes=("wallet:t", TODAY)))
    assert await house.short(0, **{TODAY: 1}) == (TODAY, 0)
    house.clock.advance(86_400)
    assert (await house.lent())["cap:key/k:day:2026-11-26"] == 100


async def test_several_holders_share(house: Any) -> None:
    first = (await house.lent(1, holder="a"))["wallet:t"]
    await house.lender.give_back("a", {"wallet:t": first - 100}, last=False, settled=False)
    second = (await house.lent(1, holder="b"))["wallet:t"]
    assert second == (ALL - 100) // 4
    third = (await house.lent(ALL // 2, holder="c"))["wallet:t"]
    assert third == ALL // 2
    assert sum((await house.leases()).values()) == 100 + second + third


async def test_a_lowered_cap_gives_nothing_and_a_removed_one_does_not_bind(house: Any) -> None:
    house.key(caps=Caps(day=100))
    await house.lent()
    house.key(caps=Caps(day=60))
    assert await house.short(0, **{TODAY: 1}) == (TODAY, 0)
    await house.settle(house.usage(80, carried=80, scopes=("wallet:t", TODAY)))
    assert await house.balance("wallet:t") == ALL - 80  # what was lent before may be spent
    house.key()
    assert await house.lent() == {"wallet:t": 0}
    house.key(caps=Caps(day=200))
    assert (await house.lent())[TODAY] == 100


async def test_keys_that_are_not_known_are_waited_for(house: Any) -> None:
    with pytest.raises(HiveError) as caught:
        await house.acquire(key="late")
    assert caught.value.kind is Kind.NOT_FOUND
    house.lender.patience = 5.0
    asked = asyncio.ensure_future(house.acquire(key="late"))
    await asyncio.sleep(0)
    house.key("late")
    assert (await asked).terms.scopes == ("wallet:t",)


async def test_a_key_of_another_tenant_is_not_known(house: Any) -> None:
    house.tenant("u")
    with pytest.raises(HiveError, match="no key 'k'"):
        await house.acquire(tenant="u")


class TestRecall:
    async def test_idle_money_of_others_comes_before_a_refusal(self, house: Any) -> None:
        await house.lent(holder="a")
        house.holders.idle["a", "wallet:t"] = 300
        assert await house.lent(200, holder="b") == {"wallet:t": 200}
        assert house.holders.asked == [("a", "wallet:t", 200)]
        assert await house.short(200, holder="b") == ("wallet:t", 100)

    async def test_what_a_silent_holder_may_have_is_no_lack_of_money(self, house: Any) -> None:
        await house.lent(holder="a")
        house.holders.silent.add("a")
        with pytest.raises(HiveError) as away:
            await house.short(200, holder="b")
        house.holders.answers.set()
        assert away.value.kind is Kind.UNAVAILABLE and away.value.retry_after

    async def test_what_is_given_back_late_is_free_then(self, house: Any) -> None:
        await house.lent(holder="a")
        house.holders.idle["a", "wallet:t"] = 300
        house.holders.silent.add("a")
        with pytest.raises(HiveError):
            await house.acquire(200, holder="b")
        house.holders.answers.set()
        await house.settled()
        assert await house.free("wallet:t") == 200
        await house.lent(200, holder="b")

    async def test_nothing_of_before_is_given_back(self, house: Any) -> None:
        await house.lent(holder="a")
        house.holders.idle["a", "wallet:t"] = 300
        house.holders.generation = 7
        assert await house.short(200, holder="b") == ("wallet:t", 0)

    async def test_what_nobody_can_have_is_a_lack_of_money(self, house: Any) -> None:
        await house.lent(holder="a")
        house.holders.silent.add("a")
        assert await house.short(ALL + 1, holder="b") == ("wallet:t", 0)
        house.holders.answers.set()

    async def test_the_asker_itself_is_not_asked(self, house: Any) -> None:
        await house.lent(holder="a")
        house.holders.idle["a", "wallet:t"] = 300
        assert await house.short(200, holder="a") == ("wallet:t", 0)
        assert house.holders.asked == []

    async def test_no_more_is_taken_back_than_is_booked(self, house: Any) -> None:
        await house.lent(holder="a")
        await house.lender.give_back("a", {"wallet:t": ALL - 50}, last=False, settled=False)
        house.holders.idle["a", "wallet:t"] = 10**12
        await house.lent(ALL, holder="b")
        assert await house.leases() == {("b", "wallet:t"): ALL}


class TestEnd:
    async def test_what_is_not_renewed_expires_when_the_longest_call_is_over(self, house: Any) -> None:
        await house.lent()
        house.clock.advance(719)
        await house.lender.expire()
        assert await house.leases() != {}
        house.clock.advance(1)
        await house.lender.expire()
        assert await house.leases() == {}
        assert await house.lender.renew("h", "at/h", Said(generation=1)) == (False, 3)
        await house.settle(house.usage(3, carried=3, generation=1))  # from free money
        assert await house.balance("wallet:t") == ALL - 3

    async def test_renewing_keeps_all_leases(self, house: Any) -> None:
        await house.lent()
        said = Said([Position("wallet:t", ALL)], 1)
        for _ in range(20):
            house.clock.advance(300)
            assert await house.lender.renew("h", "at/h", said) == (True, 1)
            await house.lender.expire()
        assert await house.leases() == {("h", "wallet:t"): ALL}

    async def test_who_comes_back_too_late_begins_anew_even_where_nothing_was_freed_yet(
        self, house: Any
    ) -> None:
        await house.lent()
        house.clock.advance(720)
        answer = await house.acquire(5, generation=1)
        assert answer.generation == 2
        assert await house.leases() == {("h", "wallet:t"): answer.slices[0].amount}

    async def test_money_of_before_is_neither_carried_nor_given_back(self, house: Any) -> None:
        await house.lent()
        house.clock.advance(720)
        assert (await house.acquire(5)).generation == 2
        await house.lender.give_back("h", {"wallet:t": 1}, last=False, settled=False, generation=1)
        await house.settle(house.usage(3, carried=3, generation=1))
        assert await house.leases() == {("h", "wallet:t"): ALL}
        assert await house.balance("overrun") == -3, "all else is leased"
        await house.lender.give_back("h", {"wallet:t": 1}, last=False, settled=False, generation=2)
        await house.settle(house.usage(3, carried=3, generation=2))
        assert await house.leases() == {("h", "wallet:t"): ALL - 4}

    async def test_what_an_ended_process_left_is_carried_by_whatever_it_had(self, house: Any) -> None:
        await house.lent()
        house.clock.advance(720)
        await house.lent()
        await house.settle(house.usage(3, carried=3, generation=0))
        assert await house.leases() == {("h", "wallet:t"): ALL - 3}

    async def test_generations_outlive_the_process(self, house: Any) -> None:
        await house.lent()
        house.clock.advance(720)
        await house.lent()
        await house.restart()
        assert (await house.acquire()).generation == 2

    async def test_books_that_are_older_than_what_a_holder_knows_begin_anew(self, house: Any) -> None:
        """As after they were restored from a copy."""
        await house.lent()
        answer = await house.acquire(generation=7)
        assert answer.generation == 8
        assert await house.lender.renew("h", "at/h", Said(generation=8)) == (True, 8)
        assert await house.lender.renew("other", "at/other", Said(generation=3)) == (False, 4)

    async def test_time_goes_on_where_it_stood_when_the_process_died(self, house: Any) -> None:
        await house.lent()
        house.clock.advance(600)
        await house.restart()
        house.clock.advance(119)
        await house.lender.expire()
        assert await house.leases() != {}
        house.clock.advance(1)
        await house.lender.expire()
        assert await house.leases() == {}

    async def test_returning_frees_what_is_idle(self, house: Any) -> None:
        await house.lent()
        await house.lender.give_back("h", {"wallet:t": 4, "wallet:other": 9}, last=False, settled=False)
        assert await house.free("wallet:t") == 4
        await house.lender.give_back("h", {"wallet:t": 10**12}, last=False, settled=False)
        assert await house.free("wallet:t") == ALL

    async def test_the_last_return_leaves_what_its_last_events_settle(self, house: Any) -> None:
        await house.lent()
        await house.lender.give_back("h", {"wallet:t": ALL - 10}, last=True, settled=False)
        await house.settle(house.usage(6, carried=6))
        assert await house.leases() == {("h", "wallet:t"): 4}
        await house.lender.give_back("h", {}, last=False, settled=True)
        assert await house.leases() == {}
        await house.lender.give_back("nobody", {"wallet:t": 1}, last=True, settled=True)

    async def test_what_got_lost_on_the_way_is_free_once_a_report_was_exact(self, house: Any) -> None:
        await house.lent()
        for number in range(1, 4):
            await house.reports(ALL - 70, number=number)
            assert (await house.leases())["h", "wallet:t"] == ALL, "something may have been on its way"
        await house.reports(ALL - 70, number=4, last_exact=3)
        assert (await house.leases())["h", "wallet:t"] == ALL - 70
        await house.reports(ALL - 70, number=5, last_exact=4)
        assert (await house.leases())["h", "wallet:t"] == ALL - 70

    async def test_what_was_lent_since_is_not_lost(self, house: Any) -> None:
        await house.lent()
        await house.lender.give_back("h", {"wallet:t": 500}, last=False, settled=False)
        await house.reports(ALL - 500, number=1)
        await house.lent(300)
        await house.reports(ALL - 500, number=2, last_exact=1)
        assert (await house.leases())["h", "wallet:t"] == ALL

    async def test_nor_is_what_is_told_and_not_settled_yet(self, house: Any) -> None:
        await house.lent()
        for number in range(1, 20):
            has = ALL - 10 * number
            await house.reports(has, number=number, last_exact=number - 1, through=number)
            if number > 1:
                await house.settle(house.usage(10, carried=10, sequence=number - 1))
        assert (await house.leases())["h", "wallet:t"] == has + 10

    async def test_what_got_lost_is_found_beside_it(self, house: Any) -> None:
        await house.lent()
        for number in range(1, 4):
            has = ALL - 70 - 10 * number
            await house.reports(has, number=number, last_exact=number - 1, through=number)
            await house.settle(house.usage(10, carried=10, sequence=number))
        assert (await house.leases())["h", "wallet:t"] == has

    async def test_usage_that_never_comes_is_waited_for_as_long_as_a_lease_lasts(self, house: Any) -> None:
        await house.lent()
        await house.reports(ALL - 70, number=1, through=1)
        for number in range(2, 36):
            await house.reports(ALL - 70, number=number, last_exact=number - 1, through=1)
            freed = number > 34
            assert (await house.leases())["h", "wallet:t"] == ALL - 70 * freed, number
            house.clock.advance(20)
        await house.restart()
        await house.settle(house.usage(70, carried=70, sequence=1))
        assert (await house.leases())["h", "wallet:t"] == ALL - 70, "it is paid from what is free"
        assert await house.balance("wallet:t") == ALL - 70
        # What comes after that is waited for again.
        await house.settle(house.usage(5, carried=5, sequence=3))
        await house.reports(ALL - 80, number=40, through=3)
        await house.reports(ALL - 80, number=41, last_exact=40, through=3)
        assert (await house.leases())["h", "wallet:t"] == ALL - 75
        await house.settle(house.usage(5, carried=5, sequence=2))
        await house.reports(ALL - 80, number=42, last_exact=41, through=3)
        assert (await house.leases())["h", "wallet:t"] == ALL - 80

    async def test_a_copy_of_a_report_that_comes_late_says_nothing(self, house: Any) -> None:
        await house.lent()
        await house.lender.give_back("h", {"wallet:t": 500}, last=False, settled=False)
        await house.reports(ALL - 500, number=1)
        await house.lent(300)
        await house.reports(ALL, number=2, last_exact=1)
        await house.reports(ALL - 500, number=1)
        await house.reports(ALL, number=3, last_exact=1)
        assert (await house.leases())["h", "wallet:t"] == ALL

    async def test_what_comes_back_late_is_freed_once(self, house: Any) -> None:
        await house.lent()
        await house.reports(ALL - 70, number=1)
        await house.lender.give_back("h", {"wallet:t": 70}, last=False, settled=False)
        await house.reports(ALL - 70, number=2, last_exact=1)
        assert (await house.leases())["h", "wallet:t"] == ALL - 70

    async def test_nothing_is_concluded_while_the_holder_is_asked_to_give_back(self, house: Any) -> None:
        await house.lent()
        house.holders.silent.add("h")
        house.holders.idle["h", "wallet:t"] = 70
        house.lender.recall_seconds = 10.0
        recalling = asyncio.ensure_future(house.lender.recall("wallet:t", 70))
        while not house.holders.asked:
            await asyncio.sleep(0)
        await house.reports(ALL - 70, number=1)
        house.holders.answers.set()
        assert await recalling == 70
        await house.reports(ALL - 70, number=2, last_exact=1)
        assert (await house.leases())["h", "wallet:t"] == ALL - 70

    async def test_what_was_used_before_a_holder_began_anew_finds_its_money(self, house: Any) -> None:
        """It sleeps, and wakes: what it is lent first is what it needs, until all that it had used has come."""
        await house.lent()
        house.clock.advance(720)
        assert await house.lent(5, generation=1, through=2) == {"wallet:t": 5}
        await house.settle(*(house.usage(30, carried=30, generation=1, sequence=n) for n in (1, 2)))
        assert await house.balance("overrun") == 0
        assert await house.lent(5, generation=2, through=2) == {"wallet:t": ALL - 65}

    async def test_that_is_asked_again_with_the_first_word_of_what_it_has_now(self, house: Any) -> None:
        await house.lent()
        house.clock.advance(720)
        assert await house.lent(5, generation=1, through=1) == {"wallet:t": 5}
        await house.settle(house.usage(30, carried=30, generation=1, sequence=1))
        assert await house.lent(5, generation=2, through=2) == {"wallet:t": 5}, "one more had ended meanwhile"
        assert await house.lent(5, generation=1, through=1) == {"wallet:t": 5}, "an older word came later"
        await house.settle(house.usage(30, carried=30, generation=1, sequence=2))
        assert await house.lent(5, generation=2, through=3) == {"wallet:t": ALL - 75}

    async def test_what_nobody_has_is_not_given_time_for(self, house: Any) -> None:
        """A holder of before that has nothing any more is told so."""
        await house.lent()
        house.clock.advance(720)
        await house.lender.expire()
        await house.restart()
        assert (await house.lender.renew("h", "at/h")).known is False

    async def test_time_in_which_nobody_kept_the_books_ends_no_lease(self, house: Any) -> None:
        await house.lent()
        await house.crash()
        house.clock.advance(10_000)
        await house.start()
        assert (await house.acquire(generation=1)).generation == 1
        await house.settle(house.usage(30, carried=30, generation=1))
        assert await house.balance("overrun") == 0


async def test_many_at_once_get_what_one_holder_gives_back(house: Any) -> None:
    await house.lent(holder="a")
    house.holders.idle["a", "wallet:t"] = 1000
    house.lender.recall_seconds = 10.0
    got = await asyncio.gather(*(house.lent(10, holder=f"b{number}") for number in range(60)))
    assert all(each["wallet:t"] >= 10 for each in got)


async def test_a_holder_that_hangs_is_asked_no_more(house: Any) -> None:
    await house.lent(holder="a")
    house.holders.silent.add("a")
    for _ in range(5):
        with pytest.raises(HiveError) as hangs:
            await house.acquire(100, holder="b")
        assert hangs.value.kind is Kind.UNAVAILABLE
        house.clock.advance(1)
    assert house.holders.asked == [("a", "wallet:t", 100)]
    house.holders.answers.set()


async def test_leases_outlive_the_process(house: Any) -> None:
    house.key(caps=Caps(day=100))
    await house.lent(7)
    before = await house.leases()
    await house.restart()
    assert await house.leases() == before
    assert await house.short(1) == ("wallet:t", 0)


async def test_live_holders_are_told_apart_from_those_of_before(house: Any) -> None:
    await house.lent(holder="a")
    house.clock.advance(61)
    await house.lent(holder="b")
    assert house.writer.live_addresses() == ["at/b"]
    await house.lender.give_back("b", {}, last=True, settled=False)
    assert house.writer.live_addresses() == []
