"""Budgets of keys: filled before there is a key, brought to another size, given back; no cent gets lost on the way."""

from __future__ import annotations

from typing import Any

import pytest

from hive_runtime.errors import HiveError, Kind
from modelhive.billing.v1.books_pb2 import FundBudgetRequest

DOLLAR = 1_000_000_000
TEN = {"tenant": "default", "name": "funded", "budget_usd": "10.50"}


async def in_a_while(desk: Any, condition: Any, seconds: float = 31) -> None:
    """Let time pass until the console has done what it does by itself."""
    desk.host.clock.advance(seconds)
    await desk.until(lambda _: condition())


async def test_a_budget_is_moved_from_the_wallet_before_there_is_a_key(till: Any, books: Any) -> None:
    made = await till.ask("POST", "/keys", TEN)
    assert made["budget"] == {
        "funded_usd": "10.50",
        "used_usd": "0.00",
        "remaining_usd": "10.50",
        "held_usd": "0.00",
    }
    asked = books.last(FundBudgetRequest)
    assert (asked.tenant_id, asked.key_id, asked.amount_nanos, asked.cause) == (
        "default",
        made["id"],
        10_500_000_000,
        f"budget:{made['id']}",
    )
    assert books.wallets["default"] == 9_500_000_000
    await till.until(lambda records: records.now[f"key/{made['id']}"].api_key.has_budget)
    books.spend(made["id"], 1)
    books.held(made["id"], 2 * DOLLAR)
    assert (await till.ask("GET", f"/keys/{made['id']}"))["budget"] == {
        "funded_usd": "10.50",
        "used_usd": "0.000000001",
        "remaining_usd": "10.499999999",
        "held_usd": "2.00",
    }
    listed = {each["id"]: each for each in (await till.ask("GET", "/keys"))["data"]}
    assert listed[made["id"]]["budget"]["remaining_usd"] == "10.499999999"
    assert listed["key_bootstrap"]["budget"] is None


async def test_a_wallet_with_too_little_makes_no_key(till: Any, books: Any) -> None:
    error = await till.error("POST", "/keys", {**TEN, "budget_usd": "20.000000001"}, status=402)
    assert (error["type"], error["param"]) == ("budget_exceeded", "budget_usd")
    assert "cannot give $20.01" in error["message"]
    assert [each["id"] for each in (await till.ask("GET", "/keys"))["data"]] == ["key_bootstrap"]
    assert books.wallets["default"] == 20 * DOLLAR


async def test_a_budget_of_nothing_needs_nobody(desk: Any) -> None:
    made = await desk.ask("POST", "/keys", {**TEN, "budget_usd": "0"})
    await desk.until(lambda records: records.now[f"key/{made['id']}"].api_key.has_budget)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (10, '"10"'),
        (10.5, '"10.5"'),
        ("ten", '"12.50"'),
        ("-1", "negative"),
        ("1e3", '"12.50"'),
        ("0.0000000001", "nano-dollar"),
        ("99999999999999", "too large"),
        (True, '"12.50"'),
        ([], '"12.50"'),
    ],
)
async def test_an_amount_is_a_decimal_string(till: Any, value: Any, words: str) -> None:
    for method, path in (("POST", "/keys"), ("PATCH", "/keys/key_bootstrap")):
        body = {"budget_usd": value} | ({"tenant": "default"} if method == "POST" else {})
        error = await till.error(method, path, body, status=400)
        assert error["param"] == "budget_usd" and words in error["message"]


async def test_a_key_of_nobody_moves_no_money(till: Any, books: Any) -> None:
    await till.error("POST", "/keys", {**TEN, "tenant": "nobody"}, status=404)
    await till.error("POST", "/keys", {**TEN, "expires_at": 1}, status=400)
    assert not books.causes


