"""Billing's tables, but for those of prices."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

metadata = MetaData()

# The ledger, append-only, and its own outbox: `sequence` has no gaps. entries, details: JSON.
postings = Table(
    "postings",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("cause", String, nullable=False, unique=True),
    Column("kind", SmallInteger, nullable=False),
    Column("occurred_ms", BigInteger, nullable=False),
    Column("posted_ms", BigInteger, nullable=False),
    Column("tenant_id", String, nullable=False),
    Column("key_id", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("call", BigInteger, nullable=False),
    Column("model", String, nullable=False),
    Column("provider", String, nullable=False),
    Column("deployment", String, nullable=False),
    Column("account", String, nullable=False),
    Column("counter", String, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("provider_cost", BigInteger, nullable=False),
    Column("price_version", BigInteger, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("corrects", String, nullable=False),
    Column("entries", Text, nullable=False),
    Column("details", Text, nullable=False),
)
Index("ix_postings_request", postings.c.request_id)
Index("ix_postings_account", postings.c.account, postings.c.sequence)
_with_counter = postings.c.counter != ""
Index(
    "ix_postings_counter",
    postings.c.counter,
    postings.c.sequence,
    sqlite_where=_with_counter,
    postgresql_where=_with_counter,
)

# amount = funded - used. closing: what gets free of it goes back.
balances = Table(
    "balances",
    metadata,
    Column("account", String, primary_key=True),
    Column("tenant_id", String, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("funded", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("closing", Boolean, nullable=False),
)

# Of usage and its corrections, by the day on which it occurred, counted from 1970-01-01.
days = Table(
    "days",
    metadata,
    Column("tenant_id", String, primary_key=True),
    Column("key_id", String, primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("spent", BigInteger, nullable=False),
    Column("provider_cost", BigInteger, nullable=False),
    Column("postings", BigInteger, nullable=False),
)
Index("ix_days_key", days.c.key_id, days.c.day)

# through, strays: what of the holder's usage is kept; strays is a JSON list.
holders = Table(
    "holders",
    metadata,
    Column("holder", String, primary_key=True),
    Column("address", String, nullable=False),
    Column("booked_until_ms", BigInteger, nullable=False),
    Column("ended", Boolean, nullable=False),
    Column("through", BigInteger, nullable=False),
    Column("strays", Text, nullable=False),
    Column("generation", BigInteger, nullable=False, server_default="0"),
    Column("given_up", BigInteger, nullable=False, server_default="0"),
)
leases = Table(
    "leases",
    metadata,
    Column("holder", String, primary_key=True),
    Column("scope", String, primary_key=True),
    Column("amount", BigInteger, nullable=False),
)

# Append-only; with the postings it tells what was leased at every moment.
lease_changes = Table(
    "lease_changes",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("after_sequence", BigInteger, nullable=False),
    Column("holder", String, nullable=False),
    Column("scope", String, nullable=False),
    Column("change", BigInteger, nullable=False),
    Column("cap", BigInteger),
    Column("why", String(16), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
Index("ix_lease_changes_after", lease_changes.c.after_sequence)

recharges = Table(
    "recharges",
    metadata,
    Column("id", String, primary_key=True),
    Column("account", String, nullable=False),
    Column("tenant_id", String, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("day", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("payment_id", String, nullable=False),
)
_pending = recharges.c.state == "pending"
Index(
    "ix_recharges_pending",
    recharges.c.account,
    unique=True,
    sqlite_where=_pending,
    postgresql_where=_pending,
)
Index("ix_recharges_day", recharges.c.day)

# What the sandbox was paid, by idempotency key.
payments = Table(
    "sandbox_payments",
    metadata,
    Column("idempotency_key", String, primary_key=True),
    Column("payment_id", String, nullable=False, unique=True),
    Column("tenant_id", String, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)
marks = Table(
    "marks",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
# Who may write here, where several processes could: one row. epoch: how often that changed.
ownership = Table(
    "ownership",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", String, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
)
