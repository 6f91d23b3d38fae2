"""Domain values as rows of console's tables, and rows as domain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row

from hive_console.control import (
    ApiKey,
    AutoRecharge,
    Billing,
    CacheTerms,
    Caps,
    Deployment,
    GuardAction,
    GuardPolicy,
    GuardRule,
    Hedge,
    Mirror,
    Mode,
    Model,
    Policy,
    Price,
    Provider,
    Region,
    Routing,
    Source,
    Strictness,
    Tenant,
    Timeouts,
    Told,
)


def _ids(value: list[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)


def told_of(row: Row[Any]) -> Told:
    return Told(row.key, row.revision, row.record)


def tenant_of(row: Row[Any]) -> Tenant:
    return Tenant(
        id=row.id,
        name=row.name,
        created_at=row.created_at,
        models=_ids(row.models),
        disabled=row.disabled,
        billing=_billing(row.billing),
        cache=CacheTerms(**row.cache),
    )


def tenant_row(tenant: Tenant) -> dict[str, Any]:
    billing = tenant.billing
    words = {"mode": billing.mode.value, "strictness": billing.strictness.value}
    return asdict(tenant) | {"billing": asdict(billing) | words}


def _billing(value: dict[str, Any]) -> Billing:
    """What an older release did not write is as that release was."""
    return Billing(
        mode=Mode(value["mode"]),
        strictness=Strictness(value.get("strictness", Strictness.STRICT.value)),
        default_max_output=value.get("default_max_output"),
        caps=Caps(**value.get("caps", {})),
        auto_recharge=_auto_recharge(value.get("auto_recharge")),
    )


def _auto_recharge(value: dict[str, int] | None) -> AutoRecharge | None:
    return None if value is None else AutoRecharge(**value)


def api_key_of(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        tenant_id=row.tenant_id,
        name=row.name,
        sha256=row.sha256,
        last_four=row.last_four,
        created_at=row.created_at,
        models=_ids(row.models),
        expires_at=row.expires_at,
        rpm=row.rpm,
        tpm=row.tpm,
        concurrency=row.concurrency,
        has_budget=row.has_budget,
        caps=Caps(**row.caps),
        auto_recharge=_auto_recharge(row.auto_recharge),
        revoked=row.revoked,
    )


def policy_of(row: Row[Any]) -> GuardPolicy:
    return GuardPolicy(
        tenant_id=row.tenant_id,
        key_id=row.key_id,
        rules=tuple(GuardRule(**rule | {"action": GuardAction(rule["action"])}) for rule in row.rules),
        denied_words=tuple(row.denied_words),
        locked=tuple(row.locked),
    )


def policy_row(policy: GuardPolicy) -> dict[str, Any]:
    return asdict(policy) | {
        "rules": [asdict(rule) | {"action": rule.action.value} for rule in policy.rules],
        "denied_words": list(policy.denied_words),
        "locked": list(policy.locked),
    }


def provider_of(row: Row[Any]) -> Provider:
    return Provider(
        name=row.id,
        kind=row.kind,
        source=Source(row.source),
        created_at=row.created_at,
        base_url=row.base_url,
        sealed_credential=row.sealed_credential,
        timeouts=Timeouts(**row.timeouts),
        output_bound_field=row.output_bound_field,
        free=row.free,
        enabled=row.enabled,
        options=row.options,
    )


def provider_row(provider: Provider) -> dict[str, Any]:
    row = asdict(provider)
    return {name: row[name] for name in row if name not in ("name", "source")}


def model_of(row: Row[Any], parts: Sequence[Deployment]) -> Model:
    return Model(
        id=row.id,
        deployments=tuple(parts),
        source=Source(row.source),
        created=row.created,
        fallbacks=tuple(row.fallbacks),
        aliases=tuple(row.aliases),
        context_fallbacks=tuple(row.context_fallbacks),
        routing=_routing(row.routing),
        price=None if row.price is None else Price(**row.price),
        mode=row.mode,
        owned_by=row.owned_by,
        context_window=row.context_window,
    )


def deployment_of(row: Row[Any]) -> Deployment:
    return Deployment(
        provider=row.provider,
        model=row.model,
        weight=row.weight,
        order=row.order,
        region=row.region,
        rpm=row.rpm,
        tpm=row.tpm,
    )


def _routing(value: dict[str, Any]) -> Routing:
    """What an older release did not write is as that release was."""
    region, mirror = value.get("region"), value.get("mirror")
    return Routing(
        policy=Policy(value.get("policy", Policy.WEIGHTED.value)),
        region=None if region is None else Region(**region),
        hedge=Hedge(**value.get("hedge", {})),
        mirror=None if mirror is None else Mirror(**mirror),
    )


def model_row(model: Model) -> dict[str, Any]:
    return {
        "fallbacks": list(model.fallbacks),
        "aliases": list(model.aliases),
        "context_fallbacks": list(model.context_fallbacks),
        "routing": asdict(model.routing) | {"policy": model.routing.policy.value},
        "price": None if model.price is None else asdict(model.price),
        "mode": model.mode,
        "owned_by": model.owned_by,
        "context_window": model.context_window,
        "created": model.created,
    }


def deployment_rows(model: Model) -> Sequence[dict[str, Any]]:
    return [
        {"model_id": model.id, "source": model.source.value, "position": position, **asdict(deployment)}
        for position, deployment in enumerate(model.deployments)
    ]
