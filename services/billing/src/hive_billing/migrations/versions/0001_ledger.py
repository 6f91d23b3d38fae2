"""The ledger, its projections, leases and recharges."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "balances",
        sa.Column("account", sa.String, primary_key=True),
        sa.Column("tenant_id", sa.String, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("funded", sa.BigInteger, nullable=False),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.Column("closing", sa.Boolean, nullable=False),
    )
    op.create_table(
        "days",
        sa.Column("tenant_id", sa.String, primary_key=True),
        sa.Column("key_id", sa.String, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True),
        sa.Column("spent", sa.BigInteger, nullable=False),
        sa.Column("provider_cost", sa.BigInteger, nullable=False),
        sa.Column("postings", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_days_key", "days", ["key_id", "day"])
    op.create_table(
        "holders",
        sa.Column("holder", sa.String, primary_key=True),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("booked_until_ms", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.Boolean, nullable=False),
        sa.Column("through", sa.BigInteger, nullable=False),
        sa.Column("strays", sa.Text, nullable=False),
    )
    op.create_table(
        "lease_changes",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("after_sequence", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("scope", sa.String, nullable=False),
        sa.Column("change", sa.BigInteger, nullable=False),
        sa.Column("cap", sa.BigInteger),
        sa.Column("why", sa.String(16), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_lease_changes_after", "lease_changes", ["after_sequence"])
    op.create_table(
        "leases",
        sa.Column("holder", sa.String, primary_key=True),
        sa.Column("scope", sa.String, primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "marks",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "postings",
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("cause", sa.String, nullable=False, unique=True),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("occurred_ms", sa.BigInteger, nullable=False),
        sa.Column("posted_ms", sa.BigInteger, nullable=False),
        sa.Column("tenant_id", sa.String, nullable=False),
        sa.Column("key_id", sa.String, nullable=False),
        sa.Column("request_id", sa.String, nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("call", sa.BigInteger, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("deployment", sa.String, nullable=False),
        sa.Column("account", sa.String, nullable=False),
        sa.Column("counter", sa.String, nullable=False),
        sa.Column("cost", sa.BigInteger, nullable=False),
        sa.Column("spent", sa.BigInteger, nullable=False),
        sa.Column("provider_cost", sa.BigInteger, nullable=False),
        sa.Column("price_version", sa.BigInteger, nullable=False),
        sa.Column("estimated", sa.Boolean, nullable=False),
        sa.Column("corrects", sa.String, nullable=False),
        sa.Column("entries", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
    )
    op.create_index("ix_postings_account", "postings", ["account", "sequence"])
    op.create_index(
        "ix_postings_counter",
        "postings",
        ["counter", "sequence"],
        sqlite_where=sa.text("counter != ''"),
        postgresql_where=sa.text("counter != ''"),
    )
    op.create_index("ix_postings_request", "postings", ["request_id"])
    op.create_table(
        "recharges",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("account", sa.String, nullable=False),
        sa.Column("tenant_id", sa.String, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("payment_id", sa.String, nullable=False),
    )
    op.create_index("ix_recharges_day", "recharges", ["day"])
    op.create_index(
        "ix_recharges_pending",
        "recharges",
        ["account"],
        unique=True,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_table(
        "sandbox_payments",
        sa.Column("idempotency_key", sa.String, primary_key=True),
        sa.Column("payment_id", sa.String, nullable=False, unique=True),
        sa.Column("tenant_id", sa.String, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
    )
