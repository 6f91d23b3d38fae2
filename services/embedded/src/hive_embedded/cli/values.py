"""What is written behind options: lists, rules and caps, as the admin API takes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from hive_embedded.admin import AdminError

NONE = "none"

Budget = Annotated[str | None, typer.Option(help="Dollars of its own, such as 10.00, out of the wallet.")]
AutoRecharge = Annotated[
    str | None,
    typer.Option(help="below=1,amount=5,times=3: below $1, move $5, at most 3 times a day."),
]
CapDay = Annotated[str | None, typer.Option(help="Dollars per day (UTC), at most.")]
CapWeek = Annotated[str | None, typer.Option(help="Dollars per week from Monday, at most.")]
CapMonth = Annotated[str | None, typer.Option(help="Dollars per calendar month, at most.")]
Models = Annotated[str | None, typer.Option(help="Allow these models only, with commas between.")]

CacheTtl = Annotated[
    str | None,
    typer.Option(help="Seconds for which an answer may be given again; 0: never; none: the default."),
]
CachePrice = Annotated[
    int | None,
    typer.Option(min=0, max=100, help="What an answer from the cache costs, in percent of what it cost."),
]

RULE = {"below": "below_usd", "amount": "amount_usd", "times": "times_per_day"}


def words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def amount(text: str) -> str | None:
    """A dollar sign in front is fine; `none` clears."""
    return None if text == NONE else text.removeprefix("$")


def rule(text: str) -> dict[str, Any] | None:
    """`below=1,amount=5,times=3`, or `none`; raises AdminError."""
    if text == NONE:
        return None
    found: dict[str, Any] = {}
    for part in words(text):
        name, _, value = part.partition("=")
        if name not in RULE or not value:
            raise _no_rule(text)
        if name != "times":
            found[RULE[name]] = amount(value)
        elif value.isdecimal():
            found[RULE[name]] = int(value)
        else:
            raise _no_rule(text)
    return found


def caps(day: str | None, week: str | None, month: str | None) -> dict[str, Any]:
    """The caps that were written, `none` for those to clear."""
    written = {"day_usd": day, "week_usd": week, "month_usd": month}
    return {name: amount(text) for name, text in written.items() if text is not None}


def cache(ttl: str | None, price: int | None) -> dict[str, Any]:
    """What was written of a cache's terms, `none` for the deployment's default; raises AdminError."""
    found: dict[str, Any] = {} if price is None else {"price_percent": price}
    if ttl is None:
        return found
    if ttl != NONE and not ttl.isdecimal():
        said = f"--cache-ttl {ttl}: write seconds, such as 3600; 0 keeps nothing, none is the default."
        raise AdminError(said)
    return found | {"ttl_seconds": None if ttl == NONE else int(ttl)}


def given(**values: Any) -> dict[str, Any]:
    """Without what nobody wrote."""
    return {name: value for name, value in values.items() if value is not None}


def shown_rule(value: dict[str, Any] | None) -> str:
    if value is None:
        return ""
    return f"below {value['below_usd']}\n+ {value['amount_usd']}\n{value['times_per_day']} a day"


def shown_caps(value: dict[str, Any]) -> list[str]:
    """Dollars per span, for each span that has a cap."""
    found = {span: value[f"{span}_usd"] for span in ("day", "week", "month")}
    return [f"${usd}/{span}" for span, usd in found.items() if usd is not None]


def shown_cache(value: dict[str, Any]) -> str:
    """For how long, and at which price where it is not free; empty: the deployment's default."""
    seconds, percent = value["ttl_seconds"], value["price_percent"]
    if seconds == 0:
        return "off"
    lines = [] if seconds is None else [f"{seconds} s"]
    return "\n".join([*lines, *([f"at {percent} %"] if percent else [])])


def shown_models(value: Iterable[str] | None) -> str:
    return "all" if value is None else ", ".join(value) or "none"


def _no_rule(text: str) -> AdminError:
    return AdminError(f"--auto-recharge {text}: write it as below=1,amount=5,times=3, or none.")
