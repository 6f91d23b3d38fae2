"""Console's tables; `hive_console.migrations` makes them."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

from hive_bus.outbox import outbox_table

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
