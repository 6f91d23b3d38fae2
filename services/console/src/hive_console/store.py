"""Console's queries; give and take domain values, never rows.

Providers and models are kept per source. Where several sources give one name, lists and look-ups see the one
of the first source (`Source`), and the others wait behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, Select, Table, case, delete, exists, insert, select, tuple_, update

from hive_console.control import (
    ApiKey,
    Deployment,
    GuardPolicy,
    Model,
    Provider,
    Source,
    Tenant,
    Told,
)
from hive_console.pages import Listing, Page
from hive_console.rows import (
    api_key_of,
    deployment_of,
    deployment_rows,
    model_of,
    model_row,
    policy_of,
    policy_row,
    provider_of,
    provider_row,
    tenant_of,
    tenant_row,
    told_of,
)
from hive_console.tables import (
    api_keys,
    deployments,
    guard_policies,
    meta,
    models,
    moving_budgets,
    providers,
    tenants,
    told,
)
from hive_runtime.errors import HiveError, Kind
from hive_sql import AsyncConnection

T = TypeVar("T")

FUNDING, RETURNING = "funding", "returning"
# Of rows that are written by one statement.
_PORTION = 500


class Store:
    """The tables as one transaction sees them. Lists raise HiveError `invalid` for a page behind nothing."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def next_revision(self) -> int:
        """Count one change of the control state."""
        revision = meta.c.name == "revision"
        await self.connection.execute(update(meta).where(revision).values(value=meta.c.value + 1))
        return int((await self.connection.execute(select(meta.c.value).where(revision))).scalar_one())

    # What the others are told

    async def revision(self) -> int:
        """Of the last change."""
        query = select(meta.c.value).where(meta.c.name == "revision")
        return int((await self.connection.execute(query)).scalar_one())

    async def tell(self, records: Mapping[str, bytes | None], revision: int) -> None:
        """Put these in the place of what was told of their keys before; None where a key is retired."""
        rows = [
            {"key": key, "revision": revision, "record": record} for key, record in sorted(records.items())
        ]
        for start in range(0, len(rows), _PORTION):
            portion = rows[start : start + _PORTION]
            keys = [row["key"] for row in portion]
            await self.connection.execute(delete(told).where(told.c.key.in_(keys)))
            await self.connection.execute(insert(told), portion)

    async def told_live(self, after_key: str, limit: int) -> Sequence[Told]:
        """Keys that are not retired, by key, behind this one."""
        query = select(told).where(told.c.record.is_not(None), told.c.key > after_key)
        return [
            told_of(row) for row in await self.connection.execute(query.order_by(told.c.key).limit(limit))
        ]

    async def told_since(self, revision: int, after_key: str, limit: int) -> Sequence[Told]:
        """What this revision told of keys behind this one, then what later ones told, by revision and key."""
        later = (told.c.revision == revision) & (told.c.key > after_key) | (told.c.revision > revision)
        query = select(told).where(later).order_by(told.c.revision, told.c.key)
        return [told_of(row) for row in await self.connection.execute(query.limit(limit))]

    # Tenants

    async def tenants(self, page: Page | None = None) -> Listing[Tenant]:
        return await self._listing(select(tenants), tenants, page, tenant_of)

    async def tenant(self, id: str) -> Tenant | None:
        return await self._one(select(tenants).where(tenants.c.id == id), tenant_of)

    async def add_tenant(self, tenant: Tenant, revision: int) -> None:
        await self.connection.execute(insert(tenants).values(**tenant_row(tenant), revision=revision))

    async def change_tenant(self, tenant: Tenant) -> None:
        await self.connection.execute(
            update(tenants).where(tenants.c.id == tenant.id).values(**tenant_row(tenant))
        )

    async def delete_tenant(self, id: str) -> None:
        """Its keys and policies go with it."""
        await self.connection.execute(delete(tenants).where(tenants.c.id == id))

    # API keys

    async def keys(self, page: Page | None = None, tenant_id: str | None = None) -> Listing[ApiKey]:
        query = select(api_keys)
        if tenant_id is not None:
            query = query.where(api_keys.c.tenant_id == tenant_id)
        return await self._listing(query, api_keys, page, api_key_of)

    async def key(self, id: str) -> ApiKey | None:
        return await self._one(select(api_keys).where(api_keys.c.id == id), api_key_of)

    async def key_with(self, sha256: bytes) -> ApiKey | None:
        return await self._one(select(api_keys).where(api_keys.c.sha256 == sha256), api_key_of)

    async def add_key(self, key: ApiKey, revision: int) -> None:
        await self.connection.execute(insert(api_keys).values(**asdict(key), revision=revision))

    async def change_key(self, key: ApiKey) -> None:
        await self.connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(**asdict(key)))

    # Guard policies

    async def policies(
        self, page: Page | None = None, tenant_id: str | None = None, key_id: str | None = None
    ) -> Listing[GuardPolicy]:
        query = select(guard_policies)
        if tenant_id is not None:
            query = query.where(guard_policies.c.tenant_id == tenant_id)
        if key_id is not None:
            query = query.where(guard_policies.c.key_id == key_id)
        return await self._listing(query, guard_policies, page, policy_of)

    async def policy(self, id: str) -> GuardPolicy | None:
        return await self._one(select(guard_policies).where(guard_policies.c.id == id), policy_of)

    async def put_policy(self, policy: GuardPolicy, revision: int) -> None:
        """Add it, or put it in the place of the one that was there."""
        place, row = guard_policies.c.id == policy.id, policy_row(policy)
        done = await self.connection.execute(update(guard_policies).where(place).values(**row))
        if done.rowcount == 0:
            row = {"id": policy.id, "revision": revision, **row}
            await self.connection.execute(insert(guard_policies).values(**row))

    async def delete_policy(self, id: str) -> bool:
        """Whether there was one."""
        query = delete(guard_policies).where(guard_policies.c.id == id)
        return (await self.connection.execute(query)).rowcount == 1

    # Budgets on their way

    async def expect_budget(self, key_id: str, tenant_id: str) -> None:
        """Its budget is about to be filled: whatever is in it belongs to nobody until `keep_budget`."""
        await self._put_budget(key_id, tenant_id, FUNDING)

    async def keep_budget(self, key_id: str) -> bool:
        """The budget is the key's now; false where it was given up since `expect_budget`."""
        place = (moving_budgets.c.key_id == key_id) & (moving_budgets.c.state == FUNDING)
        return (await self.connection.execute(delete(moving_budgets).where(place))).rowcount == 1

    async def give_budget_up(self, key_id: str, tenant_id: str) -> None:
        """All that is in it, now or later, goes back, until `forget_budget`."""
        await self._put_budget(key_id, tenant_id, RETURNING)

    async def give_expected_budgets_up(self, key_id: str | None = None) -> None:
        """Whoever expected this one, or any, is gone."""
        query = update(moving_budgets).where(moving_budgets.c.state == FUNDING).values(state=RETURNING)
        if key_id is not None:
            query = query.where(moving_budgets.c.key_id == key_id)
        await self.connection.execute(query)

    async def returning_budgets(self) -> dict[str, str]:
        """The tenants of the keys whose budgets were given up, by the keys' ids."""
        query = select(moving_budgets).where(moving_budgets.c.state == RETURNING)
        rows = (await self.connection.execute(query.order_by(moving_budgets.c.key_id))).all()
        return {row.key_id: row.tenant_id for row in rows}

    async def forget_budget(self, key_id: str) -> None:
        """Nothing is left in it."""
        place = (moving_budgets.c.key_id == key_id) & (moving_budgets.c.state == RETURNING)
        await self.connection.execute(delete(moving_budgets).where(place))

    async def _put_budget(self, key_id: str, tenant_id: str, state: str) -> None:
        place = moving_budgets.c.key_id == key_id
        done = await self.connection.execute(update(moving_budgets).where(place).values(state=state))
        if done.rowcount == 0:
            row = {"key_id": key_id, "tenant_id": tenant_id, "state": state}
            await self.connection.execute(insert(moving_budgets).values(row))

    # What happens once

    async def happens_first(self, event: str) -> bool:
        """True the first time that it is asked about this event, and never again."""
        query = select(meta.c.value).where(meta.c.name == event)
        if (await self.connection.execute(query)).one_or_none() is not None:
            return False
        await self.connection.execute(insert(meta).values(name=event, value=1))
        return True

    # Providers and models

    async def providers(self, page: Page | None = None) -> Listing[Provider]:
        return await self._listing(
            select(providers).where(_in_front(providers)), providers, page, provider_of
        )

    async def provider(self, name: str) -> Provider | None:
        query = select(providers).where(providers.c.id == name, _in_front(providers))
        return await self._one(query, provider_of)

    async def providers_of(self, source: Source) -> dict[str, Provider]:
        query = select(providers).where(providers.c.source == source.value)
        found = (await self._listing(query, providers, None, provider_of)).items
        return {provider.name: provider for provider in found}

    async def put_provider(self, provider: Provider, revision: int) -> None:
        """Add it, or put it in the place of the one that its source gave before."""
        await self._put(providers, provider.name, provider.source, provider_row(provider), revision)

    async def delete_provider(self, name: str, source: Source) -> None:
        await self._delete(providers, name, source)

    async def models(self, page: Page | None = None) -> Listing[Model]:
        return await self._models(select(models).where(_in_front(models)), page)

    async def model(self, id: str) -> Model | None:
        query = select(models).where(models.c.id == id, _in_front(models))
        return next(iter((await self._models(query, None)).items), None)

    async def models_of(self, source: Source) -> dict[str, Model]:
        found = await self._models(select(models).where(models.c.source == source.value), None)
        return {model.id: model for model in found.items}

    async def put_model(self, model: Model, revision: int) -> None:
        """Add it, or put it in the place of the one that its source gave before."""
        await self._put(models, model.id, model.source, model_row(model), revision)
        place = (deployments.c.model_id == model.id) & (deployments.c.source == model.source.value)
        await self.connection.execute(delete(deployments).where(place))
        await self.connection.execute(insert(deployments), deployment_rows(model))

    async def delete_model(self, id: str, source: Source) -> None:
        await self._delete(models, id, source)

    # What they share

    async def _one(self, query: Select[Any], value_of: Callable[[Row[Any]], T]) -> T | None:
        row = (await self.connection.execute(query)).one_or_none()
        return None if row is None else value_of(row)

    async def _listing(
        self, query: Select[Any], table: Table, page: Page | None, value_of: Callable[[Row[Any]], T]
    ) -> Listing[T]:
        """One page of what `query` finds in `table`; all of it without a page."""
        if page is None:
            rows = (await self.connection.execute(query.order_by(table.c.revision, table.c.id))).all()
            return Listing([value_of(row) for row in rows], has_more=False)
        rows = (await self.connection.execute(await self._cut(query, table, page))).all()
        return Listing([value_of(row) for row in rows[: page.limit]], has_more=len(rows) > page.limit)

    async def _cut(self, query: Select[Any], table: Table, page: Page) -> Select[Any]:
        place = tuple_(table.c.revision, table.c.id)
        if page.after is not None:
            last = query.with_only_columns(table.c.revision, table.c.id).where(table.c.id == page.after)
            found = (await self.connection.execute(last)).one_or_none()
            if found is None:
                raise HiveError(Kind.INVALID, f"This list has no {page.after!r} to go on after.", "after")
            behind = tuple_(found.revision, found.id)
            query = query.where(place < behind if page.newest_first else place > behind)
        columns = [table.c.revision, table.c.id]
        order = [column.desc() if page.newest_first else column.asc() for column in columns]
        return query.order_by(*order).limit(page.limit + 1)

    async def _models(self, query: Select[Any], page: Page | None) -> Listing[Model]:
        found = await self._listing(query, models, page, lambda row: row)
        ids = [row.id for row in found.items]
        rows = select(deployments).where(deployments.c.model_id.in_(ids)).order_by(deployments.c.position)
        parts: dict[tuple[str, str], list[Deployment]] = {}
        for row in (await self.connection.execute(rows)).all():
            place = (row.model_id, row.source)
            parts.setdefault(place, []).append(deployment_of(row))
        items = [model_of(row, parts[row.id, row.source]) for row in found.items]
        return Listing(items, found.has_more)

    async def _put(self, table: Table, id: str, source: Source, row: dict[str, Any], revision: int) -> None:
        place = (table.c.id == id) & (table.c.source == source.value)
        done = await self.connection.execute(update(table).where(place).values(**row))
        if done.rowcount == 0:
            row = {"id": id, "source": source.value, "revision": revision, **row}
            await self.connection.execute(insert(table).values(**row))

    async def _delete(self, table: Table, id: str, source: Source) -> None:
        place = (table.c.id == id) & (table.c.source == source.value)
        await self.connection.execute(delete(table).where(place))


def _in_front(table: Table) -> ColumnElement[bool]:
    """No better source gives the same name."""
    other = table.alias("other")
    better = (other.c.id == table.c.id) & (_rank(other.c.source) < _rank(table.c.source))
    return ~exists(select(other.c.id).where(better))


def _rank(source: ColumnElement[str]) -> ColumnElement[int]:
    return case({each.value: each.rank for each in Source}, value=source)
