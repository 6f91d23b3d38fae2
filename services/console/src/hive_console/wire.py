"""What clients of the admin API send and see."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from hive_console.amounts import (
    AutoRechargeForm,
    CapsForm,
    Usd,
    cap_changes,
    caps_answer,
    rule_answer,
    usd,
)
from hive_console.budgets import Budget
from hive_console.control import (
    ApiKey,
    Billing,
    Mode,
    Model,
    Provider,
    Routing,
    Strictness,
    Tenant,
    model_key,
)
from hive_console.declarations import LATEST, Form, ModelName, Moment, Name, Title, printable, wrong
from hive_console.keys import Known
from hive_console.pages import Listing

T = TypeVar("T")
ModelIds = Annotated[list[ModelName], AfterValidator(lambda ids: list(dict.fromkeys(ids)))]
Expiry = Annotated[Moment | None, BeforeValidator(lambda value: _unix_seconds(value))]
"""Unix seconds; clients also send a fraction, or a moment in RFC 3339."""
Label = Annotated[Title, BeforeValidator(lambda value: "" if value is None else value)]
Limit = Annotated[int, Field(ge=1, le=10**15)]
LONGEST_TTL = 365 * 86_400
"""Seconds."""


class BillingForm(Form):
    """How a tenant pays."""

    mode: Literal["metered", "prepaid"] = "prepaid"
    strictness: Literal["strict", "balanced"] = "strict"
    default_max_output: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    caps: CapsForm | None = None
    auto_recharge: AutoRechargeForm | None = None

    def changes(self) -> dict[str, Any]:
        """The written fields as `Billing` has them; of `caps`, those that change."""
        values = self.given()
        if "mode" in values:
            values["mode"] = Mode(self.mode)
        if "strictness" in values:
            values["strictness"] = Strictness(self.strictness)
        return _with_money(values)


class CacheForm(Form):
    """What answers are kept for its callers."""

    ttl_seconds: Annotated[int, Field(ge=0, le=LONGEST_TTL)] | None = None
    price_percent: Annotated[int, Field(ge=0, le=100)] = 0


class TenantPatch(Form):
    name: Title = ""
    models: ModelIds | None = None
    disabled: bool = False
    billing: BillingForm = BillingForm()
    cache: CacheForm = CacheForm()

    def values(self) -> dict[str, Any]:
        """The written fields as `Tenant` has them; of `billing` and `cache`, those that change."""
        values = _with_tuple(self.given())
        changes = {"billing": self.billing.changes(), "cache": self.cache.given()}
        return values | {name: given for name, given in changes.items() if name in values}


class NewTenant(TenantPatch):
    """id: where it is not given, the name is one."""

    id: Name = ""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, written: Any) -> Any:
        if isinstance(written, dict) and "id" not in written and "name" in written:
            return {**written, "id": written["name"]}
        return written

    @model_validator(mode="after")
    def _has_id(self) -> NewTenant:
        if not self.id:
            raise wrong("id is missing")
        return self

    def values(self) -> dict[str, Any]:
        return {name: value for name, value in super().values().items() if name != "id"}


class TenantModels(Form):
    models: ModelIds | None


class KeyPatch(Form):
    name: Label = ""
    models: ModelIds | None = None
    expires_at: Expiry = None
    rpm: Limit | None = None
    tpm: Limit | None = None
    concurrency: Limit | None = None
    budget_usd: Usd | None = None
    caps: CapsForm | None = None
    auto_recharge: AutoRechargeForm | None = None

    @property
    def names_budget(self) -> bool:
        return "budget_usd" in self.model_fields_set

    def values(self) -> dict[str, Any]:
        """The written fields as `ApiKey` has them, without the budget; of `caps`, those that change."""
        values = _with_money(_with_tuple(self.given()))
        return {name: value for name, value in values.items() if name != "budget_usd"}


class NewKey(KeyPatch):
    """sha256: of a secret that callers have already, in hexadecimal; last_four: its end, for people to know it by."""

    tenant: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    last_four: Annotated[str, Field(max_length=4), AfterValidator(printable)] = ""

    @model_validator(mode="after")
    def _tells_of_one_secret(self) -> NewKey:
        if self.last_four and self.sha256 is None:
            raise wrong("last_four is of no use without sha256: a key that is made here tells them itself")
        return self

    @property
    def known(self) -> Known | None:
        return None if self.sha256 is None else Known(bytes.fromhex(self.sha256), self.last_four)

    def values(self) -> dict[str, Any]:
        apart = ("tenant", "sha256", "last_four")
        return {name: value for name, value in super().values().items() if name not in apart}


def _unix_seconds(value: object) -> object:
    if isinstance(value, float) and abs(value) < LATEST:
        return math.ceil(value)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise wrong("must be Unix seconds, or a moment such as 2027-01-31T12:00:00Z") from None
        return math.ceil((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    return value


def _with_tuple(values: dict[str, Any]) -> dict[str, Any]:
    if values.get("models") is not None:
        values["models"] = tuple(values["models"])
    return values


def _with_money(values: dict[str, Any]) -> dict[str, Any]:
    if "caps" in values:
        values["caps"] = cap_changes(values["caps"])
    if values.get("auto_recharge") is not None:
        values["auto_recharge"] = values["auto_recharge"].rule()
    return values


def tenant_answer(tenant: Tenant) -> dict[str, Any]:
    return {"object": "tenant", **asdict(tenant), "billing": _billing_answer(tenant.billing)}


def _billing_answer(billing: Billing) -> dict[str, Any]:
    return {
        "mode": billing.mode.value,
        "strictness": billing.strictness.value,
        "default_max_output": billing.default_max_output,
        "caps": caps_answer(billing.caps),
        "auto_recharge": rule_answer(billing.auto_recharge),
    }


def budget_answer(budget: Budget) -> dict[str, Any]:
    """funded = used + remaining. held: what of the remaining is with those who run calls."""
    return {
        "funded_usd": usd(budget.funded),
        "used_usd": usd(budget.used),
        "remaining_usd": usd(budget.balance),
        "held_usd": usd(budget.held),
    }


def key_answer(key: ApiKey, budgets: Mapping[str, Budget] | None) -> dict[str, Any]:
    """budgets: of the keys that have one; None where they are not known now."""
    return {
        "id": key.id,
        "object": "api_key",
        "tenant": key.tenant_id,
        "name": key.name,
        "last_four": key.last_four,
        "models": key.models,
        "expires_at": key.expires_at,
        "rpm": key.rpm,
        "tpm": key.tpm,
        "concurrency": key.concurrency,
        "budget": _budget_of(key, budgets),
        "caps": caps_answer(key.caps),
        "auto_recharge": rule_answer(key.auto_recharge),
        "created_at": key.created_at,
        "revoked": key.revoked,
    }


UNKNOWN_BUDGET = {
    **dict.fromkeys(("funded_usd", "used_usd", "remaining_usd", "held_usd")),
    "note": "Billing does not answer: the amounts are not known now.",
}


def _budget_of(key: ApiKey, budgets: Mapping[str, Budget] | None) -> dict[str, Any] | None:
    if not key.has_budget:
        return None
    return UNKNOWN_BUDGET if budgets is None else budget_answer(budgets[key.id])


def provider_answer(provider: Provider) -> dict[str, Any]:
    return {
        "id": provider.name,
        "object": "provider",
        "name": provider.name,
        "kind": provider.kind,
        "base_url": provider.address,
        "options": provider.options,
        "has_api_key": bool(provider.sealed_credential),
        "timeouts": {phase: seconds or None for phase, seconds in asdict(provider.timeouts).items()},
        "output_bound_field": provider.output_bound_field,
        "free": provider.free,
        "enabled": provider.enabled,
        "source": provider.source.value,
        "created_at": provider.created_at,
    }


def model_answer(model: Model, in_service: set[str]) -> dict[str, Any]:
    """in_service: the control keys of all that callers can use."""
    return {
        "id": model.id,
        "object": "model",
        "deployments": [asdict(each) for each in model.deployments],
        "aliases": model.aliases,
        "fallbacks": model.fallbacks,
        "context_fallbacks": model.context_fallbacks,
        "routing": _routing_answer(model.routing),
        "price": None if model.price is None else {**model.price.units, "per": model.price.per},
        "mode": model.mode,
        "owned_by": model.owner,
        "context_window": model.context_window,
        "created": model.created,
        "source": model.source.value,
        "in_service": model_key(model.id) in in_service,
    }


def _routing_answer(routing: Routing) -> dict[str, Any]:
    region = routing.region
    return {
        "policy": routing.policy.value,
        "region": None if region is None else {"require" if region.required else "prefer": region.name},
        "hedge": asdict(routing.hedge),
        "mirror": None if routing.mirror is None else asdict(routing.mirror),
    }


def deleted_answer(kind: str, id: str) -> dict[str, Any]:
    return {"id": id, "object": f"{kind}.deleted", "deleted": True}


def list_answer(listing: Listing[T], answer: Callable[[T], dict[str, Any]]) -> dict[str, Any]:
    data = [answer(item) for item in listing.items]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": listing.has_more,
    }
