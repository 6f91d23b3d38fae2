"""`keys`: API keys, what they may use and what they may spend."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from hive_embedded.cli import values
from hive_embedded.cli.output import AsJson, Column, Row, gateway, note, say, say_json, show_or_json

keys = typer.Typer(help="Create, list, change and revoke API keys.", no_args_is_help=True)

Rpm = Annotated[int | None, typer.Option(min=1, help="Requests per minute, at most.")]
Tpm = Annotated[int | None, typer.Option(min=1, help="Tokens per minute, at most.")]
Concurrency = Annotated[int | None, typer.Option(min=1, help="Requests at a time, at most.")]
KeyId = Annotated[str, typer.Argument(help="The key's id, `key_…`.")]


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")] = "",
    named: Annotated[str, typer.Option("--name", help="The same, as an option.")] = "",
    tenant: Annotated[str, typer.Option(help="Who pays.")] = "default",
    model: Annotated[list[str] | None, typer.Option(help="Allow this model only; may be repeated.")] = None,
    models: values.Models = None,
    expires_at: Annotated[int | None, typer.Option(help="Unix seconds.")] = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    concurrency: Concurrency = None,
    budget: values.Budget = None,
    auto_recharge: values.AutoRecharge = None,
    cap_day: values.CapDay = None,
    cap_week: values.CapWeek = None,
    cap_month: values.CapMonth = None,
    as_json: AsJson = False,
) -> None:
    """Create a key. It is shown this once and kept nowhere.

    With `--budget` it spends from a budget of its own, which is moved out of the wallet now; else from the wallet.
    """
    body = {
        "tenant": tenant,
        "name": named or name,
        "models": [*(model or []), *values.words(models)] or None,
        "expires_at": expires_at,
        "rpm": rpm,
        "tpm": tpm,
        "concurrency": concurrency,
        **_money(budget, auto_recharge, values.caps(cap_day, cap_week, cap_month)),
    }
    made = gateway().call("POST", "/keys", body)
    if as_json:
        say_json(made)
        return
    say(made["key"])
    budget_left = made["budget"] and made["budget"]["remaining_usd"]
    spends = f"spends ${budget_left} of its own" if budget_left else "spends from the wallet"
    note(f"Key {made['id']} of tenant {made['tenant']}: {spends}. It is shown this once.")


@keys.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Of this tenant only.")] = None, as_json: AsJson = False
) -> None:
    """List the keys; only their last characters are known."""
    found = [key for key in gateway().get_all("/keys") if tenant in (None, key["tenant"])]
    show_or_json(found, COLUMNS, as_json=as_json)
    if any(key["budget"] and key["budget"]["remaining_usd"] is None for key in found):
        note("Billing does not answer: what is left of the budgets is not known now.")


@keys.command("set")
def set_key(
    key: KeyId,
    name: Annotated[str | None, typer.Option(help="What the key is for.")] = None,
    models: values.Models = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    concurrency: Concurrency = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Used and remaining together, in dollars; none: it spends from the wallet."),
    ] = None,
    auto_recharge: values.AutoRecharge = None,
    cap_day: values.CapDay = None,
    cap_week: values.CapWeek = None,
    cap_month: values.CapMonth = None,
    as_json: AsJson = False,
) -> None:
    """Change what is named, and nothing else; `none` clears a budget, a cap, a rule or the list of models."""
    body = values.given(name=name, rpm=rpm, tpm=tpm, concurrency=concurrency)
    if models is not None:
        body["models"] = None if models == values.NONE else values.words(models)
    body |= _money(budget, auto_recharge, values.caps(cap_day, cap_week, cap_month))
    changed = gateway().call("PATCH", f"/keys/{key}", body)
    show_or_json([changed], COLUMNS, as_json=as_json)


@keys.command("revoke")
def revoke_key(key: KeyId, as_json: AsJson = False) -> None:
    """Revoke a key: within a second no request gets in with it. What is left of its budget goes to the wallet."""
    gone = gateway().call("DELETE", f"/keys/{key}")
    if as_json:
        say_json(gone)
    else:
        say(f"Revoked {key}.")


def _money(budget: str | None, auto_recharge: str | None, caps: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {"caps": caps} if caps else {}
    if budget is not None:
        body["budget_usd"] = values.amount(budget)
    if auto_recharge is not None:
        body["auto_recharge"] = values.rule(auto_recharge)
    return body


def _limits(key: Row) -> str:
    words = [f"{key[name]} {name}" for name in ("rpm", "tpm") if key[name] is not None]
    words += [] if key["concurrency"] is None else [f"{key['concurrency']} at a time"]
    return "\n".join([*words, *values.shown_caps(key["caps"])])


def _budget(key: Row) -> str:
    return (key["budget"] or {}).get("remaining_usd") or ""


def _state(key: Row) -> str:
    if key["revoked"]:
        return "revoked"
    if key["expires_at"] is None:
        return "live"
    return f"until\n{datetime.fromtimestamp(key['expires_at'], UTC):%Y-%m-%d\n%H:%M UTC}"


COLUMNS = (
    Column("id", "id", whole=True),
    Column("tenant", "tenant"),
    Column("name", "name"),
    Column("ends", "last_four", whole=True),
    Column("models", lambda key: values.shown_models(key["models"])),
    Column("limits", _limits, whole=True),
    Column("budget\nleft $", _budget, money=True),
    Column("state", _state, whole=True),
)
