"""Requests with an `Idempotency-Key`."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "idempotency_records",
        sa.Column("scope", sa.LargeBinary(32), primary_key=True),
        sa.Column("body_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("claim", sa.String(32), nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("changed_ms", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.LargeBinary),
    )
    op.create_index("ix_idempotency_records_changed", "idempotency_records", ["changed_ms"])
