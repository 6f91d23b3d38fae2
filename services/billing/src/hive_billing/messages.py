"""Contracts to domain values and back."""

from __future__ import annotations

from hive_billing.accounts import DEFAULT_MAX_OUTPUT, ApiKey, Caps, Rule, Tenant
from hive_billing.ledger import Posting, Usage
from modelhive.control.v1 import control_pb2 as control
from modelhive.events.v1.ledger_pb2 import LedgerPosted, PostingKind
from modelhive.events.v1.usage_pb2 import UsageRecorded


def usage_of(event: UsageRecorded) -> Usage:
    # A slice of what is repeated is made at once, where a loop asks for each.
    units, tags, scopes = event.units, event.tags[:], event.scopes[:]
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
        units={unit: units[unit] for unit in units},
        scopes=tuple(scopes),
        holder=event.holder,
        sequence=event.sequence,
        carried=event.carried_nanos,
        generation=event.lease_generation,
        tags=tuple(tags),
    )


def posted_of(posting: Posting) -> LedgerPosted:
    # One by one, and nothing that is empty anyway: the constructor takes nearly twice as long.
    posted = LedgerPosted()
    posted.sequence = posting.sequence
    posted.cause = posting.cause
    posted.kind = PostingKind.ValueType(posting.kind)
    posted.occurred_unix_ms = posting.occurred_ms
    posted.posted_unix_ms = posting.posted_ms
    posted.tenant_id = posting.tenant_id
    posted.key_id = posting.key_id
    posted.request_id = posting.request_id
    posted.model = posting.model
    posted.provider = posting.provider
    posted.deployment = posting.deployment
    add = posted.entries.add
    for account, amount in posting.entries:
        entry = add()
        entry.account = account
        entry.amount_nanos = amount
    if posting.corrects:
        posted.corrects = posting.corrects
    if posting.estimated:
        posted.estimated = True
    posted.price_version = posting.price_version
    posted.spent_nanos = posting.spent
    posted.provider_cost_nanos = posting.provider_cost
    if posting.tags:
        posted.tags.extend(posting.tags)
    return posted


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