async def test_where_billing_is_away_keys_are_listed_all_the_same(till: Any, books: Any) -> None:
    made = await till.ask("POST", "/keys", TEN)
    books.refusing = HiveError(Kind.UNAVAILABLE, "nobody is there.")
    (found,) = [each for each in (await till.ask("GET", "/keys"))["data"] if each["id"] == made["id"]]
    assert found["budget"]["remaining_usd"] is found["budget"]["funded_usd"] is None
    assert "does not answer" in found["budget"]["note"]
    error = await till.error("POST", "/keys", TEN, status=503)
    assert "billing" in error["message"]


# What is left undone


async def test_money_of_a_key_that_was_never_kept_goes_back(till: Any, books: Any) -> None:
    books.mute = True  # the money moves, and the answer gets lost
    await till.error("POST", "/keys", TEN, status=503)
    assert books.wallets["default"] == 9_500_000_000
    books.mute = False
    await in_a_while(till, lambda: books.wallets["default"] == 20 * DOLLAR)
    assert len((await till.ask("GET", "/keys"))["data"]) == 1


async def test_money_of_a_crash_between_funding_and_keeping_goes_back_at_the_next_start(
    start: Any, books: Any
) -> None:
    books.wallets["default"] = 20 * DOLLAR
    async with start(books=books) as desk:
        books.mute = True
        await desk.error("POST", "/keys", TEN, status=503)
    # What this start knew by heart is gone; the note in the table is not.
    assert books.wallets["default"] == 9_500_000_000
    async with start() as desk:
        desk.host.clock.advance(1)  # billing is not up yet
    books.mute = False
    async with start(books=books) as desk:
        await in_a_while(desk, lambda: books.wallets["default"] == 20 * DOLLAR, 3)
        (budget,) = books.budgets.values()
        assert (budget.balance_nanos, budget.funded_nanos) == (0, 0)
        asked = len(books.asked)
        desk.host.clock.advance(31)
    assert not [each for each in books.asked[asked:] if isinstance(each, FundBudgetRequest)]


