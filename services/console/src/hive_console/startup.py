"""The control state at the start: what the sources give now, what must be there, and all of it told anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import structlog

from hive_console.changes import Change, Changes, served
from hive_console.control import (
    DEFAULT_TENANT,
    Billing,
    Mode,
    Source,
    Tenant,
    api_key_key,
    model_key,
    provider_key,
)
from hive_console.found import Declared
from hive_console.keys import Known, add_key, ensure_bootstrap_key, new_secret
from hive_console.sources import Sources
from hive_console.tenants import existing_tenant

log = structlog.get_logger(__name__)


async def bring_up(
    changes: Changes,
    sources: Sources,
    given: Mapping[Source, Declared],
    bootstrap_key: str | None,
    *,
    has_bootstrap_credit: bool = False,
) -> str | None:
    """Make the control state what `given` and `bootstrap_key` say, and announce it whole.

    has_bootstrap_credit: billing credits the default tenant's first wallet, so that it pays from that from now
    on; an operator who decides otherwise later is not overruled.

    Returns the API key that was made because there was none: the only time that it can be shown.
    """
    async with changes.change() as change:
        before = await served(change.store)
        for source, declared in given.items():
            await sources.replace(change, source, declared)
        await _warn_of_hidden(change, given[Source.FILE])
        await change.store.give_expected_budgets_up()
        await _ensure_default_tenant(change)
        if has_bootstrap_credit and await change.store.happens_first("bootstrap_credit"):
            await _make_default_tenant_prepaid(change)
        first_key = await _ensure_key(change, bootstrap_key)
        await _announce_catalogue(change, set(before))
        await _announce_tenants(change)
    return first_key


async def _warn_of_hidden(change: Change, file: Declared) -> None:
    providers = await change.store.providers_of(Source.API)
    models = await change.store.models_of(Source.API)
    hidden = [f"provider {each.name!r}" for each in file.providers if each.name in providers]
    hidden += [f"model {each.id!r}" for each in file.models if each.id in models]
    for subject in hidden:
        log.warning(f"the {subject} of the configuration file hides the one that was made through the API")


async def _ensure_default_tenant(change: Change) -> None:
    if await change.store.tenant(DEFAULT_TENANT) is None:
        tenant = Tenant(DEFAULT_TENANT, "Default", change.now, billing=Billing(Mode.METERED))
        await change.store.add_tenant(tenant, change.revision)


async def _make_default_tenant_prepaid(change: Change) -> None:
    tenant = await existing_tenant(change.store, DEFAULT_TENANT)
    await change.store.change_tenant(replace(tenant, billing=replace(tenant.billing, mode=Mode.PREPAID)))


async def _ensure_key(change: Change, bootstrap_key: str | None) -> str | None:
    if bootstrap_key is not None:
        await ensure_bootstrap_key(change, bootstrap_key)
        return None
    # Revoked keys stay in the table: where there is none, this is the first start.
    if (await change.store.keys()).items:
        return None
    secret = new_secret()
    await add_key(change, DEFAULT_TENANT, Known.of(secret), name="first key")
    return secret


async def _announce_catalogue(change: Change, told_before: set[str]) -> None:
    now = await served(change.store)
    known = {provider_key(each.name) for each in (await change.store.providers()).items}
    known |= {model_key(each.id) for each in (await change.store.models()).items}
    for entity in now.values():
        await change.announce(entity)
    for key in sorted((told_before | known) - set(now)):
        await change.retire(key)


async def _announce_tenants(change: Change) -> None:
    for tenant in (await change.store.tenants()).items:
        await change.announce(tenant)
    for key in (await change.store.keys()).items:
        if key.revoked:
            await change.retire(api_key_key(key.id))
        else:
            await change.announce(key)
    for policy in (await change.store.policies()).items:
        await change.announce(policy)
