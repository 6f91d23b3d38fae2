"""What operators do with money beside a running gateway: wallets, budgets, usage, the ledger and the doctor."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hive_testing.gateway import Door, Gateway, clean_environment, eventually, run_command
from hive_testing.simulator import SimulatorThread

pytestmark = pytest.mark.embedded

PRICE = {"prompt": "2.50", "completion": "10", "per": 1_000_000}
CALL = {"messages": [{"role": "user", "content": "What is a bee?"}], "max_tokens": 20}


@pytest.fixture(scope="module")
def bank(catalogue: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose default tenant is prepaid and began with $10."""
    with Gateway(
        tmp_path_factory.mktemp("bank"), catalogue, HIVE_BOOTSTRAP_CREDIT_USD="10.00", COLUMNS="100"
    ) as running:
        yield running


@pytest.fixture
def tenant(bank: Gateway, request: pytest.FixtureRequest) -> str:
    """A prepaid tenant of the test's own, with $5."""
    id = f"of-{abs(hash(request.node.name)) % 10**8}"
    parsed(bank, "tenants", "create", id)
    parsed(bank, "wallet", "credit", id, "5")
    return id


def parsed(gateway: Gateway, *arguments: str, code: int = 0) -> Any:
    """What a command prints with --json."""
    done = gateway.command(*arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def refused(gateway: Gateway, *arguments: str) -> str:
    done = gateway.command(*arguments)
    assert done.returncode == 1 and done.stdout == "" and "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    return done.stderr


def wallet(gateway: Gateway, tenant: str) -> dict[str, str]:
    (found,) = parsed(gateway, "wallet", "show", tenant)
    return dict(found)


def key_for(gateway: Gateway, tenant: str, *options: str) -> dict[str, Any]:
    made: dict[str, Any] = parsed(gateway, "keys", "create", "--tenant", tenant, *options)
    eventually(lambda: Door(gateway.url, made["key"]).ask("GET", "/v1/models").status == 200)
    return made


def call(gateway: Gateway, key: str, model: str = "gpt-4o") -> Decimal:
    """One chat call, and its exact price by the usage it names."""
    answer = Door(gateway.url, key).ask("POST", "/v1/chat/completions", {"model": model, **CALL})
    assert answer.status == 200, answer
    usage = answer.json["usage"]
    return Decimal(usage["prompt_tokens"]) * Decimal("0.0000025") + Decimal(
        usage["completion_tokens"]
    ) * Decimal("0.00001")


def used(gateway: Gateway, tenant: str) -> Decimal:
    return Decimal(wallet(gateway, tenant)["used_usd"])


def test_the_first_wallet_began_with_its_credit(bank: Gateway) -> None:
    found = wallet(bank, "default")
    assert (found["mode"], found["funded_usd"]) == ("prepaid", "10.00")
    (first, *_) = reversed(parsed(bank, "ledger", "show", "--account", "wallet:default"))
    assert first["cause"] == "bootstrap:default"


def test_a_wallet_is_credited_once_per_key(bank: Gateway, tenant: str) -> None:
    once = ["wallet", "credit", tenant, "2.25", "--idempotency-key", "invoice-7"]
    assert [parsed(bank, *once)["posted"] for _ in range(2)] == [True, False]
    assert wallet(bank, tenant)["balance_usd"] == "7.25"
    shown = bank.command(*once).stdout
    assert "made before" in shown and "$7.25" in shown


def test_a_budget_from_the_wallet_and_back(bank: Gateway, tenant: str) -> None:
    made = key_for(
        bank, tenant, "--budget", "2", "--cap-day", "1.50", "--rpm", "60", "--models", "gpt-4o,backup"
    )
    assert made["budget"]["remaining_usd"] == "2.00" and made["models"] == ["gpt-4o", "backup"]
    assert (made["rpm"], made["caps"]["day_usd"]) == (60, "1.50")
    assert wallet(bank, tenant)["balance_usd"] == "3.00"

    price = call(bank, made["key"])
    eventually(lambda: used(bank, tenant) == price, what="the call in the books")
    changed, *_ = parsed(
        bank, "keys", "set", made["id"], "--budget", "1", "--auto-recharge", "below=0.1,amount=1"
    )
    assert Decimal(changed["budget"]["used_usd"]) == price
    assert Decimal(changed["budget"]["remaining_usd"]) == 1 - price
    assert changed["auto_recharge"] == {"below_usd": "0.10", "amount_usd": "1.00", "times_per_day": 1}
    assert wallet(bank, tenant)["balance_usd"] == "4.00"

    assert bank.command("keys", "revoke", made["id"]).returncode == 0
    eventually(
        lambda: Decimal(wallet(bank, tenant)["balance_usd"]) == 5 - price, what="the rest of the budget"
    )


def test_a_wallet_with_too_little_makes_no_key(bank: Gateway, tenant: str) -> None:
    assert "$5.01" in refused(bank, "keys", "create", "--tenant", tenant, "--budget", "5.01")
    assert parsed(bank, "keys", "list", "--tenant", tenant) == []


def test_usage_by_whatever_is_asked(bank: Gateway, tenant: str, simulator: SimulatorThread) -> None:
    keys = [key_for(bank, tenant) for _ in range(2)]
    prices = {key["id"]: call(bank, key["key"]) for key in keys}
    mine = ["--where", f"tenant={tenant}", "--since", "1h"]

    def by_key() -> dict[str, Decimal]:
        rows = parsed(bank, "usage", "--by", "key", *mine)["data"]
        return {row["key"]: Decimal(row["spent"]) for row in rows if row["requests"]}

    eventually(lambda: by_key() == prices, 15, "the calls in the store")
    (row,) = [row for row in parsed(bank, "usage", "--by", "model", *mine)["data"] if row["model"]]
    assert (row["model"], row["requests"], Decimal(row["spent"])) == ("gpt-4o", 2, sum(prices.values()))

    lines = list(csv.DictReader(io.StringIO(bank.command("usage", "--by", "day", "--csv", *mine).stdout)))
    assert sum(Decimal(line["spent"]) for line in lines) == sum(prices.values())
    shown = bank.command("usage", "--by", "key", *mine)
    assert shown.returncode == 0 and all(key in shown.stdout for key in prices)
    assert max(map(len, shown.stdout.splitlines())) <= 100
    spend = parsed(bank, "usage", "--question", "spend", "--step", "hour", "--by", "tenant", *mine)
    assert sum(Decimal(row["spent"]) for row in spend["data"]) == sum(prices.values())


def test_the_questions_and_how_they_are_refused(bank: Gateway) -> None:
    names = [each["id"] for each in parsed(bank, "usage", "questions")]
    assert {"usage", "spend", "latency", "runway"} <= {*names}
    for name in names:
        assert bank.admin("GET", f"/usage?question={name}")["question"] == name
    for name in ("slowest", "runway"):
        assert parsed(bank, "usage", "--question", name)["question"] == name
    assert "spend" in refused(bank, "usage", "--question", "spent")
    assert "deployment" in refused(bank, "usage", "--by", "colour")
    assert "7d" in refused(bank, "usage", "--since", "lately")
    assert "choose one" in refused(bank, "usage", "--json", "--csv")


def test_the_ledger_sums_to_zero(bank: Gateway, tenant: str) -> None:
    made = key_for(bank, tenant, "--budget", "1")
    price = call(bank, made["key"])
    eventually(lambda: used(bank, tenant) == price)
    postings = parsed(bank, "ledger", "show", "--key", made["id"])
    assert [posting["kind"] for posting in postings] == ["usage", "transfer"]
    assert all(sum(Decimal(entry["amount_usd"]) for entry in each["entries"]) == 0 for each in postings)
    assert Decimal(postings[0]["spent_usd"]) == price
    shown = bank.command("ledger", "show", "--tenant", tenant, "--limit", "2").stdout
    assert f"budget:{made['id']}" in shown and max(map(len, shown.splitlines())) <= 100

    found = parsed(bank, "ledger", "verify")
    assert found["ok"] and sum(Decimal(each["amount_usd"]) for each in found["balances"]) == 0
    assert "sums to zero" in bank.command("ledger", "verify").stdout


def test_the_prices(bank: Gateway) -> None:
    (price,) = [each for each in parsed(bank, "prices", "gpt-4o") if each["id"] == "model/gpt-4o"]
    rates = {rate["unit"]: (rate["usd"], rate["per"]) for rate in price["rates"]}
    assert price["source"] == "configured"
    assert rates == {"prompt": ("2.50", 1_000_000), "completion": ("10.00", 1_000_000)}
    shown = bank.command("prices", "gpt-4o").stdout
    assert "model/gpt-4o" in shown and "2.50" in shown and "local/" not in shown


def test_a_rerate_by_a_new_price(bank: Gateway, tenant: str, simulator: SimulatorThread) -> None:
    model = bank.add_model()
    bank.admin("PATCH", f"/models/{model}", {"price": PRICE})
    made = key_for(bank, tenant)
    price = call(bank, made["key"], model)
    eventually(lambda: used(bank, tenant) == price)
    halved = {"prompt": "1.25", "completion": "5", "per": 1_000_000}
    bank.admin("PATCH", f"/models/{model}", {"price": halved})

    again = ["rerate", "--from", "1h", "--to", "2100-01-01", "--model", model]
    eventually(lambda: parsed(bank, *again, "--dry-run")["changed"] == 1, what="the new price")
    assert used(bank, tenant) == price
    done = parsed(bank, *again)
    assert (done["changed"], Decimal(done["difference_usd"])) == (1, -price / 2)
    assert used(bank, tenant) == price / 2
    assert "0 of" in bank.command(*again).stdout


def test_the_doctor_finds_nothing(bank: Gateway, tenant: str) -> None:
    made = key_for(bank, tenant)
    price = call(bank, made["key"])
    eventually(lambda: used(bank, tenant) == price)
    last = parsed(bank, "ledger", "show", "--limit", "1")[0]["id"]
    found = parsed(bank, "doctor")
    assert found["ok"] and found["problems"] == []
    eventually(lambda: parsed(bank, "doctor")["watermark"] >= last, 15, "the watermark")
    shown = bank.command("doctor")
    assert shown.returncode == 0 and "Watermark" in shown.stdout and "agree" in shown.stdout


def test_the_doctor_names_the_first_difference(catalogue: dict[str, Any], tmp_path: Path) -> None:
    with Gateway(tmp_path, catalogue, HIVE_BOOTSTRAP_CREDIT_USD="10.00") as gateway:
        assert parsed(gateway, "doctor")["ok"]
        with closing(sqlite3.connect(tmp_path / "data" / "billing.db")) as books, books:
            books.execute("UPDATE balances SET amount = amount + 1 WHERE account = 'wallet:default'")
        done = gateway.command("doctor")
        assert done.returncode == 1 and "error:" in done.stderr and "wallet:default" in done.stderr
        assert "agree" not in done.stdout
        assert not parsed(gateway, "doctor", code=1)["ok"]
        assert "wallet:default" in gateway.command("ledger", "verify").stderr


def test_how_a_tenant_pays(bank: Gateway, tenant: str) -> None:
    changed, *_ = parsed(
        bank, "tenants", "set", tenant, "--mode", "metered", "--strictness", "balanced", "--cap-month", "9.5"
    )
    assert changed["billing"]["mode"] == "metered" and changed["billing"]["caps"]["month_usd"] == "9.50"
    cleared, *_ = parsed(bank, "tenants", "set", tenant, "--cap-month", "none")
    assert cleared["billing"]["caps"]["month_usd"] is None
    assert cleared["billing"]["strictness"] == "balanced"
    shown = bank.command("tenants", "list").stdout
    assert tenant in shown and max(map(len, shown.splitlines())) <= 100
    assert "metered" in bank.command("wallet", "credit", tenant, "1").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["wallet", "credit", "nobody", "1"], "nobody"),
        (["wallet", "show", "no body/at?all"], "There is no"),
        (["wallet", "credit", "default", "1.0000000001"], "nano-dollar"),
        (["wallet", "credit", "default", "ten"], "12.50"),
        (["keys", "create", "--budget", "1e3"], "12.50"),
        (["keys", "create", "--auto-recharge", "below=1,amount=5"], "budget_usd"),
        (["keys", "create", "--budget", "1", "--auto-recharge", "often"], "below=1,amount=5,times=3"),
        (["tenants", "create", "a b"], "must be 1 to 64"),
        (["rerate", "--from", "2026-11-02", "--to", "2026-11-01"], "is not after"),
        (["ledger", "show", "--tenant", "x", "--key"], "--key"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_in_plain_words(bank: Gateway, arguments: list[str], words: str) -> None:
    done = bank.command(*arguments)
    assert done.returncode in (1, 2) and done.stdout == ""
    assert words in done.stderr and "Traceback" not in done.stderr


def test_help_names_every_group(tmp_path: Path) -> None:
    done = run_command(["--help"], clean_environment(tmp_path), tmp_path)
    names = ("tenants", "wallet", "usage", "ledger", "prices", "rerate", "doctor")
    assert done.returncode == 0 and all(name in done.stdout for name in names)