async def test_what_calls_still_hold_of_a_revoked_key_goes_back_when_they_have_ended(
    till: Any, books: Any
) -> None:
    made = await till.ask("POST", "/keys", TEN)
    books.spend(made["id"], DOLLAR)
    books.held(made["id"], 2 * DOLLAR)
    await till.ask("DELETE", f"/keys/{made['id']}")
    assert books.wallets["default"] == 17 * DOLLAR
    assert (await till.ask("GET", f"/keys/{made['id']}"))["budget"] is None
    books.spend(made["id"], DOLLAR // 2)
    books.held(made["id"], 0)
    await in_a_while(till, lambda: books.wallets["default"] == 18_500_000_000)
    assert books.budgets[made["id"]].used_nanos == 1_500_000_000


async def test_a_key_is_revoked_at_once_where_billing_is_away(till: Any, books: Any) -> None:
    made = await till.ask("POST", "/keys", TEN)
    books.refusing = HiveError(Kind.UNAVAILABLE, "nobody is there.")
    await till.ask("DELETE", f"/keys/{made['id']}")
    await till.until(lambda records: f"key/{made['id']}" not in records.now)
    assert books.wallets["default"] == 9_500_000_000
    books.refusing = None
    await in_a_while(till, lambda: books.wallets["default"] == 20 * DOLLAR)


# Another size


async def test_a_budget_becomes_larger_and_smaller_by_the_difference(till: Any, books: Any) -> None:
    made = await till.ask("POST", "/keys", {**TEN, "budget_usd": "5"})
    path = f"/keys/{made['id']}"
    books.spend(made["id"], 3 * DOLLAR)
    larger = await till.ask("PATCH", path, {"budget_usd": "10", "name": "richer"})
    assert larger["name"] == "richer"
    assert larger["budget"] == {
        "funded_usd": "10.00",
        "used_usd": "3.00",
        "remaining_usd": "7.00",
        "held_usd": "0.00",
    }
    assert books.wallets["default"] == 10 * DOLLAR
    smaller = await till.ask("PATCH", path, {"budget_usd": "3.25"})
    assert smaller["budget"]["remaining_usd"] == "0.25"
    assert books.wallets["default"] == 16_750_000_000
    moved = len(books.causes)
    assert (await till.ask("PATCH", path, {"budget_usd": "3.25"}))["budget"] == smaller["budget"]
    assert len(books.causes) == moved


async def test_a_budget_cannot_shrink_below_what_was_used_or_is_held(till: Any, books: Any) -> None:
    made = await till.ask("POST", "/keys", {**TEN, "budget_usd": "5"})
    path = f"/keys/{made['id']}"
    books.spend(made["id"], 3 * DOLLAR)
    error = await till.error("PATCH", path, {"budget_usd": "2.99"}, status=409)
    assert error["param"] == "budget_usd" and "used $3.00" in error["message"]
    books.held(made["id"], 2 * DOLLAR)
    assert (await till.error("PATCH", path, {"budget_usd": "4"}, status=409))["param"] == "budget_usd"
    await till.error("PATCH", path, {"budget_usd": "500"}, status=402)
    assert books.wallets["default"] == 15 * DOLLAR


async def test_a_recharge_meanwhile_is_counted_in(till: Any, books: Any) -> None:
    made = await till.ask("POST", "/keys", {**TEN, "budget_usd": "5"})
    books.recharging[made["id"]] = DOLLAR  # just before the next move
    changed = await till.ask("PATCH", f"/keys/{made['id']}", {"budget_usd": "8"})
    assert changed["budget"]["remaining_usd"] == changed["budget"]["funded_usd"] == "8.00"
    assert books.wallets["default"] == 12 * DOLLAR


async def test_a_key_loses_its_budget_and_gets_another(till: Any, books: Any) -> None:
    rule = {"below_usd": "1", "amount_usd": "5", "times_per_day": 3}
    made = await till.ask("POST", "/keys", {**TEN, "auto_recharge": rule})
    path, place = f"/keys/{made['id']}", f"key/{made['id']}"
    books.spend(made["id"], DOLLAR)
    without = await till.ask("PATCH", path, {"budget_usd": None})
    assert without["budget"] is without["auto_recharge"] is None
    assert books.wallets["default"] == 19 * DOLLAR
    await till.until(lambda records: not records.now[place].api_key.has_budget)
    assert not till.records.now[place].api_key.HasField("auto_recharge")

    again = await till.ask("PATCH", path, {"budget_usd": "4", "auto_recharge": rule})
    assert again["budget"]["remaining_usd"] == "3.00" and again["auto_recharge"]["amount_usd"] == "5.00"
    await till.until(lambda records: records.now[place].api_key.has_budget)
    assert books.wallets["default"] == 16 * DOLLAR
    till.host.clock.advance(31)
    assert (await till.ask("GET", path))["budget"]["remaining_usd"] == "3.00"


async def test_a_wallet_with_too_little_leaves_a_key_without_budget(till: Any, books: Any) -> None:
    made = await till.ask("POST", "/keys", {"tenant": "default"})
    await till.error("PATCH", f"/keys/{made['id']}", {"budget_usd": "21"}, status=402)
    assert (await till.ask("GET", f"/keys/{made['id']}"))["budget"] is None
    assert books.wallets["default"] == 20 * DOLLAR


async def test_a_budget_of_a_revoked_key_stays_gone(till: Any, books: Any) -> None:
    made = await till.ask("POST", "/keys", TEN)
    await till.ask("DELETE", f"/keys/{made['id']}")
    error = await till.error("PATCH", f"/keys/{made['id']}", {"budget_usd": "1"}, status=409)
    assert "revoked" in error["message"]
    assert books.wallets["default"] == 20 * DOLLAR


# Rules and caps


async def test_caps_and_rules_reach_the_others(till: Any) -> None:
    rule = {"below_usd": "0.50", "amount_usd": "5", "times_per_day": 3}
    body = {**TEN, "caps": {"day_usd": "1", "month_usd": "9.000000001"}, "auto_recharge": rule}
    made = await till.ask("POST", "/keys", body)
    assert made["caps"] == {"day_usd": "1.00", "week_usd": None, "month_usd": "9.000000001"}
    assert made["auto_recharge"] == {"below_usd": "0.50", "amount_usd": "5.00", "times_per_day": 3}
    place = f"key/{made['id']}"
    await till.until(lambda records: place in records.now)
    key = till.records.now[place].api_key
    assert (key.caps.day_nanos, key.caps.month_nanos) == (DOLLAR, 9_000_000_001)
    assert not key.caps.HasField("week_nanos")
    recharge = key.auto_recharge
    assert (recharge.below_nanos, recharge.amount_nanos, recharge.times_per_day) == (
        500_000_000,
        5 * DOLLAR,
        3,
    )
    changed = await till.ask(
        "PATCH", f"/keys/{made['id']}", {"caps": {"day_usd": None, "week_usd": "0"}, "auto_recharge": None}
    )
    assert changed["caps"] == {"day_usd": None, "week_usd": "0.00", "month_usd": "9.000000001"}
    assert changed["auto_recharge"] is None
    cleared = await till.ask("PATCH", f"/keys/{made['id']}", {"caps": None})
    assert set(cleared["caps"].values()) == {None}
    await till.until(lambda records: not records.now[place].api_key.HasField("caps"))


async def test_a_rule_needs_a_budget_to_fill(till: Any, books: Any) -> None:
    rule = {"below_usd": "1", "amount_usd": "5"}
    for method, path, body in (
        ("POST", "/keys", {"tenant": "default", "auto_recharge": rule}),
        ("PATCH", "/keys/key_bootstrap", {"auto_recharge": rule}),
        ("PATCH", "/keys/key_bootstrap", {"auto_recharge": rule, "budget_usd": None}),
    ):
        error = await till.error(method, path, body, status=400)
        assert error["param"] == "auto_recharge" and "budget_usd" in error["message"]
    assert not books.causes


@pytest.mark.parametrize(
    ("rule", "param"),
    [
        ({"amount_usd": "5"}, "auto_recharge.below_usd"),
        ({"below_usd": "1", "amount_usd": "0"}, "auto_recharge.amount_usd"),
        ({"below_usd": "1", "amount_usd": 5}, "auto_recharge.amount_usd"),
        ({"below_usd": "1", "amount_usd": "5", "times_per_day": 0}, "auto_recharge.times_per_day"),
    ],
)
async def test_a_rule_that_is_none_is_refused(till: Any, rule: Any, param: str) -> None:
    assert (await till.error("POST", "/keys", {**TEN, "auto_recharge": rule}, status=400))["param"] == param


# Who goes


async def test_a_tenant_stays_while_a_key_of_it_has_a_budget(till: Any, books: Any) -> None:
    await till.ask("POST", "/tenants", {"id": "acme"})
    books.wallets["acme"] = 3 * DOLLAR
    body = {"tenant": "acme", "budget_usd": "3", "expires_at": int(till.host.clock.time) + 5}
    made = await till.ask("POST", "/keys", body)
    till.host.clock.advance(10)
    error = await till.error("DELETE", "/tenants/acme", status=409)
    assert made["id"] in error["message"] and "budget" in error["message"]
    await till.ask("DELETE", f"/keys/{made['id']}")
    assert books.wallets["acme"] == 3 * DOLLAR
    await till.ask("DELETE", "/tenants/acme")


async def test_a_former_bootstrap_key_gives_its_budget_back(start: Any, books: Any) -> None:
    books.wallets["default"] = 20 * DOLLAR
    async with start(books=books) as desk:
        await desk.ask("PATCH", "/keys/key_bootstrap", {"budget_usd": "5"})
        made = await desk.ask("POST", "/keys", {"tenant": "default"})
    async with start(books=books, bootstrap_key=made["key"]) as desk:
        await in_a_while(desk, lambda: books.wallets["default"] == 20 * DOLLAR, 3)
        assert (await desk.ask("GET", "/keys/key_bootstrap"))["budget"] is None
