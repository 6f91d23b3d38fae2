"""Console's tables and its queries; gives and takes domain values, never rows.

Providers and models are kept per source. Where several sources give one name, lists and look-ups see the one
of the first source (`Source`), and the others wait behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Select,
    String,
    Table,
    case,
    delete,
    exists,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from hive_bus.outbox import outbox_table
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
from hive_console.pages import Listing, Page
from hive_runtime.errors import HiveError, Kind

T = TypeVar("T")

FUNDING, RETURNING = "funding", "returning"
# Of rows that are written by one statement.
_PORTION = 500

metadata = MetaData()
outbox = outbox_table(metadata)

# `revision`: the one that created the row. It orders lists, for a second can see many rows.
tenants = Table(
    "tenants",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("models", JSON(none_as_null=True)),
    Column("disabled", Boolean, nullable=False),
    Column("billing", JSON, nullable=False),
    Column("cache", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
)
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String(255), nullable=False),
    Column("sha256", LargeBinary(32), nullable=False, unique=True),
    Column("last_four", String(4), nullable=False),
    Column("models", JSON(none_as_null=True)),
    Column("expires_at", BigInteger),
    Column("rpm", BigInteger),
    Column("tpm", BigInteger),
    Column("concurrency", BigInteger),
    Column("has_budget", Boolean, nullable=False),
    Column("caps", JSON, nullable=False),
    Column("auto_recharge", JSON(none_as_null=True)),
    Column("revoked", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
)
# `id`: the tenant's, or tenant/key.
guard_policies = Table(
    "guard_policies",
    metadata,
    Column("id", String(130), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("key_id", ForeignKey("api_keys.id", ondelete="CASCADE")),
    Column("rules", JSON, nullable=False),
    Column("denied_words", JSON, nullable=False),
    Column("locked", JSON, nullable=False),
    Column("revision", BigInteger, nullable=False),
)
providers = Table(
    "providers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("source", String(16), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("base_url", String(2048), nullable=False),
    Column("sealed_credential", LargeBinary, nullable=False),
    Column("timeouts", JSON, nullable=False),
    Column("output_bound_field", String(32)),
    Column("options", JSON, nullable=False),
    Column("free", Boolean, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
)
models = Table(
    "models",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("source", String(16), primary_key=True),
    Column("fallbacks", JSON, nullable=False),
    Column("aliases", JSON, nullable=False),
    Column("context_fallbacks", JSON, nullable=False),
    Column("routing", JSON, nullable=False),
    Column("price", JSON(none_as_null=True)),
    Column("mode", String(32)),
    Column("owned_by", String(255)),
    Column("context_window", BigInteger),
    Column("created", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
)
deployments = Table(
    "deployments",
    metadata,
    Column("model_id", String(200), primary_key=True),
    Column("source", String(16), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("provider", String(64), nullable=False),
    Column("model", String(255), nullable=False),
    Column("weight", Integer, nullable=False),
    Column("order", Integer, nullable=False),
    Column("region", String(64)),
    Column("rpm", BigInteger),
    Column("tpm", BigInteger),
    ForeignKeyConstraint(["model_id", "source"], ["models.id", "models.source"], ondelete="CASCADE"),
)
# Budgets on their way: a key that is to get one (`funding`), one whose money goes back (`returning`).
moving_budgets = Table(
    "moving_budgets",
    metadata,
    Column("key_id", String(64), primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    Column("state", String(16), nullable=False),
)
# The newest that the others are told of each control key, for those who ask; retired keys have no record.
told = Table(
    "told",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("revision", BigInteger, nullable=False, index=True),
    Column("record", LargeBinary),
)
meta = Table(
    "meta",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)


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
        return [_told(row) for row in await self.connection.execute(query.order_by(told.c.key).limit(limit))]

    async def told_since(self, revision: int, after_key: str, limit: int) -> Sequence[Told]:
        """What this revision told of keys behind this one, then what later ones told, by revision and key."""
        later = (told.c.revision == revision) & (told.c.key > after_key) | (told.c.revision > revision)
        query = select(told).where(later).order_by(told.c.revision, told.c.key)
        return [_told(row) for row in await self.connection.execute(query.limit(limit))]

    # Tenants

    async def tenants(self, page: Page | None = None) -> Listing[Tenant]:
        return await self._listing(select(tenants), tenants, page, _tenant)

    async def tenant(self, id: str) -> Tenant | None:
        return await self._one(select(tenants).where(tenants.c.id == id), _tenant)

    async def add_tenant(self, tenant: Tenant, revision: int) -> None:
        await self.connection.execute(insert(tenants).values(**_tenant_row(tenant), revision=revision))

    async def change_tenant(self, tenant: Tenant) -> None:
        await self.connection.execute(
            update(tenants).where(tenants.c.id == tenant.id).values(**_tenant_row(tenant))
        )

    async def delete_tenant(self, id: str) -> None:
        """Its keys and policies go with it."""
        await self.connection.execute(delete(tenants).where(tenants.c.id == id))

    # API keys

    async def keys(self, page: Page | None = None, tenant_id: str | None = None) -> Listing[ApiKey]:
        query = select(api_keys)
        if tenant_id is not None:
            query = query.where(api_keys.c.tenant_id == tenant_id)
        return await self._listing(query, api_keys, page, _api_key)

    async def key(self, id: str) -> ApiKey | None:
        return await self._one(select(api_keys).where(api_keys.c.id == id), _api_key)

    async def key_with(self, sha256: bytes) -> ApiKey | None:
        return await self._one(select(api_keys).where(api_keys.c.sha256 == sha256), _api_key)

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
        return await self._listing(query, guard_policies, page, _policy)

    async def policy(self, id: str) -> GuardPolicy | None:
        return await self._one(select(guard_policies).where(guard_policies.c.id == id), _policy)

    async def put_policy(self, policy: GuardPolicy, revision: int) -> None:
        """Add it, or put it in the place of the one that was there."""
        place, row = guard_policies.c.id == policy.id, _policy_row(policy)
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
        return await self._listing(select(providers).where(_in_front(providers)), providers, page, _provider)

    async def provider(self, name: str) -> Provider | None:
        query = select(providers).where(providers.c.id == name, _in_front(providers))
        return await self._one(query, _provider)

    async def providers_of(self, source: Source) -> dict[str, Provider]:
        query = select(providers).where(providers.c.source == source.value)
        found = (await self._listing(query, providers, None, _provider)).items
        return {provider.name: provider for provider in found}

    async def put_provider(self, provider: Provider, revision: int) -> None:
        """Add it, or put it in the place of the one that its source gave before."""
        await self._put(providers, provider.name, provider.source, _provider_row(provider), revision)

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
        await self._put(models, model.id, model.source, _model_row(model), revision)
        place = (deployments.c.model_id == model.id) & (deployments.c.source == model.source.value)
        await self.connection.execute(delete(deployments).where(place))
        await self.connection.execute(insert(deployments), _deployment_rows(model))

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
            parts.setdefault(place, []).append(_deployment(row))
        items = [_model(row, parts[row.id, row.source]) for row in found.items]
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


def _ids(value: list[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)


def _told(row: Row[Any]) -> Told:
    return Told(row.key, row.revision, row.record)


def _tenant(row: Row[Any]) -> Tenant:
    return Tenant(
        id=row.id,
        name=row.name,
        created_at=row.created_at,
        models=_ids(row.models),
        disabled=row.disabled,
        billing=_billing(row.billing),
        cache=CacheTerms(**row.cache),
    )


def _tenant_row(tenant: Tenant) -> dict[str, Any]:
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


def _api_key(row: Row[Any]) -> ApiKey:
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


def _policy(row: Row[Any]) -> GuardPolicy:
    return GuardPolicy(
        tenant_id=row.tenant_id,
        key_id=row.key_id,
        rules=tuple(GuardRule(**rule | {"action": GuardAction(rule["action"])}) for rule in row.rules),
        denied_words=tuple(row.denied_words),
        locked=tuple(row.locked),
    )


def _policy_row(policy: GuardPolicy) -> dict[str, Any]:
    return asdict(policy) | {
        "rules": [asdict(rule) | {"action": rule.action.value} for rule in policy.rules],
        "denied_words": list(policy.denied_words),
        "locked": list(policy.locked),
    }


def _provider(row: Row[Any]) -> Provider:
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


def _provider_row(provider: Provider) -> dict[str, Any]:
    row = asdict(provider)
    return {name: row[name] for name in row if name not in ("name", "source")}


def _model(row: Row[Any], parts: Sequence[Deployment]) -> Model:
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


def _deployment(row: Row[Any]) -> Deployment:
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


def _model_row(model: Model) -> dict[str, Any]:
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


def _deployment_rows(model: Model) -> Sequence[dict[str, Any]]:
    return [
        {"model_id": model.id, "source": model.source.value, "position": position, **asdict(deployment)}
        for position, deployment in enumerate(model.deployments)
    ]
