"""`wallet`: what tenants have to spend."""

from __future__ import annotations

from typing import Annotated

import typer

from hive_embedded.cli import values
from hive_embedded.cli.output import AsJson, Column, gateway, say, say_json, show_or_json

wallet = typer.Typer(help="Credit and show the wallets of tenants.", no_args_is_help=True)


@wallet.command("credit")
def credit(
    tenant: Annotated[str, typer.Argument(help="Whose wallet.")],
    amount: Annotated[str, typer.Argument(help="Dollars, such as 25.00.")],
    note: Annotated[str, typer.Option(help="What the ledger shall say about it.")] = "",
    idempotency_key: Annotated[
        str | None, typer.Option(help="Credits with the same key are made once.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put money into a wallet."""
    body = {"amount_usd": values.amount(amount), "note": note, "idempotency_key": idempotency_key}
    done = gateway().call("POST", f"/wallets/{tenant}/credit", body)
    if as_json:
        say_json(done)
        return
    words = (
        f"Credited ${done['amount_usd']} to"
        if done["posted"]
        else "That credit was made before: nothing more to"
    )
    say(f"{words} {tenant}, whose wallet holds ${done['wallet']['balance_usd']}.")
    if done["wallet"]["mode"] == "metered":
        say(
            f"{tenant} is metered: it spends without a wallet (`modelhive tenants set {tenant} --mode prepaid`)."
        )


@wallet.command("show")
def show_wallet(
    tenant: Annotated[str | None, typer.Argument(help="Whose; default: all.")] = None, as_json: AsJson = False
) -> None:
    """Show what is in the wallets, in the budgets of their keys, and what was used."""
    found = gateway().get_all("/wallets") if tenant is None else [gateway().call("GET", f"/wallets/{tenant}")]
    show_or_json(found, COLUMNS, as_json=as_json)


COLUMNS = (
    Column("tenant", "tenant"),
    Column("mode", "mode"),
    Column("balance $", "balance_usd", money=True),
    Column("held $", "held_usd", money=True),
    Column("in\nbudgets $", "budgets_usd", money=True),
    Column("funded $", "funded_usd", money=True),
    Column("used $", "used_usd", money=True),
    Column("owed $", "receivable_usd", money=True),
)
