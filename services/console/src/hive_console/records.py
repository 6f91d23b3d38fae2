"""Control records: what the other services hear of a tenant, a key, a guard policy, a provider or a model."""

from __future__ import annotations

from hive_console.control import (
    ApiKey,
    AutoRecharge,
    Billing,
    CacheTerms,
    Caps,
    GuardAction,
    GuardPolicy,
    Mode,
    Model,
    Policy,
    Provider,
    Routing,
    Strictness,
    Tenant,
    api_key_key,
    guard_key,
    model_key,
    provider_key,
    tenant_key,
)
from modelhive.common.v1.common_pb2 import ModelList
from modelhive.control.v1 import control_pb2
from modelhive.control.v1.control_pb2 import ControlChanged

Entity = Tenant | ApiKey | GuardPolicy | Provider | Model


def record_of(entity: Entity, revision: int) -> ControlChanged:
    match entity:
        case Tenant():
            return ControlChanged(key=tenant_key(entity.id), revision=revision, tenant=_tenant(entity))
        case ApiKey():
            return ControlChanged(key=api_key_key(entity.id), revision=revision, api_key=_api_key(entity))
        case GuardPolicy():
            return ControlChanged(
                key=guard_key(entity.id), revision=revision, guard_policy=_guard_policy(entity)
            )
        case Provider():
            return ControlChanged(
                key=provider_key(entity.name), revision=revision, provider=_provider(entity)
            )
        case Model():
            return ControlChanged(key=model_key(entity.id), revision=revision, model=_model(entity))


def _models(ids: tuple[str, ...] | None) -> ModelList | None:
    return None if ids is None else ModelList(ids=ids)


def _tenant(tenant: Tenant) -> control_pb2.Tenant:
    return control_pb2.Tenant(
        id=tenant.id,
        name=tenant.name,
        models=_models(tenant.models),
        disabled=tenant.disabled,
        billing=_billing(tenant.billing),
        cache=_cache(tenant.cache),
    )


MODES = {
    Mode.METERED: control_pb2.BILLING_MODE_METERED,
    Mode.PREPAID: control_pb2.BILLING_MODE_PREPAID,
}


def _billing(billing: Billing) -> control_pb2.Billing:
    return control_pb2.Billing(
        mode=MODES[billing.mode],
        balanced=billing.strictness is Strictness.BALANCED,
        default_max_output=billing.default_max_output or 0,
        caps=_caps(billing.caps),
        auto_recharge=_auto_recharge(billing.auto_recharge),
    )


def _caps(caps: Caps) -> control_pb2.Caps | None:
    if caps == Caps():
        return None
    return control_pb2.Caps(
        day_nanos=caps.day_nanos, week_nanos=caps.week_nanos, month_nanos=caps.month_nanos
    )


def _auto_recharge(rule: AutoRecharge | None) -> control_pb2.AutoRecharge | None:
    if rule is None:
        return None
    return control_pb2.AutoRecharge(
        below_nanos=rule.below_nanos, amount_nanos=rule.amount_nanos, times_per_day=rule.times_per_day
    )


def _cache(terms: CacheTerms) -> control_pb2.CacheTerms | None:
    if terms == CacheTerms():
        return None
    return control_pb2.CacheTerms(ttl_seconds=terms.ttl_seconds, price_percent=terms.price_percent)


def _api_key(key: ApiKey) -> control_pb2.ApiKey:
    return control_pb2.ApiKey(
        id=key.id,
        tenant_id=key.tenant_id,
        name=key.name,
        sha256=key.sha256,
        models=_models(key.models),
        expires_at_unix=key.expires_at,
        rpm=key.rpm,
        tpm=key.tpm,
        concurrency=key.concurrency,
        has_budget=key.has_budget,
        caps=_caps(key.caps),
        auto_recharge=_auto_recharge(key.auto_recharge),
    )


ACTIONS = {
    GuardAction.OBSERVE: control_pb2.GUARD_ACTION_OBSERVE,
    GuardAction.REDACT: control_pb2.GUARD_ACTION_REDACT,
    GuardAction.BLOCK: control_pb2.GUARD_ACTION_BLOCK,
}


def _guard_policy(policy: GuardPolicy) -> control_pb2.GuardPolicy:
    return control_pb2.GuardPolicy(
        tenant_id=policy.tenant_id,
        key_id=policy.key_id or "",
        rules=[
            control_pb2.GuardRule(
                guard=rule.guard,
                action=ACTIONS[rule.action],
                input=rule.input,
                output=rule.output,
                threshold=rule.threshold,
            )
            for rule in policy.rules
        ],
        denied_words=policy.denied_words,
        locked=policy.locked,
    )


def _provider(provider: Provider) -> control_pb2.Provider:
    timeouts = provider.timeouts
    return control_pb2.Provider(
        id=provider.name,
        kind=provider.kind,
        base_url=provider.address,
        sealed_credential=provider.sealed_credential,
        timeouts=control_pb2.Timeouts(
            connect=timeouts.connect,
            first_byte=timeouts.first_byte,
            idle=timeouts.idle,
            total=timeouts.total,
        ),
        output_bound_field=provider.bound_field,
        free=provider.free,
        options=provider.options,
    )


POLICIES = {
    Policy.WEIGHTED: control_pb2.ROUTING_POLICY_WEIGHTED,
    Policy.LEAST_BUSY: control_pb2.ROUTING_POLICY_LEAST_BUSY,
    Policy.LOWEST_LATENCY: control_pb2.ROUTING_POLICY_LOWEST_LATENCY,
    Policy.CHEAPEST: control_pb2.ROUTING_POLICY_CHEAPEST,
    Policy.STICKY: control_pb2.ROUTING_POLICY_STICKY,
}


def _routing(routing: Routing) -> control_pb2.Routing | None:
    if routing == Routing():
        return None
    region, mirror = routing.region, routing.mirror
    return control_pb2.Routing(
        policy=POLICIES[routing.policy],
        region="" if region is None else region.name,
        region_required=region is not None and region.required,
        hedge_after_ms=routing.hedge.after_ms,
        no_hedge_by_header=not routing.hedge.by_header,
        mirror_to="" if mirror is None else mirror.to,
        mirror_percent=0.0 if mirror is None else mirror.percent,
    )


def _model(model: Model) -> control_pb2.Model:
    return control_pb2.Model(
        id=model.id,
        created_unix=model.created,
        owned_by=model.owner,
        deployments=[
            control_pb2.Deployment(
                provider_id=each.provider,
                model=each.model,
                weight=each.weight,
                order=each.order,
                region=each.region or "",
                rpm=each.rpm,
                tpm=each.tpm,
            )
            for each in model.deployments
        ],
        aliases=model.aliases,
        fallbacks=model.fallbacks,
        context_fallbacks=model.context_fallbacks,
        routing=_routing(model.routing),
        price=None
        if model.price is None
        else control_pb2.Price(units=model.price.units, per=model.price.per),
        mode=model.mode or "",
        context_window=model.context_window,
    )
