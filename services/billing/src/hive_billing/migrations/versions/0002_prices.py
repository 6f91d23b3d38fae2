"""Prices: one row per rate of each version."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "prices",
        sa.Column("subject", sa.String(512), primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("unit", sa.String(32), primary_key=True),
        sa.Column("from_prompt_tokens", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("pico_dollars", sa.BigInteger, nullable=False),
        sa.Column("valid_from_ms", sa.BigInteger, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
    )
    op.create_index("ix_prices_version", "prices", ["version"])
