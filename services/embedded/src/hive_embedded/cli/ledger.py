"""`ledger`, `prices`, `rerate` and `doctor`: the books, and whether they are right."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from hive_embedded.cli.output import (
    AsJson,
    Column,
    Row,
    fail,
    gateway,
    note,
    say,
    say_json,
    show,
)

LONG_SECONDS = 660

ledger = typer.Typer(help="Show and verify the ledger.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.add_typer(ledger, name="ledger")
    app.command()(prices)
    app.command()(rerate)
    app.command()(doctor)


@ledger.command("show")
def show_ledger(
    key: Annotated[str, typer.Option(help="Of this key only.")] = "",
    tenant: Annotated[str, typer.Option(help="Of this tenant only.")] = "",
    account: Annotated[str, typer.Option(help="That moved this account, such as `wallet:default`.")] = "",
    request: Annotated[str, typer.Option(help="Of this request only.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Postings, at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the newest postings; the entries of each sum to zero."""
    query = {"key": key, "tenant": tenant, "account": account, "request": request, "limit": limit}
    found = gateway().get("/ledger", query)
    if as_json:
        say_json(found["data"])
        return
    show([*_lines(found["data"])], ENTRIES, ends=lambda line: bool(line["last"]))
    if found["has_more"]:
        note(f"There are more: --limit {min(limit * 10, 1000)} shows some of them.")


@ledger.command("verify")
def verify(as_json: AsJson = False) -> None:
    """Sum the whole ledger anew: every posting to zero, every balance with its entries. Exits with 1 if not."""
    found = gateway().call("POST", "/ledger/verify", seconds=LONG_SECONDS)
    if as_json:
        say_json(found)
        raise SystemExit(0 if found["ok"] else 1)
    show(found["balances"], BALANCES)
    _fail_with_first(found["problems"])
    say(
        f"{found['postings']} postings, up to {found['last_posting']}: every one sums to zero, every balance is right."
    )


def prices(
    text: Annotated[str, typer.Argument(help="Part of a model's or provider's name; default: all.")] = "",
    past: Annotated[bool, typer.Option("--past", help="Also prices that are not valid any more.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what models cost (`model/…`) and what providers charge (`deployment/…`)."""
    found = gateway().get("/prices", {"contains": text, "past": str(past).lower()})["data"]
    if as_json:
        say_json(found)
    else:
        show([*_rates(found)], RATES, ends=lambda line: bool(line["last"]))


def rerate(
    start: Annotated[
        str, typer.Option("--from", help="From this day or moment on, such as 2026-11-01 or 7d.")
    ],
    end: Annotated[str, typer.Option("--to", help="Up to this day or moment, without it.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="Of this model only.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Of this tenant only.")] = None,
    as_json: AsJson = False,
) -> None:
    """Price usage again by the prices of today, and post the differences as corrections."""
    body = {"from": start, "to": end, "dry_run": dry_run, "model": model, "tenant": tenant}
    done = gateway().call("POST", "/rerate", body, seconds=LONG_SECONDS)
    if as_json:
        say_json(done)
        return
    show(done["changes"], CHANGES)
    would = "would be corrected" if dry_run else "were corrected"
    say(
        f"{done['changed']} of {done['examined']} postings {would}; "
        f"the difference is ${done['difference_usd']}."
    )


def doctor(as_json: AsJson = False) -> None:
    """Compare ledger, balances and analytics to the nano-dollar. Exits with 1 and the first difference."""
    found = gateway().call("GET", "/doctor", seconds=LONG_SECONDS)
    if as_json:
        say_json(found)
        raise SystemExit(0 if found["ok"] else 1)
    say(f"Ledger: {found['postings']} postings, the last is {found['last_posting']}.")
    say(f"Watermark: analytics has every posting up to {found['watermark']}; both were compared up to there.")
    _say_estimated(found["estimated"])
    _fail_with_first(found["problems"])
    say("Ledger, balances and analytics agree to the nano-dollar.")


def _say_estimated(estimated: dict[str, Any]) -> None:
    say(
        f"Estimated: {estimated['postings']} postings rest on our own count, for the provider gave no figures."
    )
    if estimated["first"]:
        show(estimated["first"], ESTIMATED)


def _fail_with_first(problems: list[str]) -> None:
    if problems:
        more = len(problems) - 1
        fail(problems[0], *([f"and {more} more differences; --json has all of them"] if more else []))


def _lines(postings: list[dict[str, Any]]) -> Iterator[Row]:
    """One line for each posting, and one for each of its entries."""
    for posting in postings:
        when = datetime.fromtimestamp(posting["occurred_unix_ms"] // 1000, UTC)
        kind = posting["kind"] + (" (estimated)" if posting["estimated"] else "")
        head = {"number": posting["id"], "when": f"{when:%Y-%m-%d %H:%M:%S}", "kind": kind}
        yield {**head, "account": posting["cause"], "last": not posting["entries"]}
        for place, entry in enumerate(posting["entries"], 1):
            yield {
                "account": f"  {entry['account']}",
                "amount": entry["amount_usd"],
                "last": place == len(posting["entries"]),
            }


def _rates(found: list[dict[str, Any]]) -> Iterator[Row]:
    """One line for each rate; the subject stands on the first."""
    for price in found:
        rates = price["rates"] or [{"unit": "", "usd": "", "per": None, "from_prompt_tokens": 0}]
        since = datetime.fromtimestamp(price["valid_from_unix_ms"] // 1000, UTC)
        head = {"subject": price["id"], "source": price["source"], "since": f"{since:%Y-%m-%d}"}
        for place, rate in enumerate(rates, 1):
            tier = rate["from_prompt_tokens"]
            yield {
                **(head if place == 1 else {}),
                "unit": rate["unit"],
                "usd": rate["usd"],
                "per": {1_000_000: "million", 1: "one", None: ""}[rate["per"]],
                "from": f"from {tier} tokens" if tier else "",
                "last": place == len(rates),
            }


ENTRIES = (
    Column("#", "number", number=True),
    Column("occurred (UTC)", "when", whole=True),
    Column("kind", "kind"),
    Column("cause and accounts", "account"),
    Column("amount $", "amount", money=True),
)
BALANCES = (Column("account", "account"), Column("balance $", "amount_usd", money=True))
RATES = (
    Column("subject", "subject"),
    Column("source", "source"),
    Column("since", "since", whole=True),
    Column("unit", "unit", whole=True),
    Column("price $", "usd", money=True),
    Column("per", "per", whole=True),
    Column("", "from"),
)
CHANGES = (
    Column("tenant", "tenant"),
    Column("key", "key", whole=True),
    Column("model", "model"),
    Column("postings", "postings", number=True),
    Column("before $", "before_usd", money=True),
    Column("after $", "after_usd", money=True),
    Column("difference $", "difference_usd", money=True),
)
ESTIMATED = (
    Column("#", "posting", number=True),
    Column("request", "request"),
    Column("deployment", "deployment"),
    Column("spent $", "spent_usd", money=True),
    Column("provider\ncost $", "provider_cost_usd", money=True),
)
