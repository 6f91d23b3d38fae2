"""`tenants`: who pays, and how."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

import typer

from hive_embedded.cli import values
from hive_embedded.cli.output import AsJson, Column, Row, gateway, show_or_json

tenants = typer.Typer(help="Create, list and change tenants: who pays, and how.", no_args_is_help=True)


class Mode(str, Enum):  # noqa: UP042 - typer shows the values of these
    METERED = "metered"
    PREPAID = "prepaid"


class Strictness(str, Enum):  # noqa: UP042
    STRICT = "strict"
    BALANCED = "balanced"


PaysBy = Annotated[
    Mode | None, typer.Option(help="prepaid: what the wallet holds; metered: everything, later.")
]
Holds = Annotated[
    Strictness | None, typer.Option(help="What is held for a call: an upper bound, or the likely cost.")
]
MaxOutput = Annotated[int | None, typer.Option(min=1, help="Output tokens where a caller names no bound.")]
Name = Annotated[str | None, typer.Option(help="A name for people.")]


@tenants.command("list")
def list_tenants(as_json: AsJson = False) -> None:
    """List the tenants."""
    show_or_json(gateway().get_all("/tenants"), COLUMNS, as_json=as_json)


@tenants.command("create")
def create_tenant(
    tenant: Annotated[str, typer.Argument(help="Its id: letters, digits, `.`, `_` and `-`.")],
    name: Name = None,
    models: values.Models = None,
    mode: PaysBy = None,
    strictness: Holds = None,
    default_max_output: MaxOutput = None,
    auto_recharge: values.AutoRecharge = None,
    cap_day: values.CapDay = None,
    cap_week: values.CapWeek = None,
    cap_month: values.CapMonth = None,
    cache_ttl: values.CacheTtl = None,
    cache_price: values.CachePrice = None,
    as_json: AsJson = False,
) -> None:
    """Create a tenant; it is prepaid unless you say otherwise."""
    caps, cache = values.caps(cap_day, cap_week, cap_month), values.cache(cache_ttl, cache_price)
    fields = _fields(name, models, mode, strictness, default_max_output, auto_recharge, caps, cache)
    body = {"id": tenant, **fields}
    show_or_json([gateway().call("POST", "/tenants", body)], COLUMNS, as_json=as_json)


@tenants.command("set")
def set_tenant(
    tenant: Annotated[str, typer.Argument(help="Its id.")],
    name: Name = None,
    models: values.Models = None,
    mode: PaysBy = None,
    strictness: Holds = None,
    default_max_output: MaxOutput = None,
    auto_recharge: values.AutoRecharge = None,
    cap_day: values.CapDay = None,
    cap_week: values.CapWeek = None,
    cap_month: values.CapMonth = None,
    cache_ttl: values.CacheTtl = None,
    cache_price: values.CachePrice = None,
    as_json: AsJson = False,
) -> None:
    """Change what is named, and nothing else; `none` clears a cap, a rule, the cache's time or the models."""
    caps, cache = values.caps(cap_day, cap_week, cap_month), values.cache(cache_ttl, cache_price)
    body = _fields(name, models, mode, strictness, default_max_output, auto_recharge, caps, cache)
    show_or_json([gateway().call("PATCH", f"/tenants/{tenant}", body)], COLUMNS, as_json=as_json)


def _fields(
    name: str | None,
    models: str | None,
    mode: Mode | None,
    strictness: Strictness | None,
    default_max_output: int | None,
    auto_recharge: str | None,
    caps: dict[str, Any],
    cache: dict[str, Any],
) -> dict[str, Any]:
    billing = values.given(
        mode=mode and mode.value,
        strictness=strictness and strictness.value,
        default_max_output=default_max_output,
        caps=caps or None,
    )
    if auto_recharge is not None:
        billing["auto_recharge"] = values.rule(auto_recharge)
    body = values.given(name=name, billing=billing or None, cache=cache or None)
    if models is not None:
        body["models"] = None if models == values.NONE else values.words(models)
    return body


def _pays(tenant: Row) -> str:
    billing = tenant["billing"]
    return f"{billing['mode']}, {billing['strictness']}"


COLUMNS = (
    Column("id", "id", whole=True),
    Column("name", "name"),
    Column("pays", _pays),
    Column("caps", lambda tenant: "\n".join(values.shown_caps(tenant["billing"]["caps"])), whole=True),
    Column(
        "auto-recharge $", lambda tenant: values.shown_rule(tenant["billing"]["auto_recharge"]), whole=True
    ),
    Column("cache", lambda tenant: values.shown_cache(tenant["cache"]), whole=True),
    Column("models", lambda tenant: values.shown_models(tenant["models"])),
    Column("state", lambda tenant: "disabled" if tenant["disabled"] else "live"),
)
