"""Tenants' billing, wallets, budgets, ledger and prices over the admin API; amounts are exact decimal strings."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hive_console.service import MIGRATIONS
from hive_runtime.errors import HiveError, Kind
from hive_sql import migrate
from modelhive.billing.v1 import books_pb2 as billing
from modelhive.control.v1 import control_pb2
from modelhive.events.v1.ledger_pb2 import (
    POSTING_KIND_USAGE,
    LedgerEntry,
    LedgerPosted,
    PriceListed,
    Rate,
)

DOLLAR = 1_000_000_000
RULE = {"below_usd": "5", "amount_usd": "20", "times_per_day": 2}


def mode_of(desk: Any, tenant: str) -> str:
    mode: int = desk.records.now[f"tenant/{tenant}"].tenant.billing.mode
    return control_pb2.BillingMode.Name(mode)  # type: ignore[arg-type]


# How tenants pay


async def test_the_default_tenant_is_metered_and_new_ones_are_prepaid(desk: Any) -> None:
    assert (await desk.ask("GET", "/tenants/default"))["billing"]["mode"] == "metered"
    assert mode_of(desk, "default") == "BILLING_MODE_METERED"
    made = await desk.ask("POST", "/tenants", {"id": "acme"})
    assert (made["billing"]["mode"], made["billing"]["strictness"]) == ("prepaid", "strict")
    await desk.until(lambda _: mode_of(desk, "acme") == "BILLING_MODE_PREPAID")


async def test_billing_is_changed_field_by_field(desk: Any) -> None:
    body = {"id": "acme", "billing": {"mode": "metered", "caps": {"day_usd": "5"}, "auto_recharge": RULE}}
    made = await desk.ask("POST", "/tenants", body)
    assert made["billing"]["auto_recharge"] == {
        "below_usd": "5.00",
        "amount_usd": "20.00",
        "times_per_day": 2,
    }
    given = {"strictness": "balanced", "default_max_output": 512, "caps": {"week_usd": "12.345678901"}}
    changed = await desk.ask("PATCH", "/tenants/acme", {"billing": given})
    assert changed["billing"] == {
        "mode": "metered",
        "strictness": "balanced",
        "default_max_output": 512,
        "caps": {"day_usd": "5.00", "week_usd": "12.345678901", "month_usd": None},
        "auto_recharge": made["billing"]["auto_recharge"],
    }
    await desk.until(lambda records: records.now["tenant/acme"].tenant.billing.balanced)
    heard = desk.records.now["tenant/acme"].tenant.billing
    assert (heard.default_max_output, heard.caps.week_nanos) == (512, 12_345_678_901)
    assert (heard.auto_recharge.below_nanos, heard.auto_recharge.amount_nanos) == (5 * DOLLAR, 20 * DOLLAR)

    cleared = {"auto_recharge": None, "caps": None, "default_max_output": None}
    changed = await desk.ask("PATCH", "/tenants/acme", {"billing": cleared})
    assert changed["billing"]["auto_recharge"] is changed["billing"]["default_max_output"] is None
    assert set(changed["billing"]["caps"].values()) == {None}
    assert changed == await desk.ask("GET", "/tenants/acme")
    await desk.until(lambda records: not records.now["tenant/acme"].tenant.billing.HasField("caps"))


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"mode": "postpaid"}, "billing.mode"),
        ({"strictness": "lax"}, "billing.strictness"),
        ({"default_max_output": 0}, "billing.default_max_output"),
        ({"caps": {"day_usd": 5}}, "billing.caps.day_usd"),
        ({"caps": {"year_usd": "5"}}, "billing.caps.year_usd"),
        ({"mood": "x"}, "billing.mood"),
    ],
)
async def test_billing_that_is_none_is_refused(desk: Any, given: Any, param: str) -> None:
    error = await desk.error("PATCH", "/tenants/default", {"billing": given}, status=400)
    assert error["param"] == param


async def test_a_bootstrap_credit_makes_the_default_tenant_prepaid_once(start: Any) -> None:
    async with start():
        pass
    async with start(bootstrap_credit_usd="10.00") as desk:
        assert mode_of(desk, "default") == "BILLING_MODE_PREPAID"
        await desk.ask("PATCH", "/tenants/default", {"billing": {"mode": "metered"}})
    async with start(bootstrap_credit_usd="10.00") as desk:
        assert mode_of(desk, "default") == "BILLING_MODE_METERED"


@pytest.mark.parametrize("value", ["ten", "-1", "0", "0.0000000001"])
async def test_a_bootstrap_credit_that_is_none_is_refused(start: Any, value: str) -> None:
    with pytest.raises(ValueError, match="bootstrap_credit_usd"):
        async with start(bootstrap_credit_usd=value):
            pass


async def test_who_called_before_there_was_billing_is_metered(start: Any, tmp_path: Path) -> None:
    older, data = tmp_path / "older", tmp_path / "data"
    (older / "versions").mkdir(parents=True)
    data.mkdir()
    for name in ("0001_first_tables.py", "0002_key_limits.py"):
        shutil.copy(MIGRATIONS / "versions" / name, older / "versions")
    await migrate(f"sqlite+aiosqlite:///{data}/console.db", older)
    with closing(sqlite3.connect(data / "console.db")) as database, database:
        database.execute("INSERT INTO tenants VALUES ('acme', '', NULL, 0, 1, 1)")
    async with start() as desk:
        assert mode_of(desk, "acme") == "BILLING_MODE_METERED"
        changed = await desk.ask("PATCH", "/tenants/acme", {"billing": {"caps": {"day_usd": "1"}}})
        assert (changed["billing"]["mode"], changed["billing"]["caps"]["day_usd"]) == ("metered", "1.00")


# Wallets


async def test_a_wallet_is_credited_once_per_idempotency_key(till: Any, books: Any) -> None:
    body = {"amount_usd": "12.50", "note": "invoice 7"}
    for idempotency_key, posted in (("abc", True), ("abc", False)):
        done = await till.ask("POST", "/wallets/default/credit", body, idempotency_key=idempotency_key)
        assert (done["posted"], done["amount_usd"]) == (posted, "12.50")
        assert done["wallet"]["balance_usd"] == "32.50"
    asked = books.last(billing.CreditRequest)
    assert (asked.source, asked.note, asked.amount_nanos) == ("manual", "invoice 7", 12_500_000_000)
    assert asked.cause == "credit:default:abc"
    again = await till.ask("POST", "/wallets/default/credit", {**body, "idempotency_key": "abc"})
    assert not again["posted"]
    await till.error("POST", "/wallets/default/credit", {**body, "amount_usd": "1"} | KEY, status=409)


KEY = {"idempotency_key": "abc"}


async def test_credits_without_a_key_are_all_different(till: Any) -> None:
    for balance in ("21.00", "22.00"):
        done = await till.ask("POST", "/wallets/default/credit", {"amount_usd": "1"})
        assert done["posted"] and done["wallet"]["balance_usd"] == balance


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "amount_usd"),
        ({"amount_usd": "0"}, "amount_usd"),
        ({"amount_usd": "-5"}, "amount_usd"),
        ({"amount_usd": 5}, "amount_usd"),
        ({"amount_usd": "5", "idempotency_key": "a b"}, "idempotency_key"),
        ({"amount_usd": "5", "idempotency_key": ""}, "idempotency_key"),
    ],
)
async def test_a_credit_that_is_none_is_refused(till: Any, books: Any, body: Any, param: str) -> None:
    assert (await till.error("POST", "/wallets/default/credit", body, status=400))["param"] == param
    assert not books.causes


async def test_two_idempotency_keys_are_one_too_many(till: Any) -> None:
    body = {"amount_usd": "1", "idempotency_key": "a"}
    for key in ("b", "x" * 201):
        answer = await till.ask("POST", "/wallets/default/credit", body, 400, idempotency_key=key)
        assert answer["error"]["param"] == "idempotency_key"


async def test_wallets_are_shown_as_billing_has_them(till: Any, books: Any) -> None:
    await till.ask("POST", "/tenants", {"id": "acme"})
    found = await till.ask("GET", "/wallets?order=asc")
    assert [(each["tenant"], each["balance_usd"]) for each in found["data"]] == [
        ("default", "20.00"),
        ("acme", "0.00"),
    ]
    assert await till.ask("GET", "/wallets/default") == {
        "object": "wallet",
        "id": "default",
        "tenant": "default",
        "mode": "prepaid",
        "balance_usd": "20.00",
        "held_usd": "0.00",
        "receivable_usd": "0.00",
        "budgets_usd": "0.00",
        "funded_usd": "0.00",
        "used_usd": "0.00",
    }
    for method, path, body in (
        ("GET", "/wallets/nobody", None),
        ("POST", "/wallets/nobody/credit", {"amount_usd": "1"}),
    ):
        assert "'nobody'" in (await till.error(method, path, body, status=404))["message"]


async def test_where_nobody_serves_billing_the_answer_says_so(desk: Any) -> None:
    for method, path, body in (
        ("GET", "/wallets", None),
        ("GET", "/wallets/default", None),
        ("POST", "/wallets/default/credit", {"amount_usd": "1"}),
        ("GET", "/budgets", None),
        ("GET", "/ledger", None),
        ("GET", "/prices", None),
        ("POST", "/ledger/verify", None),
        ("GET", "/doctor", None),
    ):
        error = await desk.error(method, path, body, status=503)
        assert "billing service does not answer" in error["message"]
    for path in ("/usage", "/usage/questions"):
        assert "analytics service" in (await desk.error("GET", path, status=503))["message"]


async def test_budgets_are_listed_by_tenant(till: Any, books: Any) -> None:
    await till.ask("POST", "/tenants", {"id": "acme"})
    books.wallets["acme"] = DOLLAR
    made = [
        await till.ask("POST", "/keys", {"tenant": tenant, "budget_usd": "1"})
        for tenant in ("default", "acme")
    ]
    found = (await till.ask("GET", "/budgets"))["data"]
    assert [each["id"] for each in found] == sorted(each["id"] for each in made)
    (one,) = (await till.ask("GET", "/budgets?tenant=acme"))["data"]
    assert one == {
        "object": "budget",
        "id": made[1]["id"],
        "key": made[1]["id"],
        "tenant": "acme",
        **made[1]["budget"],
    }
    await till.error("GET", "/budgets?tenant=nobody", status=404)


# The books


def posting(sequence: int, spent: int = 1_500_000) -> LedgerPosted:
    return LedgerPosted(
        sequence=sequence,
        cause=f"usage:req_{sequence}:1.1",
        kind=POSTING_KIND_USAGE,
        occurred_unix_ms=1_790_000_000_123,
        posted_unix_ms=1_790_000_000_456,
        tenant_id="default",
        key_id="key_a",
        request_id=f"req_{sequence}",
        model="gpt-4o",
        provider="openai",
        deployment="openai/gpt-4o",
        entries=[
            LedgerEntry(account="wallet:default", amount_nanos=-spent),
            LedgerEntry(account="revenue", amount_nanos=spent),
        ],
        price_version=3,
        spent_nanos=spent,
        provider_cost_nanos=1,
    )


async def test_the_ledger_is_shown_to_the_nano_dollar(till: Any, books: Any) -> None:
    books.postings = [posting(1), posting(2)]
    found = await till.ask("GET", "/ledger?limit=1&order=asc")
    assert (found["has_more"], found["last_id"]) == (True, 1)
    (one,) = found["data"]
    assert one["kind"] == "usage" and one["cause"] == "usage:req_1:1.1"
    assert (one["spent_usd"], one["provider_cost_usd"]) == ("0.0015", "0.000000001")
    assert one["entries"] == [
        {"account": "wallet:default", "amount_usd": "-0.0015"},
        {"account": "revenue", "amount_usd": "0.0015"},
    ]
    assert one["corrects"] is None and one["estimated"] is False and one["tags"] == []
    query = "account=revenue&tenant=default&key=key_a&request=req_2&limit=7&after=1"
    await till.ask("GET", f"/ledger?{query}")
    asked = books.last(billing.ListPostingsRequest)
    assert (asked.account, asked.tenant_id, asked.key_id, asked.request_id) == (
        "revenue",
        "default",
        "key_a",
        "req_2",
    )
    assert (asked.limit, asked.after, asked.newest_first) == (7, 1, True)
    for query in ("limit=0", "limit=1001", "after=x", "order=up"):
        await till.error("GET", f"/ledger?{query}", status=400)


async def test_the_ledger_is_verified(till: Any, books: Any) -> None:
    balances = [billing.Balance(account="revenue", amount_nanos=5), billing.Balance(account="overrun")]
    books.verified = billing.VerifyResponse(postings=3, last_sequence=3, balances=balances)
    assert await till.ask("POST", "/ledger/verify") == {
        "object": "verification",
        "ok": True,
        "postings": 3,
        "last_posting": 3,
        "problems": [],
        "balances": [
            {"account": "revenue", "amount_usd": "0.000000005"},
            {"account": "overrun", "amount_usd": "0.00"},
        ],
    }
    books.verified.problems.append("posting 2 sums to 1")
    found = await till.ask("POST", "/ledger/verify")
    assert (found["ok"], found["problems"]) == (False, ["posting 2 sums to 1"])


async def test_prices_are_exact_per_the_customary_number_of_units(till: Any, books: Any) -> None:
    rates = [
        Rate(unit="prompt", pico_dollars=37_500),
        Rate(unit="prompt", pico_dollars=75_000, from_prompt_tokens=200_000),
        Rate(unit="image", pico_dollars=40_000_000_000),
        Rate(unit="completion", pico_dollars=1),
    ]
    books.prices = billing.ListPricesResponse(
        prices=[
            PriceListed(
                subject="model/gpt-4o", version=4, valid_from_unix_ms=5, source="listed", rates=rates
            ),
            PriceListed(subject="model/own", version=1, source="unpriced"),
        ]
    )
    found = (await till.ask("GET", "/prices?contains=gpt&past=true"))["data"]
    assert found[0]["rates"] == [
        {"unit": "prompt", "usd": "0.0375", "per": 1_000_000, "from_prompt_tokens": 0},
        {"unit": "prompt", "usd": "0.075", "per": 1_000_000, "from_prompt_tokens": 200_000},
        {"unit": "image", "usd": "0.04", "per": 1, "from_prompt_tokens": 0},
        {"unit": "completion", "usd": "0.000001", "per": 1_000_000, "from_prompt_tokens": 0},
    ]
    assert (found[0]["id"], found[0]["version"], found[0]["source"]) == ("model/gpt-4o", 4, "listed")
    assert (found[1]["source"], found[1]["rates"]) == ("unpriced", [])
    asked = books.last(billing.ListPricesRequest)
    assert (asked.contains, asked.past) == ("gpt", True)


async def test_a_rerate_names_what_it_changes(till: Any, books: Any) -> None:
    change = billing.Rerated(
        tenant_id="default", key_id="key_a", model="gpt-4o", postings=2, before_nanos=10, after_nanos=7
    )
    books.rerated = billing.RerateResponse(changes=[change], examined=5, changed=2, difference_nanos=-3)
    body = {"from": "2026-09-01", "to": 1_790_000_000, "dry_run": True, "model": "gpt-4o"}
    assert await till.ask("POST", "/rerate", body) == {
        "object": "rerate",
        "dry_run": True,
        "examined": 5,
        "changed": 2,
        "difference_usd": "-0.000000003",
        "changes": [
            {
                "tenant": "default",
                "key": "key_a",
                "model": "gpt-4o",
                "postings": 2,
                "before_usd": "0.00000001",
                "after_usd": "0.000000007",
                "difference_usd": "-0.000000003",
            }
        ],
    }
    asked = books.last(billing.RerateRequest)
    assert (asked.from_unix_ms, asked.to_unix_ms) == (1_788_220_800_000, 1_790_000_000_000)
    assert (asked.dry_run, asked.tenant_id, asked.model) == (True, "", "gpt-4o")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"from": "2026-09-01"}, "to"),
        ({"from": "yesterday", "to": "2026-09-02"}, "from"),
        ({"from": "2026-09-02", "to": "2026-09-02"}, "to"),
        ({"from": "2026-09-01", "to": "2026-09-02", "dry_run": "yes"}, "dry_run"),
        ({"from_": "2026-09-01", "to": "2026-09-02"}, "from_"),
    ],
)
async def test_a_rerate_of_no_span_is_refused(till: Any, body: Any, param: str) -> None:
    error = await till.error("POST", "/rerate", body, status=400)
    assert param in (error["param"], error["message"].split(":")[0]) or param in error["message"]


async def test_errors_of_billing_keep_their_words(till: Any, books: Any) -> None:
    books.refusing = HiveError(Kind.NOT_FOUND, "There is no tenant 'ghost'.", "tenant")
    assert (await till.error("GET", "/prices", status=404))["message"] == "There is no tenant 'ghost'."
