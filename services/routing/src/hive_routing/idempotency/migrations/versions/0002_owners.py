"""Processes that hold requests with an `Idempotency-Key`, and when each last said that it lives."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "idempotency_owners",
        sa.Column("owner", sa.String, primary_key=True),
        sa.Column("beat_ms", sa.BigInteger, nullable=False),
    )
