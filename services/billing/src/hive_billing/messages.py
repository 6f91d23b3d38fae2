"""Contracts to domain values and back."""

from __future__ import annotations

from hive_billing.accounts import DEFAULT_MAX_OUTPUT, ApiKey, Caps, Rule, Tenant
from hive_billing.ledger import Posting, Usage
from modelhive.control.v1 import control_pb2 as control
from modelhive.events.v1.ledger_pb2 import LedgerEntry, LedgerPosted, PostingKind
from modelhive.events.v1.usage_pb2 import UsageRecorded


def usage_of(event: UsageRecorded) -> Usage:
    return Usage(
        request_id=event.request_id,
        attempt=event.attempt,
        call=event.call,
        tenant_id=event.tenant_id,
        key_id=event.key_id,
        occurred_ms=event.started_unix_ms,
        cost=event.cost_nanos,
        provider_cost=event.provider_cost_nanos,
        model=event.model,
        provider=event.provider,
        deployment=event.deployment,
        price_version=event.price_version,
        estimated=event.estimated,
        units=dict(event.units),
        scopes=tuple(event.scopes),
        holder=event.holder,
        sequence=event.sequence,
        carried=event.carried_nanos,
        tags=tuple(event.tags),
    )


def posted_of(posting: Posting) -> LedgerPosted:
    return LedgerPosted(
        sequence=posting.sequence,
        cause=posting.cause,
        kind=PostingKind.ValueType(posting.kind),
        occurred_unix_ms=posting.occurred_ms,
        posted_unix_ms=posting.posted_ms,
        tenant_id=posting.tenant_id,
        key_id=posting.key_id,
        request_id=posting.request_id,
        model=posting.model,
        provider=posting.provider,
        deployment=posting.deployment,
        entries=[LedgerEntry(account=account, amount_nanos=amount) for account, amount in posting.entries],
        corrects=posting.corrects,
        estimated=posting.estimated,
        price_version=posting.price_version,
        spent_nanos=posting.spent,
        provider_cost_nanos=posting.provider_cost,
        tags=posting.tags,
    )


def tenant_of(tenant: control.Tenant) -> Tenant:
    billing = tenant.billing
    return Tenant(
        id=tenant.id,
        prepaid=billing.mode == control.BILLING_MODE_PREPAID,
        balanced=billing.balanced,
        default_max_output=billing.default_max_output or DEFAULT_MAX_OUTPUT,
        caps=_caps(billing.caps),
        recharge=_rule(billing.auto_recharge) if billing.HasField("auto_recharge") else None,
    )


def api_key_of(key: control.ApiKey) -> ApiKey:
    return ApiKey(
        id=key.id,
        tenant_id=key.tenant_id,
        has_budget=key.has_budget,
        caps=_caps(key.caps),
        recharge=_rule(key.auto_recharge) if key.HasField("auto_recharge") else None,
    )


def _caps(caps: control.Caps) -> Caps:
    return Caps(
        day=caps.day_nanos if caps.HasField("day_nanos") else None,
        week=caps.week_nanos if caps.HasField("week_nanos") else None,
        month=caps.month_nanos if caps.HasField("month_nanos") else None,
    )


def _rule(rule: control.AutoRecharge) -> Rule:
    return Rule(rule.below_nanos, rule.amount_nanos, rule.times_per_day)
